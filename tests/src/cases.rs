//! Random cases from numbers: the same number is the same case on every machine.

use arbitrary::{Result, Unstructured};

/// Most random bytes that one case is made of.
const MOST_BYTES: u64 = 4096;

/// Runs `property` on `count` cases, from small ones to large ones, so that the first failure is a small one.
/// When it panics, the number of the case is printed; [`run`] runs it again alone.
pub fn each(count: u64, mut property: impl FnMut(&mut Unstructured<'_>) -> Result<()>) {
    for number in 0..count {
        run(number, count, &mut property);
    }
}

/// Runs `property` on case `number` of `count`.
pub fn run(number: u64, count: u64, property: &mut impl FnMut(&mut Unstructured<'_>) -> Result<()>) {
    let guard = Announce { number, count };
    let bytes = bytes(number, 64 + MOST_BYTES * number / count);
    if let Err(error) = property(&mut Unstructured::new(&bytes)) {
        panic!("case {number} of {count} could not be made: {error}");
    }
    drop(guard);
}

struct Announce {
    number: u64,
    count: u64,
}

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the property failed in case {} of {}", self.number, self.count);
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), seeded with `seed`.
fn bytes(seed: u64, length: u64) -> Vec<u8> {
    let mut state = seed;
    let words = (0..length.div_ceil(8)).flat_map(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)).to_le_bytes()
    });
    words.collect()
}
