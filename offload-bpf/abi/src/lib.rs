//! Map keys, map values and events: the one contract between the XDP programs and user space.
//!
//! Every type is `repr(C)` without padding (the zerocopy derives refuse it at compile time) and is read
//! and written as plain bytes on both sides. Integers are in host byte order unless a field says network
//! byte order; program and agent always run on the same machine. Changing anything here changes
//! [`ABI_VERSION`]: an agent never adopts pinned maps of another version, but for what is remembered of packets ([`map::REMEMBERED`]).
#![no_std]

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

mod bucket;
mod connection;
mod counter;
mod denial;
mod end;
mod event;
mod fragment;
mod hash;
mod passage;
mod policy;
mod port;
mod reason;
mod revocation;

pub use bucket::{Bucket, BucketKey, Half, Ipv4Bucket, Ipv6Bucket, buckets, find};
pub use connection::{
    CONNECTION_ANSWERED, CONNECTION_ANSWERER_UNTRACKED, CONNECTION_ASSURED, CONNECTION_CLOSING,
    CONNECTION_CUT, CONNECTION_DRAINING, CONNECTION_FROM_HIGH, CONNECTION_OPENER_UNTRACKED, CONNECTION_RESET,
    ConnectionEntry, ConnectionKey, ECHO_FROM_HIGH,
};
pub use counter::{Counter, PortCounters, RULE_PLACES, ReasonKey, RuleCounter, rule_place};
pub use denial::{DENIAL_BITS, Denial, DenialBucket};
pub use end::{End, Layout, Lengths, MAX_PREFIX_LENGTHS, ipv4_prefix, ipv6_prefix};
pub use event::{Event, EventKind, EventShare};
pub use fragment::{FRAGMENT_CLAIMED, FragmentEntry, FragmentKey};
pub use hash::{Seeds, choices};
pub use passage::{Flow, FlowTag, NOTE_TICKS, Note, NoteSeeds, Passage, PassageBucket, TICK_BITS};
pub use policy::{
    DECISION_ALLOW, DECISION_DRAIN, DECISION_LOG, DECISION_STATELESS, Direction, Interval, ListNumber,
    PolicyBucket, PolicyEntry, PolicyKey, Run,
};
pub use port::{MAX_PORTS, PORT_PLACES, PORT_PROBES, PortEntry, PortPlace, PortRole, port_place};
pub use reason::{Reason, Verdict};
pub use revocation::{Revocation, Revocations};

/// Version of this contract. Part of the pin directory's name and of [`Config`].
pub const ABI_VERSION: u32 = 6;

/// Number of table halves; a generation is written to the one that is not in use, then [`Config::slot`] flips.
pub const SLOTS: u32 = 2;

/// Intervals one slot can hold. Slot `s` owns indexes `s * INTERVALS_PER_SLOT ..` of the interval array.
pub const INTERVALS_PER_SLOT: u32 = 1 << 17;
/// IPv4 addresses of one slot.
pub const MAX_IPV4: u32 = 1 << 20;
/// IPv6 addresses of one slot.
pub const MAX_IPV6: u32 = 1 << 20;
/// Prefixes of one slot, of each family.
pub const MAX_PREFIXES: u32 = 1 << 16;
/// Distinct entries of addresses in one slot. Slot `s` owns indexes `s * MAX_ENDS ..` of the array.
pub const MAX_ENDS: u32 = 1 << 16;
/// Entries of the policy table in one slot. Slot `s` owns indexes `s * MAX_POLICIES ..` of the array of lists, so that each may
/// have one of its own.
pub const MAX_POLICIES: u32 = 1 << 17;
/// Connections that are [`CONNECTION_ASSURED`], or cut.
pub const DEFAULT_CONNECTIONS: u32 = 1 << 17;
/// Connections before that.
pub const DEFAULT_HALF_OPEN: u32 = 1 << 16;
/// Datagrams that come in fragments at one time.
pub const MAX_FRAGMENTS: u32 = 1 << 14;
/// Buckets of passages, of eight each. Of both directions of 60,000 flows at once, five in a hundred find no room and go
/// the long way.
pub const PASSAGE_BUCKETS: u32 = 5 << 12;
/// Buckets of denials, of four each. Few, so that they stay in a core's own cache: whatever is denied is looked for there.
pub const DENIAL_BUCKETS: u32 = 1 << 13;
/// Rules that can have a counter.
pub const MAX_RULES: u32 = 1 << 16;
/// Generations whose revocations are counted.
pub const MAX_REVOCATIONS: u32 = 16;
/// Failsafe entries of one node.
pub const MAX_FAILSAFE: u32 = 1 << 8;
/// Bytes of the event ring.
pub const EVENT_RING_BYTES: u32 = 1 << 20;
/// Steps of the binary search over intervals; enough for a whole slot.
pub const MAX_SEARCH_STEPS: u32 = 18;

