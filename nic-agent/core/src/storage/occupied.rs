//! Which buckets hold anything: reading a table then takes time by what is in it, not by its room.

use std::iter::successors;
use std::ops::Range;

/// A bit for each bucket. Its owner alone writes the buckets.
pub(super) struct Occupied(Vec<u64>);

impl Occupied {
    /// Of so many buckets, all vacant.
    pub(super) fn none(buckets: u32) -> Self {
        Self(vec![0; buckets.div_ceil(u64::BITS) as usize])
    }

    pub(super) fn set(&mut self, bucket: u32, holds: bool) {
        let bit = 1 << (bucket % u64::BITS);
        let word = &mut self.0[(bucket / u64::BITS) as usize];
        *word = if holds { *word | bit } else { *word & !bit };
    }

    /// Those of `range` that hold something, in order.
    pub(super) fn within(&self, range: Range<u32>) -> impl Iterator<Item = u32> {
        let words = range.start / u64::BITS..range.end.div_ceil(u64::BITS);
        let buckets = words.flat_map(|at| bits(self.0[at as usize]).map(move |bit| at * u64::BITS + bit));
        buckets.filter(move |bucket| range.contains(bucket))
    }
}

fn bits(word: u64) -> impl Iterator<Item = u32> {
    let rest = successors(Some(word), |word| Some(word & word.checked_sub(1)?)).take_while(|word| *word != 0);
    rest.map(u64::trailing_zeros)
}
