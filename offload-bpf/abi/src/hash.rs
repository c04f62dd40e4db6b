//! The keyed hash of the tables that are arrays of buckets, and where it puts a key.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// 32-bit words of the longest key.
const MAX_WORDS: usize = 14;

/// Random numbers of this node, without which nobody can choose keys that share a bucket.
///
/// Two keys of as many words collide before the last mixing with a probability of 2⁻³³ at most, whatever they are: a sum of
/// products of two 32-bit words, to each of which a random 64-bit number was added, is strongly universal in its upper bits
/// (Lemire and Kaser, "Strongly universal string hashing is fast", §3, Multilinear-HM). The mixing is a bijection; it spreads
/// what is near in that sum over all buckets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Seeds {
    /// Added to the sum.
    pub start: u64,
    /// Added to each word.
    pub terms: [u64; MAX_WORDS],
}

impl Seeds {
    /// The hash of a key of at most 14 words.
    #[inline(always)]
    pub fn hash<const N: usize>(&self, words: [u32; N]) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15; // 2⁶⁴ over the golden ratio: any odd number without pattern
        let sum = self.sum(words);
        let mixed = (sum ^ (sum >> 32)).wrapping_mul(ODD);
        mixed ^ (mixed >> 32)
    }

    /// 32 bits to tell keys apart by: any two are alike with a probability of 2⁻³² (the upper half of that sum is
    /// strongly universal).
    #[inline(always)]
    pub fn digest<const N: usize>(&self, words: [u32; N]) -> u32 {
        (self.sum(words) >> 32) as u32
    }

    /// [`Seeds::digest`], spread by a bijection: keys that differ by little, in one word only, come to lie far from each other.
    #[inline(always)]
    pub fn scatter<const N: usize>(&self, words: [u32; N]) -> u32 {
        const ODD: u32 = 0x9e37_79b9;
        let digest = self.digest(words);
        let mixed = (digest ^ (digest >> 16)).wrapping_mul(ODD);
        mixed ^ (mixed >> 15)
    }

    /// One product for two words. A last one without a partner has a zero.
    #[inline(always)]
    fn sum<const N: usize>(&self, words: [u32; N]) -> u64 {
        const { assert!(N <= MAX_WORDS && MAX_WORDS.is_multiple_of(2)) };
        let term = |at: usize| self.terms[at].wrapping_add(if at < N { words[at] as u64 } else { 0 });
        let mut sum = self.start;
        let mut at = 0;
        while at < N {
            sum = sum.wrapping_add(term(at).wrapping_mul(term(at + 1)));
            at += 2;
        }
        sum
    }
}

/// The two buckets, of `buckets`, that a key with this hash may be in; a lookup tries them in this order.
#[inline(always)]
pub fn choices(hash: u64, buckets: u32) -> [u32; 2] {
    // A product instead of a remainder: eBPF divides slowly.
    let reduce = |half: u64| ((half * buckets as u64) >> 32) as u32;
    [reduce(hash >> 32), reduce(hash & 0xffff_ffff)]
}
