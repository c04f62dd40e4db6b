//! Packets that passed a moment ago: the short way for the next of their kind.
//!
//! A packet of an established connection passes checks that need several tables: where its ends are, the failsafe
//! services, the connection, its generation. That one passed is noted in an array of buckets, a cache line each, under
//! everything the checks depend on. For some seconds the next packet of the same flow, direction and port under
//! the same generation needs nothing else. The note is never more than a copy: it grants no packet what the tables would
//! not, or would not have a moment ago.
//!
//! A note is 16 bytes, and holds hashes of what it is about instead of that itself: 64 bits of the flow, 32 of the flow
//! with the port and the tables in force. They are keyed with random numbers that only this node knows, and the chance
//! that a packet of another flow is taken for the noted one is below 2⁻⁶⁴, whoever makes the packets ([`Seeds::digest`]).
//!
//! Any CPU writes notes without a lock. One half written, or by two at once, is not believed: of two words, each written
//! whole, the one must agree with the other.

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
    /// IP protocol number.
    pub protocol: u32,
}

/// A flow, where its packets came in, and the tables that were in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Passage {
    /// The flow.
    pub flow: Flow,
    /// The port they were received on.
    pub ifindex: u32,
    /// That port's role, by a number that roles share whose packets are judged alike; below 256.
    pub role: u32,
    /// The generation in force.
    pub generation: u64,
    /// The slot in use.
    pub slot: u32,
}

/// What time is told in: 2⁸ jiffies, because no other clock costs as little as one load. Jiffies are 1 to 10 milliseconds, as
/// the kernel was configured (HZ is 1000 to 100; most have 250), so a tick is a quarter of a second to 2.6 s.
pub const TICK_BITS: u32 = 8;
/// Ticks after its own in which a note is believed, which is 3.1 to 4.1 s at HZ = 250, and 10.3 s at most. That has to be less
/// than the shortest time that a connection may be idle, 15 s, because its entry is not looked at meanwhile.
pub const NOTE_TICKS: u32 = 3;
/// Notes of a bucket.
pub(crate) const WAYS: usize = 4;

/// Four notes.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PassageBucket(pub [u64; 2 * WAYS]);

/// Random numbers for notes; two sets, for hashes that know nothing of each other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct NoteSeeds {
    /// For the hash of the flow.
    pub flow: Seeds,
    /// For the hash of everything.
    pub check: Seeds,
}

const IPV6: u32 = 1 << 31;

impl Flow {
    /// The flow of the answers.
    pub fn reversed(&self) -> Self {
        let Self { source, destination, ports, protocol } = *self;
        Self { source: destination, destination: source, ports: ports.rotate_left(16), protocol }
    }

    /// The same for all notes of the flow: the word they begin with, which also says where they are.
    #[inline(always)]
    pub fn tag(&self, seeds: &Seeds) -> FlowTag {
        let Self { ports, protocol, .. } = *self;
        FlowTag(match self.ipv4() {
            Some([from, to]) => seeds.hash([ports, protocol, from, to]),
            None => {
                let [a, b, c, d, e, f, g, h] = self.ipv6();
                seeds.hash([ports, protocol | IPV6, a, b, c, d, e, f, g, h])
            }
        })
    }

    #[inline(always)]
    fn ipv4(&self) -> Option<[u32; 2]> {
        Some([self.source.ipv4()?, self.destination.ipv4()?])
    }

    #[inline(always)]
    fn ipv6(&self) -> [u32; 8] {
        let ([a, b], [c, d]) = (self.source.halves(), self.destination.halves());
        let high = |half: u64| (half >> 32) as u32;
        [high(a), a as u32, high(b), b as u32, high(c), c as u32, high(d), d as u32]
    }
}

impl Passage {
    /// A hash of everything, and of `also`.
    #[inline(always)]
    pub(crate) fn check(&self, seeds: &Seeds, also: u32) -> u32 {
        let Self { flow, ifindex, role, generation, slot } = self;
        let (newer, older) = (*generation as u32, (*generation >> 32) as u32);
        let about = flow.protocol | role << 8 | slot << 16;
        match flow.ipv4() {
            Some([from, to]) => seeds.digest([flow.ports, about, *ifindex, newer, older, from, to, also]),
            None => {
                let [a, b, c, d, e, f, g, h] = flow.ipv6();
                let about = about | IPV6;
                seeds.digest([flow.ports, about, *ifindex, newer, older, a, b, c, d, e, f, g, h, also])
            }
        }
    }
}

/// The hash of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTag(pub(crate) u64);

impl FlowTag {
    /// The index of the bucket that notes of the flow are in.
    #[inline(always)]
    pub fn place(self, buckets: u32) -> u32 {
        // A product instead of a remainder: eBPF divides slowly.
        (((self.0 >> 32) * buckets as u64) >> 32) as u32
    }

    /// Takes back what a bucket notes of the flow, wherever its packets came in. `word` reads one of the bucket.
    #[inline(always)]
    pub fn erase(self, word: impl Fn(usize) -> u64, set: impl Fn(usize, u64)) {
        let mut at = 0;
        while at < 2 * WAYS {
            if word(at) == self.0 {
                set(at + 1, 0);
            }
            at += 2;
        }
    }
}

/// A passage as buckets have it.
pub struct Note {
    tag: FlowTag,
    check: u32,
    tick: u32,
}

impl Note {
    /// The note of a passage at `now`, in jiffies.
    #[inline(always)]
    pub fn new(passage: &Passage, now: u64, seeds: &NoteSeeds) -> Self {
        let check = passage.check(&seeds.check, 0);
        Self { tag: passage.flow.tag(&seeds.flow), check, tick: (now >> TICK_BITS) as u32 }
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
        while at < 2 * WAYS {
            if word(at) == self.tag.0 {
                let when = word(at + 1);
                if (when >> 32) as u32 == self.check && self.is_recent(when) {
                    return true;
                }
            }
            at += 2;
        }
        false
    }

    /// Writes it by `set` over an older one of its flow, or over one that is no longer believed; else there is no room.
    #[inline(always)]
    pub fn write(&self, word: impl Fn(usize) -> u64, set: impl Fn(usize, u64)) -> bool {
        let mut at = 0;
        while at < 2 * WAYS {
            if word(at) == self.tag.0 || !self.is_recent(word(at + 1)) {
                set(at, self.tag.0);
                set(at + 1, (self.check as u64) << 32 | self.tick as u64);
                return true;
            }
            at += 2;
        }
        false
    }

    #[inline(always)]
    fn is_recent(&self, when: u64) -> bool {
        self.tick.wrapping_sub(when as u32) <= NOTE_TICKS
    }
}
