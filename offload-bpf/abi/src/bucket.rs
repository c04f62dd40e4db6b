//! Buckets: a cache line of keys and values. A table of them is an array map, of which the kernel inlines lookups.
//!
//! A key is in one of the two buckets that its hash names (see [`choices`](crate::choices)), so a lookup touches one
//! line, seldom two. Every slot has half of the array. User space places the keys, by moving others to their second
//! bucket where it must (a cuckoo table), and only ever in the half that is not in use.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{SLOTS, Seeds, choices};

/// A key of a bucket table.
pub trait BucketKey: Copy + Ord {
    /// The keyed hash.
    fn hash(&self, seeds: &Seeds) -> u64;
}

/// Some keys with their values, in 64 bytes at a multiple of 64.
pub trait Bucket: Copy + FromBytes + IntoBytes + Immutable + 'static {
    /// What is looked up.
    type Key: BucketKey;
    /// What is found. The default stands for "vacant" and is no value.
    type Value: Copy + Default + PartialEq;
    /// Entries of a bucket.
    const WAYS: usize;

    /// The key of an entry.
    fn key(&self, way: usize) -> Self::Key;
    /// The value of an entry, the default where it is vacant.
    fn value(&self, way: usize) -> &Self::Value;
    /// Whether a place is vacant.
    fn is_vacant(&self, way: usize) -> bool;
    /// Writes one entry.
    fn set(&mut self, way: usize, key: Self::Key, value: Self::Value);

    /// The value of `key`, if it is here.
    #[inline(always)]
    fn find(&self, key: Self::Key) -> Option<&Self::Value> {
        let mut way = 0;
        while way < Self::WAYS {
            if self.key(way) == key && !self.is_vacant(way) {
                return Some(self.value(way));
            }
            way += 1;
        }
        None
    }
}

/// Buckets, of both slots together, of a table that is to take `entries` a slot. At two thirds full, few keys are in
/// their second bucket, and there is always a way to place one more.
pub const fn buckets<B: Bucket>(entries: u32) -> u32 {
    SLOTS * (entries as u64 * 3).div_ceil(2 * B::WAYS as u64) as u32
}

/// Where the buckets of one slot are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Half {
    /// The slot, 0 or 1.
    pub slot: u32,
    /// Buckets of a slot.
    pub buckets: u32,
}

impl Half {
    /// The indexes in the array of the two buckets that `key` may be in, in the order of lookups.
    #[inline(always)]
    pub fn places(self, seeds: &Seeds, key: impl BucketKey) -> [u32; 2] {
        let base = self.slot.wrapping_mul(self.buckets);
        let [first, second] = choices(key.hash(seeds), self.buckets);
        [base.wrapping_add(first), base.wrapping_add(second)]
    }
}

/// The value of `key`, where `bucket` reads one of the array.
#[inline(always)]
pub fn find<'a, B: Bucket>(
    key: B::Key,
    seeds: &Seeds,
    half: Half,
    bucket: impl Fn(u32) -> Option<&'a B>,
) -> Option<&'a B::Value> {
    let [first, second] = half.places(seeds, key);
    bucket(first)?.find(key).or_else(|| bucket(second)?.find(key))
}

/// Eight IPv4 addresses, or prefixes, and what they stand for.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Ipv4Bucket {
    keys: [u32; 8],
    values: [u32; 8],
}

impl BucketKey for u32 {
    #[inline(always)]
    fn hash(&self, seeds: &Seeds) -> u64 {
        seeds.hash([*self])
    }
}

impl Bucket for Ipv4Bucket {
    type Key = u32;
    type Value = u32;
    const WAYS: usize = 8;

    #[inline(always)]
    fn key(&self, way: usize) -> u32 {
        self.keys[way]
    }

    #[inline(always)]
    fn value(&self, way: usize) -> &u32 {
        &self.values[way]
    }

    #[inline(always)]
    fn is_vacant(&self, way: usize) -> bool {
        self.values[way] == 0
    }

    #[inline(always)]
    fn set(&mut self, way: usize, key: u32, value: u32) {
        (self.keys[way], self.values[way]) = (key, value);
    }
}

/// Three IPv6 addresses, or prefixes, and what they stand for. Keys are in two halves, the high one first.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Ipv6Bucket {
    keys: [[u64; 2]; 3],
    values: [u32; 3],
    /// Zero.
    reserved: u32,
}

impl BucketKey for [u64; 2] {
    #[inline(always)]
    fn hash(&self, seeds: &Seeds) -> u64 {
        let [high, low] = *self;
        seeds.hash([(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32])
    }
}

impl Bucket for Ipv6Bucket {
    type Key = [u64; 2];
    type Value = u32;
    const WAYS: usize = 3;

    #[inline(always)]
    fn key(&self, way: usize) -> [u64; 2] {
        self.keys[way]
    }

    #[inline(always)]
    fn value(&self, way: usize) -> &u32 {
        &self.values[way]
    }

    #[inline(always)]
    fn is_vacant(&self, way: usize) -> bool {
        self.values[way] == 0
    }

    #[inline(always)]
    fn set(&mut self, way: usize, key: [u64; 2], value: u32) {
        (self.keys[way], self.values[way]) = (key, value);
    }
}
