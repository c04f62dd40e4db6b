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

/// Random bytes, about `length` of them.
pub fn bytes(seed: u64, length: u64) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    (0..length.div_ceil(8)).flat_map(|_| numbers.next().to_le_bytes()).collect()
}

/// Numbers from a seed: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// Those of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends, so nobody wants an Option of it")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// The next one, below `limit`, which is above 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// One of `from`, which is not empty.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// True once in `count` times.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}
