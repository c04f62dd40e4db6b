//! Packets that passed a moment ago: the short way for the next of their kind.
//!
//! A packet of an established connection passes checks that need several tables: where its ends are, the failsafe
//! services, the connection, its generation. That one passed is noted in an array of buckets, a cache line each, under
//! everything the checks depend on. For some seconds the next packet of the same flow, direction and port under
//! the same generation needs nothing else. The note is never more than a copy: it grants no packet what the tables would
//! not, or would not have a moment ago.
//!
//! A note is one word, because as many as possible have to be in the caches nearest to a CPU. It holds the time, and hashes
//! of what it is about instead of that itself: 32 bits of the flow, of which its place says the higher ones, and 32 of the
//! flow with the port and the tables in force. They are keyed with random numbers that only this node knows, and the chance
//! that a packet of another flow is taken for the noted one is below 2⁻⁶², whoever makes the packets ([`Seeds::digest`]).
//!
//! Any CPU writes notes without a lock: each is written whole.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Address, Seeds};

/// What a packet says of itself: from where to where, in its own direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// Where it is from.
    pub source: Address,
    /// Where it is going.
    pub destination: Address,
    /// Source port, then destination port.
    pub ports: u32,
    /// IP protocol number, with [`Flow::IPV6`] for packets of IPv6.
    pub protocol: u32,
}

/// A flow, where its packets came in, and the tables that were in force. Only of a port that is at home: whoever goes by a note
/// counts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Passage {
    /// The flow.
    pub flow: Flow,
    /// The port they were received on.
    pub ifindex: u32,
    /// [`Config::ports`](crate::Config::ports) then.
    pub ports: u32,
    /// The generation in force.
    pub generation: u64,
    /// The slot in use, 0 or 1.
    pub slot: u32,
}

/// What time is told in: 2⁸ jiffies, because no other clock costs as little as one load. Jiffies are 1 to 10 milliseconds, as
/// the kernel was configured (HZ is 1000 to 100; most have 250), so a tick is a quarter of a second to 2.6 s.
pub const TICK_BITS: u32 = 8;
/// Ticks after its own in which a note is believed, which is 3.1 to 4.1 s at HZ = 250, and 10.3 s at most. That has to be less
/// than the shortest time that a connection may be idle, 15 s, because its entry is not looked at meanwhile.
pub const NOTE_TICKS: u32 = 3;
/// Ticks come again after 2¹², and the hash of everything includes how often they have: at HZ = 250 all notes are worthless
/// once in seventy minutes, and none that is older is believed.
const TICKS_BITS: u32 = 12;
const TICKS: u32 = (1 << TICKS_BITS) - 1;
/// Notes of a bucket.
const WAYS: usize = 8;

/// Eight notes; a vacant place is zero. From the highest bit on: 32 of a hash of everything, the lower 20 of [`Flow::tag`], and 12
/// of the tick.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PassageBucket(pub [u64; WAYS]);

/// Random numbers for notes; two sets, for hashes that know nothing of each other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct NoteSeeds {
    /// For the hash of the flow.
    pub flow: Seeds,
    /// For the hash of everything.
    pub check: Seeds,
}

impl Flow {
    /// Bit of [`Flow::protocol`]. Addresses would tell as well, but not before they were looked at.
    pub const IPV6: u32 = 1 << 31;

    /// The flow of the answers.
    pub fn reversed(&self) -> Self {
        let Self { source, destination, ports, protocol } = *self;
        Self { source: destination, destination: source, ports: ports.rotate_left(16), protocol }
    }

    /// The same for all notes of the flow: what says where they are, and whose.
    #[inline(always)]
    pub fn tag(&self, seeds: &Seeds) -> FlowTag {
        let Self { ports, protocol, .. } = *self;
        FlowTag(if self.is_ipv6() {
            let [a, b, c, d, e, f, g, h] = self.ipv6();
            seeds.scatter([ports, protocol, a, b, c, d, e, f, g, h])
        } else {
            let [from, to] = self.ipv4();
            seeds.scatter([ports, protocol, from, to])
        })
    }

    #[inline(always)]
    fn is_ipv6(&self) -> bool {
        self.protocol & Self::IPV6 != 0
    }

    #[inline(always)]
    fn ipv4(&self) -> [u32; 2] {
        let ([_, source], [_, destination]) = (self.source.halves(), self.destination.halves());
        [source as u32, destination as u32]
    }

