//! Policy: what is asked, what is answered, and the buckets that hold both.
//!
//! Few decision lists are of many policies: whoever is behind one rule, towards whoever it names, has the same. So a bucket
//! says of a policy only which list it has, and five policies are in a cache line. Most lists are short: a service or a range
//! of ports between two denials. An entry holds such a list itself; longer ones are runs in an array.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Bucket, BucketKey, Seeds};

/// Direction of policy, seen from the workload.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the workload.
    Ingress = 0,
    /// From the workload.
    Egress = 1,
}

/// What policy is looked up by in [`map::POLICIES`](crate::map::POLICIES).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct PolicyKey {
    /// The slot, 0 or 1.
    pub slot: u32,
    /// Identity of the workload that the policy is for, below [`PolicyKey::SUBJECTS`].
    pub subject: u32,
    /// [`AddressEntry::class`](crate::AddressEntry::class) of the other end; 0 is the row's default, used when the class has
    /// no entry.
    pub peer: u32,
    /// A [`Direction`], as `u32`.
    pub direction: u32,
}

impl PolicyKey {
    /// Identities below this may be subjects: buckets have the direction in the highest bit.
    pub const SUBJECTS: u32 = 1 << DIRECTION_SHIFT;

    /// As the buckets of its slot have it: subject and direction, and the peer.
    #[inline(always)]
    pub fn to_words(self) -> [u32; 2] {
        [self.subject | self.direction << DIRECTION_SHIFT, self.peer]
    }

    /// From a bucket of `slot`.
    pub fn from_words(slot: u32, [subject, peer]: [u32; 2]) -> Self {
        let direction = subject >> DIRECTION_SHIFT;
        Self { slot, subject: subject & (Self::SUBJECTS - 1), peer, direction }
    }
}

const DIRECTION_SHIFT: u32 = 31;

/// A run of layer-4 keys with one decision, from `start` to the next interval's start.
///
/// A layer-4 key is `protocol << 16 | low`, where `low` is the destination port (TCP, UDP, SCTP),
/// `type << 8 | code` (ICMP, ICMPv6) or 0. A policy's intervals are sorted; the first starts at 0.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct Interval {
    /// First layer-4 key of the run.
    pub start: u32,
    /// The rule, or tier default, that decides.
    pub rule: u32,
    /// Bits: [`DECISION_ALLOW`], [`DECISION_STATELESS`], [`DECISION_LOG`], [`DECISION_DRAIN`]. Zero denies.
    pub decision: u32,
}

/// The connection is allowed.
pub const DECISION_ALLOW: u32 = 1;
/// Allowed without an entry in the connection table: replies need a rule of their own.
pub const DECISION_STATELESS: u32 = 2;
/// The rule wants its decisions logged.
pub const DECISION_LOG: u32 = 4;
/// Denied, but connections that were established before go on until they end.
pub const DECISION_DRAIN: u32 = 8;

/// Intervals of a policy in [`map::INTERVALS`](crate::map::INTERVALS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// Index of the first, the slot's base included.
    pub first: u32,
    /// Their number, at least 1.
    pub count: u32,
}

/// What a policy decides, element of [`map::LISTS`](crate::map::LISTS): up to three intervals, or where there are more of them.
/// Never zero, which decides nothing. No entry for the class and none for the default: denied.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct PolicyEntry([u64; PolicyEntry::INLINE]);

/// Bits of an interval in an entry: its start, its decision, and one that says that it is an interval; the rule above.
const START: u64 = (1 << 24) - 1;
const DECISION_SHIFT: u32 = 24;
const DECISION: u64 = (1 << 7) - 1;
const PRESENT: u64 = 1 << 31;
const HIGH_SHIFT: u32 = 32;
/// The lower half of an entry's first word where it is a run's: its first index is above, its count in the second word.
const RUN: u64 = 1;