/// Names of the maps, as the object declares them and as they are pinned.
pub mod map {
    /// ARRAY\[1\] of [`super::Config`].
    pub const CONFIG: &str = "CONFIG";
    /// ARRAY of [`super::PortPlace`], where [`super::port_place`] says.
    pub const PORTS: &str = "PORTS";
    /// ARRAY\[1\] of [`super::Layout`].
    pub const LAYOUT: &str = "LAYOUT";
    /// ARRAY of [`super::Ipv4Bucket`]: addresses.
    pub const IPV4: &str = "IPV4";
    /// ARRAY of [`super::Ipv6Bucket`]: addresses.
    pub const IPV6: &str = "IPV6";
    /// ARRAY of [`super::Ipv4Bucket`]: prefixes, as [`super::ipv4_prefix`] makes keys of them.
    pub const IPV4_PREFIXES: &str = "IPV4_PREFIXES";
    /// ARRAY of [`super::Ipv6Bucket`]: prefixes, as [`super::ipv6_prefix`] makes keys of them.
    pub const IPV6_PREFIXES: &str = "IPV6_PREFIXES";
    /// ARRAY, by slot, of [`super::Lengths`].
    pub const LENGTHS: &str = "LENGTHS";
    /// ARRAY of [`super::AddressEntry`], to which the buckets of addresses point.
    pub const ENDS: &str = "ENDS";
    /// ARRAY of [`super::PolicyBucket`].
    pub const POLICIES: &str = "POLICIES";
    /// ARRAY of [`super::PolicyEntry`], to which the buckets of policies point.
    pub const LISTS: &str = "LISTS";
    /// ARRAY of [`super::Interval`]: the runs that policies don't hold themselves.
    pub const INTERVALS: &str = "INTERVALS";
    /// HASH [`super::ConnectionKey`] → [`super::ConnectionEntry`]: connections that are assured, or cut. Nothing makes room
    /// in it but their end.
    pub const CONNECTIONS: &str = "CONNECTIONS";
    /// LRU_HASH [`super::ConnectionKey`] → [`super::ConnectionEntry`]: those that are not assured yet. When it is full, the one that
    /// was not used for longest gives way, so whoever floods it with openings crowds out openings, and nothing else.
    pub const HALF_OPEN: &str = "HALF_OPEN";
    /// HASH [`super::FragmentKey`] → [`super::FragmentEntry`].
    pub const FRAGMENTS: &str = "FRAGMENTS";
    /// ARRAY of [`super::PassageBucket`].
    pub const PASSAGES: &str = "PASSAGES";
    /// ARRAY of [`super::DenialBucket`].
    pub const DENIALS: &str = "DENIALS";
    /// HASH [`super::FailsafeKey`] → `u32` (1).
    pub const FAILSAFE: &str = "FAILSAFE";
    /// PERCPU_ARRAY, where [`super::rule_place`] says, of [`super::RuleCounter`].
    pub const NEAR_RULES: &str = "NEAR_RULES";
    /// PERCPU_HASH `u32` rule → [`super::Counter`], of rules that are not in [`NEAR_RULES`]. User space creates the entries.
    pub const RULE_COUNTERS: &str = "RULE_COUNTERS";
    /// PERCPU_HASH [`super::ReasonKey`] → [`super::Counter`]. User space creates the entries.
    pub const REASON_COUNTERS: &str = "REASON_COUNTERS";
    /// PERCPU_HASH `u64` generation → [`super::Revocations`]. User space creates the entries.
    pub const REVOCATIONS: &str = "REVOCATIONS";
    /// PERCPU_ARRAY, by a port's home in [`PORTS`], of [`super::PortCounters`].
    pub const PORT_COUNTERS: &str = "PORT_COUNTERS";
    /// PERCPU_ARRAY\[1\] of [`super::EventShare`].
    pub const EVENT_SHARES: &str = "EVENT_SHARES";
    /// RINGBUF of [`super::Event`].
    pub const EVENTS: &str = "EVENTS";
    /// What programs remember of packets. These outlive a change of [`ABI_VERSION`](super::ABI_VERSION): the programs of both
    /// versions go by the same ones, found by name and shape, while the one takes the other's place. Whoever changes
    /// what their keys or values mean gives them other names.
    pub const REMEMBERED: [&str; 3] = [CONNECTIONS, HALF_OPEN, FRAGMENTS];
    /// The maps whose number of entries the agent chooses when it makes them.
    pub const SIZED: [&str; 2] = [CONNECTIONS, HALF_OPEN];
    /// Every map, in the order above.
    pub const ALL: [&str; 25] = [
        CONFIG,
        PORTS,
        LAYOUT,
        IPV4,
        IPV6,
        IPV4_PREFIXES,
        IPV6_PREFIXES,
        LENGTHS,
        ENDS,
        POLICIES,
        LISTS,
        INTERVALS,
        CONNECTIONS,
        HALF_OPEN,
        FRAGMENTS,
        PASSAGES,
        DENIALS,
        FAILSAFE,
        NEAR_RULES,
        RULE_COUNTERS,
        REASON_COUNTERS,
        REVOCATIONS,
        PORT_COUNTERS,
        EVENT_SHARES,
        EVENTS,
    ];
}

