//! One table of buckets.

use std::collections::BTreeSet;

use selvedge_abi::{Bucket, Half, SLOTS, Seeds, find};

use super::occupied::Occupied;
use crate::tables::Slot;

/// The array map under a table.
pub trait Memory<B> {
    /// One bucket.
    fn load(&self, index: u32) -> B;
    /// Writes one bucket.
    fn store(&mut self, index: u32, bucket: &B);
    /// Takes note that nobody will look for a while.
    fn rest(&mut self) {}
}

/// A table that says no: a key's two buckets are full, and so are those to which their keys could be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no bucket has room for one more entry")]
pub struct Full;

/// Buckets looked at for a vacant place. A table at two thirds needs a handful.
const SEARCH: usize = 2_000;

/// Keys and values in both halves of an array of buckets.
///
/// Whatever moves is in two places for a moment rather than in none, so a crash loses nothing; what it leaves twice is
/// once again when it is written next.
pub(super) struct Cuckoo<B> {
    memory: Box<dyn Memory<B> + Send>,
    seeds: Seeds,
    /// Of one slot.
    buckets: u32,
    occupied: Occupied,
}

/// A bucket that the search for a vacant place came to, and the entry of an earlier one that could move there.
struct Step {
    index: u32,
    from: Option<(usize, usize)>,
}

impl<B: Bucket> Cuckoo<B> {
    pub(super) fn new(memory: Box<dyn Memory<B> + Send>, seeds: Seeds, buckets: u32) -> Self {
        let mut occupied = Occupied::none(SLOTS * buckets);
        (0..SLOTS * buckets).for_each(|index| occupied.set(index, !is_vacant(&memory.load(index))));
        Self { memory, seeds, buckets, occupied }
    }

    /// As [`Memory::rest`].
    pub(super) fn rest(&mut self) {
        self.memory.rest();
    }

    fn half(&self, slot: Slot) -> Half {
        Half { slot: slot.number(), buckets: self.buckets }
    }

    fn places(&self, slot: Slot, key: B::Key) -> [u32; 2] {
        self.half(slot).places(&self.seeds, key)
    }

    /// The value of `key`, found as the programs find it.
    pub(super) fn get(&self, slot: Slot, key: B::Key) -> Option<B::Value> {
        let buckets = self.places(slot, key).map(|index| (index, self.memory.load(index)));
        let bucket = |wanted| buckets.iter().find(|(index, _)| *index == wanted).map(|(_, bucket)| bucket);
        find(key, &self.seeds, self.half(slot), bucket).copied()
    }

    /// Everything in a slot.
    pub(super) fn entries(&self, slot: Slot) -> impl Iterator<Item = (B::Key, B::Value)> {
        let base = slot.number() * self.buckets;
        let buckets = self.occupied.within(base..base + self.buckets).map(|index| self.memory.load(index));
        buckets.flat_map(|bucket| {
            let ways = (0..B::WAYS).filter(move |way| !bucket.is_vacant(*way));
            ways.map(move |way| (bucket.key(way), *bucket.value(way)))
        })
    }

    /// Writes an entry, over that of the same key if there is one.
    pub(super) fn insert(&mut self, slot: Slot, key: B::Key, value: B::Value) -> Result<(), Full> {
        let mut present = self.present(slot, key).into_iter();
        if let Some(place) = present.next() {
            self.write(place, key, value);
            present.for_each(|copy| self.write(copy, key, B::Value::default()));
            return Ok(());
        }
        let steps = self.search(slot, key)?;
        let mut step = steps.last().ok_or(Full)?;
        let mut place = (step.index, vacant(&self.memory.load(step.index)).ok_or(Full)?);
        while let Some((earlier, way)) = step.from {
            step = &steps[earlier];
            let bucket = self.memory.load(step.index);
            self.write(place, bucket.key(way), *bucket.value(way));
            place = (step.index, way);
        }
        self.write(place, key, value);
        Ok(())
    }

    /// Removes a key, if it is there.
    pub(super) fn remove(&mut self, slot: Slot, key: B::Key) {
        for place in self.present(slot, key) {
            self.write(place, key, B::Value::default());
        }
    }

    /// The places of `key`: none, one, or two after a crash between the halves of a move.
    fn present(&self, slot: Slot, key: B::Key) -> BTreeSet<(u32, usize)> {
        let mut present = BTreeSet::new();
        for index in self.places(slot, key) {
            let bucket = self.memory.load(index);
            let is_key = |way: &usize| bucket.key(*way) == key && !bucket.is_vacant(*way);
            present.extend((0..B::WAYS).filter(is_key).map(|way| (index, way)));
        }
        present
    }

    /// The way to a bucket with a vacant place, which is the last step: the shortest, so the one that moves least.
    fn search(&self, slot: Slot, key: B::Key) -> Result<Vec<Step>, Full> {
        let [first, second] = self.places(slot, key);
        let mut seen = BTreeSet::from([first, second]);
        let mut steps: Vec<Step> = [first, second].map(|index| Step { index, from: None }).into();
        for at in 0..SEARCH {
            let bucket = self.memory.load(steps.get(at).ok_or(Full)?.index);
            if vacant(&bucket).is_some() {
                steps.truncate(at + 1);
                return Ok(steps);
            }
            for way in 0..B::WAYS {
                let other = self.places(slot, bucket.key(way));
                let new = other.into_iter().filter(|index| seen.insert(*index));
                steps.extend(new.map(|index| Step { index, from: Some((at, way)) }));
            }
        }
        Err(Full)
    }

    fn write(&mut self, (index, way): (u32, usize), key: B::Key, value: B::Value) {
        let mut bucket = self.memory.load(index);
        bucket.set(way, key, value);
        self.memory.store(index, &bucket);
        self.occupied.set(index, !is_vacant(&bucket));
    }
}

fn is_vacant<B: Bucket>(bucket: &B) -> bool {
    (0..B::WAYS).all(|way| bucket.is_vacant(way))
}

fn vacant<B: Bucket>(bucket: &B) -> Option<usize> {
    (0..B::WAYS).find(|way| bucket.is_vacant(*way))
}