impl PolicyEntry {
    /// Intervals that an entry has room for.
    pub const INLINE: usize = 3;

    /// The entry that holds these intervals itself; `None` where they are none, too many, or have bits that it has no room for.
    pub fn inline(intervals: &[Interval]) -> Option<Self> {
        let mut words = [0; Self::INLINE];
        if !(1..=words.len()).contains(&intervals.len()) {
            return None;
        }
        for (word, interval) in words.iter_mut().zip(intervals) {
            *word = pack(interval)?;
        }
        Some(Self(words))
    }

    /// The entry whose intervals are in the array.
    pub fn indexed(Run { first, count }: Run) -> Self {
        Self([u64::from(first) << HIGH_SHIFT | RUN, count.into(), 0])
    }

    /// Where its intervals are, unless it holds them itself.
    #[inline(always)]
    pub fn run(&self) -> Option<Run> {
        let [first, count, _] = self.0;
        let is_run = first as u32 as u64 == RUN;
        is_run.then_some(Run { first: (first >> HIGH_SHIFT) as u32, count: count as u32 })
    }

    /// The intervals that it holds itself.
    pub fn intervals(&self) -> impl Iterator<Item = Interval> + use<> {
        self.0.into_iter().take_while(|word| word & PRESENT != 0).map(unpack)
    }

    /// Of those, the last that starts at or before `key`.
    #[inline(always)]
    pub fn find(&self, key: u32) -> Option<Interval> {
        let begun = |word: u64| word & PRESENT != 0 && word & START <= key as u64;
        let [first, second, third] = self.0;
        if !begun(first) {
            return None;
        }
        let last = match begun(second) {
            false => first,
            true if begun(third) => third,
            true => second,
        };
        Some(unpack(last))
    }
}

fn pack(interval: &Interval) -> Option<u64> {
    let Interval { start, rule, decision } = *interval;
    let (start, decision) = (u64::from(start), u64::from(decision));
    let fits = start <= START && decision <= DECISION;
    fits.then_some(start | decision << DECISION_SHIFT | PRESENT | u64::from(rule) << HIGH_SHIFT)
}

#[inline(always)]
fn unpack(word: u64) -> Interval {
    Interval {
        start: (word & START) as u32,
        rule: (word >> HIGH_SHIFT) as u32,
        decision: (word >> DECISION_SHIFT & DECISION) as u32,
    }
}

/// Which list a policy has: its index in the slot's part of [`map::LISTS`](crate::map::LISTS), plus one, so that zero stands for
/// "vacant" in buckets.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ListNumber(u32);

impl ListNumber {
    /// Of the list at an index.
    pub fn of(index: u32) -> Self {
        Self(index + 1)
    }

    /// The index.
    #[inline(always)]
    pub fn index(self) -> u32 {
        self.0.wrapping_sub(1)
    }
}

/// Five policies: keys as [`PolicyKey::to_words`] makes them, and which list each has.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PolicyBucket {
    keys: [[u32; 2]; 5],
    values: [ListNumber; 5],
    /// Zero.
    reserved: u32,
}

impl BucketKey for [u32; 2] {
    #[inline(always)]
    fn hash(&self, seeds: &Seeds) -> u64 {
        seeds.hash(*self)
    }
}

impl Bucket for PolicyBucket {
    type Key = [u32; 2];
    type Value = ListNumber;
    const WAYS: usize = 5;

    #[inline(always)]
    fn key(&self, way: usize) -> [u32; 2] {
        self.keys[way]
    }

    #[inline(always)]
    fn value(&self, way: usize) -> &ListNumber {
        &self.values[way]
    }

    #[inline(always)]
    fn is_vacant(&self, way: usize) -> bool {
        self.values[way].0 == 0
    }

    #[inline(always)]
    fn set(&mut self, way: usize, key: [u32; 2], value: ListNumber) {
        (self.keys[way], self.values[way]) = (key, value);
    }
}