/// The name of the XDP program in the object.
pub const PROGRAM_XDP: &str = "selvedge_xdp";
/// The name of the program for what the node itself sends, in the object.
pub const PROGRAM_EGRESS: &str = "selvedge_egress";
/// The name of the program that stands in for the XDP program while that changes its mode, in the object.
pub const PROGRAM_STAND_IN: &str = "selvedge_stand";

/// 16 bytes in network byte order: IPv6 as it is, IPv4 as `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2). A packet
/// that carries a v4-mapped address in an IPv6 header is dropped before any lookup, so the two can't be mixed up.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Address(pub [u8; 16]);

impl Address {
    /// The v4-mapped form of `octets` (network byte order).
    #[inline(always)]
    pub const fn from_ipv4(octets: [u8; 4]) -> Self {
        let [a, b, c, d] = octets;
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
    }

    /// The v4-mapped form of the address with this number.
    #[inline(always)]
    pub fn from_ipv4_number(number: u32) -> Self {
        Self::from_halves(0, 0xffff << 32 | number as u64)
    }

    /// The address whose 128-bit number has these halves, the high one first.
    #[inline(always)]
    pub fn from_halves(high: u64, low: u64) -> Self {
        Self(zerocopy::transmute!([high.to_be(), low.to_be()]))
    }

    /// The halves of the address's 128-bit number, the high one first.
    #[inline(always)]
    pub fn halves(self) -> [u64; 2] {
        let halves: [u64; 2] = zerocopy::transmute!(self.0);
        halves.map(u64::from_be)
    }

    /// The IPv4 address as a number, if it is one.
    #[inline(always)]
    pub fn ipv4(self) -> Option<u32> {
        let [high, low] = self.halves();
        (high == 0 && low >> 32 == 0xffff).then_some(low as u32)
    }
}