    #[inline(always)]
    fn ipv6(&self) -> [u32; 8] {
        let ([a, b], [c, d]) = (self.source.halves(), self.destination.halves());
        let high = |half: u64| (half >> 32) as u32;
        [high(a), a as u32, high(b), b as u32, high(c), c as u32, high(d), d as u32]
    }
}

impl Passage {
    /// A hash of everything, and of the lower 22 bits of `round`, which counts how often the time of notes came again.
    #[inline(always)]
    pub(crate) fn check(&self, seeds: &Seeds, round: u32) -> u32 {
        let Self { flow, ifindex, ports, generation, slot } = self;
        let (newer, older) = (*generation as u32, (*generation >> 32) as u32);
        let about = flow.protocol | (slot & 1) << 8 | (round & 0x3f_ffff) << 9;
        if flow.is_ipv6() {
            let [a, b, c, d, e, f, g, h] = flow.ipv6();
            seeds.digest([flow.ports, about, *ifindex, *ports, newer, older, a, b, c, d, e, f, g, h])
        } else {
            let [from, to] = flow.ipv4();
            seeds.digest([flow.ports, about, *ifindex, *ports, newer, older, from, to])
        }
    }
}

/// The hash of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTag(pub(crate) u32);

impl FlowTag {
    /// The index of the bucket that notes of the flow are in, of 4,096 or more.
    #[inline(always)]
    pub fn place(self, buckets: u32) -> u32 {
        // A product instead of a remainder: eBPF divides slowly.
        ((self.0 as u64 * buckets as u64) >> 32) as u32
    }

    /// Takes back what a bucket notes of the flow, wherever its packets came in. `word` reads one of the bucket.
    #[inline(always)]
    pub fn erase(self, word: impl Fn(usize) -> u64, set: impl Fn(usize, u64)) {
        let mut at = 0;
        while at < WAYS {
            if self.is_of(word(at)) {
                set(at, 0);
            }
            at += 1;
        }
    }

    /// Whether the note in a word is of the flow, as far as a word can say.
    #[inline(always)]
    fn is_of(self, word: u64) -> bool {
        word as u32 >> TICKS_BITS == self.0 & (u32::MAX >> TICKS_BITS)
    }
}

/// A passage as buckets have it, at some time.
pub struct Note {
    tag: FlowTag,
    word: u64,
}

impl Note {
    /// The note of a passage at `now`, in jiffies.
    #[inline(always)]
    pub fn new(passage: &Passage, now: u64, seeds: &NoteSeeds) -> Self {
        let tag = passage.flow.tag(&seeds.flow);
        let check = passage.check(&seeds.check, (now >> (TICK_BITS + TICKS_BITS)) as u32);
        let tick = (now >> TICK_BITS) as u32 & TICKS;
        Self { tag, word: (check as u64) << 32 | (tag.0 << TICKS_BITS | tick) as u64 }
    }

    /// The index of the bucket it may be in.
    #[inline(always)]
    pub fn place(&self, buckets: u32) -> u32 {
        self.tag.place(buckets)
    }

    /// Whether a bucket has it, and of a moment ago. `word` reads one of the bucket.
    #[inline(always)]
    pub fn is_in(&self, word: impl Fn(usize) -> u64) -> bool {
        let mut at = 0;
        while at < WAYS {
            // The time is in the lowest bits, so a note of the same is less than this one by as many ticks as it is older.
            if self.word.wrapping_sub(word(at)) <= NOTE_TICKS as u64 {
                return true;
            }
            at += 1;
        }
        false
    }

    /// Writes it by `set` over an older one of its flow, or over one that is no longer believed; else there is no room.
    #[inline(always)]
    pub fn write(&self, word: impl Fn(usize) -> u64, set: impl Fn(usize, u64)) -> bool {
        let mut at = 0;
        while at < WAYS {
            let there = word(at);
            if self.tag.is_of(there) || !self.is_recent(there) {
                set(at, self.word);
                return true;
            }
            at += 1;
        }
        false
    }

    /// Whether another note is believed still: by its time alone, so that one of long ago may seem so for some seconds.
    #[inline(always)]
    fn is_recent(&self, word: u64) -> bool {
        word != 0 && (self.word as u32).wrapping_sub(word as u32) & TICKS <= NOTE_TICKS
    }
}
