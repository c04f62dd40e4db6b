//! Openings that were denied a moment ago: the short way for the next of their kind.
//!
//! Whether policy denies an opening packet (a SYN) depends on its ends and the service it asks for, on where it came in and
//! on the tables in force; not on its source port, nor on connections. So a denial is noted like a passage (see
//! [`Passage`]), without the source port, and with the rule that denied. Notes are 16 bytes: 32 bits of the flow, then 32
//! of everything and 32 of the rule. The hash of everything includes the time, to some seconds, so what is too old is
//! simply another note. A word of the one and a word of another, as two CPUs may leave them, do not agree. A note that finds its bucket full takes the place of another one.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{FlowTag, NoteSeeds, Passage};

/// A denial is believed until the clock's next multiple of 2¹⁰ jiffies: for 4.1 s at most where HZ is 250.
pub const DENIAL_BITS: u32 = 10;

/// Notes of a bucket.
const WAYS: usize = 4;

/// Four notes of denials, two words each.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct DenialBucket(pub [u64; 2 * WAYS]);

/// The note of a denial, as buckets have it.
pub struct Denial {
    tag: FlowTag,
    check: u32,
}

impl Denial {
    /// The note of an opening at `now`, in jiffies. The source port in its flow is zero, which none has that passes.
    #[inline(always)]
    pub fn new(opening: &Passage, now: u64, seeds: &NoteSeeds) -> Self {
        let check = opening.check(&seeds.check, (now >> DENIAL_BITS) as u32);
        Self { tag: opening.flow.tag(&seeds.flow), check }
    }

    /// The index of the bucket it may be in.
    #[inline(always)]
    pub fn place(&self, buckets: u32) -> u32 {
        self.tag.place(buckets)
    }

    /// The rule that denied, if a bucket has it. `word` reads one of the bucket.
    #[inline(always)]
    pub fn rule(&self, word: impl Fn(usize) -> u64) -> Option<u32> {
        let mut at = 0;
        while at < 2 * WAYS {
            if word(at) == self.tag.0 as u64 {
                let what = word(at + 1);
                if (what >> 32) as u32 == self.check {
                    return Some(what as u32);
                }
            }
            at += 2;
        }
        None
    }

    /// Writes it by `set` over an older one of its flow, where there is none, or else over any.
    #[inline(always)]
    pub fn write(&self, rule: u32, word: impl Fn(usize) -> u64, set: impl Fn(usize, u64)) {
        let mut at = 0;
        while at < 2 * WAYS {
            if word(at) == self.tag.0 as u64 || word(at) == 0 {
                break;
            }
            at += 2;
        }
        if at == 2 * WAYS {
            at = (self.tag.0 as usize % WAYS) * 2;
        }
        set(at, self.tag.0 as u64);
        set(at + 1, (self.check as u64) << 32 | rule as u64);
    }
}
