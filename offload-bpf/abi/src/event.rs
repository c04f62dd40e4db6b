//! What the programs tell user space of a packet.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Address;

/// Why an event was written: [`EventKind::Logged`] where a rule asked for it, whatever it decided, else by the
/// verdict. Packets of established connections write none.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A new connection was allowed.
    New = 1,
    /// A packet was denied or dropped.
    Drop = 2,
    /// A rule with `log` decided.
    Logged = 3,
    /// A connection begins to drain: what denies it from now on lets it end by itself.
    Draining = 4,
}

/// One packet's verdict. Fields that the packet did not have are zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Event {
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub time: u64,
    /// The generation in force, 0 for none.
    pub generation: u64,
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Source identity.
    pub source_identity: u32,
    /// Destination identity.
    pub destination_identity: u32,
    /// The rule that decided, 0 where none did.
    pub rule: u32,
    /// A [`crate::Reason`], as `u32`.
    pub reason: u32,
    /// An [`EventKind`], as `u32`.
    pub kind: u32,
    /// Interface index of the port.
    pub ifindex: u32,
    /// Length of the frame in bytes.
    pub length: u32,
    /// Source port, host byte order; ICMP: type.
    pub source_port: u16,
    /// Destination port, host byte order; ICMP: code.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// TCP flags, as in the header's 14th byte.
    pub tcp_flags: u8,
    /// Ethernet type, host byte order.
    pub ether_type: u16,
    /// Zero.
    pub reserved: u32,
}

/// What a CPU may write of events, and what it could not. Value of [`map::EVENT_SHARES`](crate::map::EVENT_SHARES).
///
/// A flood of denied packets would else spend more time on telling than on denying, and push out of the ring what else
/// there is to tell.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct EventShare {
    /// Events that were not written: the ring was full, or the share of the time was used up.
    pub lost: u64,
    /// The time that `written` is of, in ticks.
    pub tick: u32,
    /// Events written in that time.
    pub written: u32,
}

/// What an [`EventShare`] tells time in: 2² jiffies, 16 milliseconds where HZ is 250.
const EVENT_TICK_BITS: u32 = 2;

impl EventShare {
    /// Whether one more event may be written at `now`, in jiffies, where each tick may have `most`.
    #[inline(always)]
    pub fn has_room(&self, now: u64, most: u32) -> bool {
        self.tick != (now >> EVENT_TICK_BITS) as u32 || self.written < most
    }

    /// Takes note of an event that is to be written at `now`; whether it may.
    #[inline(always)]
    pub fn take(&mut self, now: u64, most: u32) -> bool {
        let tick = (now >> EVENT_TICK_BITS) as u32;
        if self.tick != tick {
            (self.tick, self.written) = (tick, 0);
        }
        let may = self.written < most;
        self.written += may as u32;
        may
    }
}
