//! Datagrams that come in fragments.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Address;

/// Key of [`crate::map::FRAGMENTS`]: a datagram whose first fragment was allowed and whose last has not come.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct FragmentKey {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Identification, host byte order; 16 bits of it for IPv4.
    pub id: u32,
    /// IP protocol number; for IPv6, whose later fragments don't say it, that of the fragment header (44).
    pub protocol: u32,
}

/// `next` of a datagram whose first fragment is being judged: no fragment begins there.
pub const FRAGMENT_CLAIMED: u16 = u16::MAX;

/// How far a datagram has come.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FragmentEntry {
    /// Time of the first fragment: nanoseconds of CLOCK_MONOTONIC. Its life, [`crate::Timeouts::fragment`], begins then.
    pub first_seen: u64,
    /// `id << 32 | next`, where `next` is the offset, in bytes, at which the next fragment has to begin. Programs
    /// change it by compare-and-exchange, so that of two fragments for one place only one passes.
    pub progress: u64,
}
