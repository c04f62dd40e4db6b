//! Connections: what they are found by, and what is known of them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Address;

/// A connection, the same for both directions: the lower `(address, port)` is the first end.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct ConnectionKey {
    /// Lower end, by address, then port.
    pub low: Address,
    /// Higher end.
    pub high: Address,
    /// Port of the lower end, host byte order; the identifier, at both ends, for ICMP echo.
    pub low_port: u16,
    /// Port of the higher end.
    pub high_port: u16,
    /// IP protocol number; for ICMP echo with [`ECHO_FROM_HIGH`] added where the higher end asks, so that two
    /// ends that ping each other with one identifier keep two entries.
    pub protocol: u32,
}

/// Bit of [`ConnectionKey::protocol`]: the higher end sends the echo requests.
pub const ECHO_FROM_HIGH: u32 = 1 << 8;

/// The higher end opened the connection.
pub const CONNECTION_FROM_HIGH: u32 = 1;
/// A packet of the answering end was seen.
pub const CONNECTION_ANSWERED: u32 = 2;
/// A FIN (or SCTP SHUTDOWN) was seen.
pub const CONNECTION_CLOSING: u32 = 4;
/// A RST (or SCTP ABORT) was seen.
pub const CONNECTION_RESET: u32 = 8;
/// Cut. Such an entry is kept where another node enforces for the opener and a packet of the answering end could
/// open: it would pass there as an answer, and the opener's packets here as answers to it.
pub const CONNECTION_CUT: u32 = 16;

/// The opener is behind this node, and what allows it there tracks nothing: its packets are judged one by one.
pub const CONNECTION_OPENER_UNTRACKED: u32 = 32;
/// The same of the answering end.
pub const CONNECTION_ANSWERER_UNTRACKED: u32 = 64;

/// The opener went on after it was answered, so both ends are where they say, and mean it. A SYN from a forged address
/// never gets as far, though the server answers it; nor does a query that one answer ends.
pub const CONNECTION_ASSURED: u32 = 128;

/// No longer allowed: it goes on until it ends by itself or falls silent.
pub const CONNECTION_DRAINING: u32 = 256;

/// State of a tracked connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ConnectionEntry {
    /// Time of the last packet: nanoseconds of CLOCK_MONOTONIC (`bpf_ktime_get_ns`).
    pub last_seen: u64,
    /// The generation that judged it last. Another one in force: judge again before anything passes.
    pub generation: u64,
    /// Bits `CONNECTION_*`.
    pub flags: u32,
    /// The rule that allowed it (of the stricter end: ingress where this node judged both), or that lets it drain.
    pub rule: u32,
}
