//! Counters of packets: per-CPU values, which readers add up.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Reason;

/// Packets and bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes of the frames, without the checksum at their end.
    pub bytes: u64,
}

impl Counter {
    /// One packet more.
    #[inline(always)]
    pub fn add(&mut self, bytes: u32) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

/// Key of [`map::REASON_COUNTERS`](crate::map::REASON_COUNTERS).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct ReasonKey {
    /// The port's interface index.
    pub ifindex: u32,
    /// A [`Reason`], as `u32`.
    pub reason: u32,
}

/// What most packets end in, counted without a hash where their port is at home. What others end in, or at other ports,
/// is in [`map::REASON_COUNTERS`](crate::map::REASON_COUNTERS), and may be in both.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PortCounters {
    /// [`Reason::Established`].
    pub established: Counter,
    /// [`Reason::PolicyAllow`].
    pub allowed: Counter,
    /// [`Reason::PolicyDeny`].
    pub denied: Counter,
}

impl PortCounters {
    /// The counter of a reason, if it is one of these.
    #[inline(always)]
    pub fn of(&mut self, reason: Reason) -> Option<&mut Counter> {
        match reason {
            Reason::Established => Some(&mut self.established),
            Reason::PolicyAllow => Some(&mut self.allowed),
            Reason::PolicyDeny => Some(&mut self.denied),
            _ => None,
        }
    }

    /// All of them.
    pub fn reasons(self) -> [(Reason, Counter); 3] {
        let Self { established, allowed, denied } = self;
        [(Reason::Established, established), (Reason::PolicyAllow, allowed), (Reason::PolicyDeny, denied)]
    }
}

/// Elements of [`map::NEAR_RULES`](crate::map::NEAR_RULES). Few, because every CPU has all of them.
pub const RULE_PLACES: u32 = 1 << 12;

/// Where a rule is at home.
#[inline(always)]
pub fn rule_place(rule: u32) -> u32 {
    rule % RULE_PLACES
}

/// The counter of a rule that is at home. Of several with one home one is there; the others are in
/// [`map::RULE_COUNTERS`](crate::map::RULE_COUNTERS).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RuleCounter {
    /// What it counted.
    pub counter: Counter,
    /// The rule; 0 where the place is vacant.
    pub rule: u32,
    /// Zero.
    pub reserved: u32,
}

impl RuleCounter {
    /// Of a rule that nothing was counted of.
    pub fn new(rule: u32) -> Self {
        Self { rule, ..Self::default() }
    }
}