/// The one entry of [`map::CONFIG`]. All zeroes, as the kernel creates it, means: no generation, fail closed. In every version it
/// begins with the generation, so that an agent of another knows what is in force.
///
/// The kernel copies the element without a lock, so a program may see half of a write. A writer therefore
/// flips in two writes: first the new `slot` with the old `generation`, then the new `generation`. Programs
/// read `generation` before `slot`, and so never note a verdict of the old slot under the new generation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Config {
    /// Fabric-wide number of the generation in force; 0 while there is none.
    pub generation: u64,
    /// The slot in use, 0 or 1.
    pub slot: u32,
    /// [`ABI_VERSION`] of the writer.
    pub abi: u32,
    /// The node's [`NodeRole`], as `u32`.
    pub node_role: u32,
    /// Seconds without a packet after which each kind of connection ends; see [`Timeouts`].
    pub timeouts: Timeouts,
    /// Events that one CPU may write in a tick, plus one; 0 stands for the usual number. See [`EventShare`].
    pub event_share: u32,
    /// How often [`map::PORTS`] changed; every note is of one such number, so that whoever goes by it need not look at the port.
    /// Raised by whoever changes a port, after that; programs read it before they look at one.
    pub ports: u32,
}

impl Config {
    /// Events that one CPU may write in a tick.
    #[inline(always)]
    pub fn events_per_tick(event_share: u32) -> u32 {
        /// 8,000 a second where HZ is 250. The ring has room for a second of what one CPU writes.
        const USUALLY: u32 = 128;
        event_share.checked_sub(1).unwrap_or(USUALLY)
    }
}

/// Idle time, in seconds, after which a tracked connection no longer counts.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Timeouts {
    /// TCP and SCTP that are assured.
    pub tcp_established: u32,
    /// TCP and SCTP before that.
    pub half_open: u32,
    /// TCP after a FIN or RST.
    pub closing: u32,
    /// UDP.
    pub udp: u32,
    /// ICMP echo.
    pub icmp: u32,
    /// Any other protocol.
    pub other: u32,
    /// A datagram in fragments, from its first one; as long as receivers wait (RFC 8200 §4.5: 60).
    pub fragment: u32,
}

/// What kind of machine the node is.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeRole {
    /// A server.
    Host = 1,
    /// A BlueField-class DPU.
    Dpu = 2,
    /// The CPU of a switch: packets between two foreign addresses are transit, not an error.
    Switch = 3,
}

/// One exact address in one slot.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct AddressKey {
    /// The slot, 0 or 1.
    pub slot: u32,
    /// The address.
    pub address: Address,
}

/// One prefix in one slot. Those of IPv6 hold no IPv4 address, though `::/0` holds all v4-mapped ones as numbers.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct PrefixKey {
    /// The slot, 0 or 1.
    pub slot: u32,
    /// The prefix length of `address`, of 128 bits (IPv4: its own length plus 96).
    pub length: u32,
    /// The network address, host bits zero.
    pub address: Address,
}

impl PrefixKey {
    /// Bits of a v4-mapped address before the IPv4 address.
    pub const MAPPED_BITS: u32 = 96;

    /// Whether the prefix is one of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.length >= Self::MAPPED_BITS && self.address.ipv4().is_some()
    }
}

/// What the fabric knows of an address.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct AddressEntry {
    /// The identity, as users see it.
    pub identity: u32,
    /// The number policy is looked up by: the identity, refined by the CIDRs that rules name.
    pub class: u32,
    /// Interface index of the workload port behind which this node enforces for the address; 0 when elsewhere.
    pub ifindex: u32,
}

/// Identity of an address of which nothing is known.
pub const IDENTITY_UNKNOWN: u32 = 0;
/// Identity of this node's own addresses.
pub const IDENTITY_HOST: u32 = 1;
/// Identity of every address outside the fabric that no CIDR rule names.
pub const IDENTITY_WORLD: u32 = 2;

/// The first identity of a CIDR: from here on, an identity is of addresses outside the fabric.
pub const IDENTITY_FIRST_CIDR: u32 = 0x0100_0000;

/// Key of [`map::FAILSAFE`]: what a service that this node can't live without sends to the node itself. Passed on
/// uplink and fabric ports, with or without a generation; never to a workload, never from a workload port.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct FailsafeKey {
    /// The service's address (the packet's source).
    pub remote: Address,
    /// The service's port (the packet's source port), host byte order.
    pub remote_port: u16,
    /// IP protocol number.
    pub protocol: u16,
}
