//! The small world of the cases: who has which address, and what policy says.

use std::net::IpAddr;

use selvedge_abi::{
    ABI_VERSION, Address, AddressEntry, AddressKey, Config, ConnectionEntry, ConnectionKey, DECISION_ALLOW,
    DECISION_LOG, DECISION_STATELESS, Direction, FailsafeKey, Interval, NodeRole, PolicyEntry, PolicyKey,
    PortEntry, PortRole, PrefixKey, Run, Timeouts,
};

use super::{MemoryTables, PORT, SECOND};

/// The generation in force.
pub const GENERATION: u64 = 7;
/// Interface index of another workload port.
pub const OTHER_PORT: u32 = 2;
/// The slot in use.
pub const SLOT: u32 = 1;

/// Identity of `10.0.0.1` and `fd00::1`, behind [`PORT`] where that is a workload port.
pub const WEB: u32 = 256;
/// Identity of `10.0.0.2` and `fd00::2`, behind [`OTHER_PORT`].
pub const APP: u32 = 257;
/// Identity of `10.0.0.3` and `fd00::3`, behind another node.
pub const DB: u32 = 258;
/// Identity of `10.0.0.4`, behind [`PORT`] where that is a workload port, without a policy.
pub const LONE: u32 = 259;
/// Identity and class of `10.9.0.0/16`.
pub const OFFICE: u32 = 0x0100_0009;

/// Rule numbers of one row: the base plus one of these.
pub mod rule {
    /// Base of what leaves [`super::WEB`].
    pub const WEB_EGRESS: u32 = 100;
    /// Base of what enters [`super::WEB`].
    pub const WEB_INGRESS: u32 = 200;
    /// Base of what leaves [`super::APP`].
    pub const APP_EGRESS: u32 = 300;
    /// Base of what enters [`super::APP`].
    pub const APP_INGRESS: u32 = 400;
    /// Denies what no other rule allows. Not added to a base as 0, so that it can be told from "no rule".
    pub const DEFAULT: u32 = 1;
    /// Allows TCP 80.
    pub const HTTP: u32 = 2;
    /// Allows UDP 53.
    pub const DNS: u32 = 3;
    /// Denies TCP 22, with a log.
    pub const SSH: u32 = 4;
    /// Allows UDP 123 without state.
    pub const NTP: u32 = 5;
    /// Allows TCP 179 without state.
    pub const BGP: u32 = 6;
    /// Allows echo requests.
    pub const PING: u32 = 7;
    /// Allows SCTP 3868.
    pub const DIAMETER: u32 = 8;
    /// Allows ICMP timestamp requests (13), and ICMPv6 node information queries (139).
    pub const QUERY: u32 = 9;
    /// Allows TCP 443, with a log.
    pub const HTTPS: u32 = 10;
    /// Allows GRE.
    pub const GRE: u32 = 11;
    /// Allows ESP.
    pub const ESP: u32 = 12;
    /// From [`super::WEB`] to the class of [`super::DB`]: denied, whatever it is.
    pub const WEB_TO_DB: u32 = 190;
    /// From [`super::WEB`] to the class of [`super::OFFICE`]: allowed, whatever it is.
    pub const WEB_TO_OFFICE: u32 = 191;
}

const SERVICES: [(u32, u32, u32); 13] = [
    (1 << 16 | 8 << 8, rule::PING, DECISION_ALLOW),
    (1 << 16 | 13 << 8, rule::QUERY, DECISION_ALLOW),
    (6 << 16 | 22, rule::SSH, DECISION_LOG),
    (6 << 16 | 80, rule::HTTP, DECISION_ALLOW),
    (6 << 16 | 179, rule::BGP, DECISION_ALLOW | DECISION_STATELESS),
    (6 << 16 | 443, rule::HTTPS, DECISION_ALLOW | DECISION_LOG),
    (17 << 16 | 53, rule::DNS, DECISION_ALLOW),
    (17 << 16 | 123, rule::NTP, DECISION_ALLOW | DECISION_STATELESS),
    (47 << 16, rule::GRE, DECISION_ALLOW),
    (50 << 16, rule::ESP, DECISION_ALLOW),
    (58 << 16 | 128 << 8, rule::PING, DECISION_ALLOW),
    (58 << 16 | 139 << 8, rule::QUERY, DECISION_ALLOW),
    (132 << 16 | 3868, rule::DIAMETER, DECISION_ALLOW),
];

/// Idle times of the world, in seconds.
pub const TIMEOUTS: Timeouts =
    Timeouts { tcp_established: 60, half_open: 10, closing: 5, udp: 20, icmp: 8, other: 25, fragment: 6 };

/// The address, v4-mapped where it is IPv4.
///
/// # Panics
/// If the text is no address.
pub fn address(text: &str) -> Address {
    match text.parse().expect(text) {
        IpAddr::V4(v4) => Address::from_ipv4(v4.octets()),
        IpAddr::V6(v6) => Address(v6.octets()),
    }
}

/// A node with a policy in force, on whose [`PORT`] of this role frames arrive.
pub fn world(role: PortRole) -> MemoryTables {
    let behind = if matches!(role, PortRole::Workload) { PORT } else { OTHER_PORT + 1 };
    let mut tables = MemoryTables {
        config: Config {
            generation: GENERATION,
            slot: SLOT,
            abi: ABI_VERSION,
            node_role: NodeRole::Host as u32,
            timeouts: TIMEOUTS,
            event_share: 0,
            ports: 0,
        },
        ..before_any_generation(role)
    };
    for (text, identity, ifindex) in [
        ("10.0.0.1", WEB, behind),
        ("fd00::1", WEB, behind),
        ("10.0.0.2", APP, OTHER_PORT),
        ("fd00::2", APP, OTHER_PORT),
        ("10.0.0.3", DB, 0),
        ("fd00::3", DB, 0),
        ("10.0.0.4", LONE, behind),
        ("10.0.0.100", selvedge_abi::IDENTITY_HOST, 0),
        ("fd00::100", selvedge_abi::IDENTITY_HOST, 0),
    ] {
        let entry = AddressEntry { identity, class: identity, ifindex };
        tables.addresses.insert(AddressKey { slot: SLOT, address: address(text) }, entry);
    }
    let office = PrefixKey { slot: SLOT, length: 96 + 16, address: address("10.9.0.0") };
    tables.prefixes.insert(office, AddressEntry { identity: OFFICE, class: OFFICE, ifindex: 0 });
    for (subject, direction, base) in [
        (WEB, Direction::Egress, rule::WEB_EGRESS),
        (WEB, Direction::Ingress, rule::WEB_INGRESS),
        (APP, Direction::Egress, rule::APP_EGRESS),
        (APP, Direction::Ingress, rule::APP_INGRESS),
    ] {
        tables.add_policy(subject, 0, direction, &services(base));
    }
    let all = |rule, decision| [Interval { start: 0, rule, decision }];
    tables.add_policy(WEB, DB, Direction::Egress, &all(rule::WEB_TO_DB, 0));
    tables.add_policy(WEB, OFFICE, Direction::Egress, &all(rule::WEB_TO_OFFICE, DECISION_ALLOW));
    tables
}

/// The same port before a generation arrived: it has a role and one failsafe service, UDP and TCP 2379 of
/// `10.0.0.99`.
pub fn before_any_generation(role: PortRole) -> MemoryTables {
    let mut tables = MemoryTables::default();
    tables.ports.insert(PORT, PortEntry { role: role as u32 });
    for protocol in [6, 17] {
        tables.failsafe.insert(FailsafeKey { remote: address("10.0.0.99"), remote_port: 2379, protocol });
    }
    tables
}

fn services(base: u32) -> std::vec::Vec<Interval> {
    let mut intervals = std::vec![Interval { start: 0, rule: base + rule::DEFAULT, decision: 0 }];
    for (key, rule, decision) in SERVICES {
        intervals.push(Interval { start: key, rule: base + rule, decision });
        intervals.push(Interval { start: key + 1, rule: base + rule::DEFAULT, decision: 0 });
    }
    intervals
}

impl MemoryTables {
    /// Adds a row's entry with its intervals, in the slot in use.
    pub fn add_policy(&mut self, subject: u32, peer: u32, direction: Direction, intervals: &[Interval]) {
        let key = PolicyKey { slot: self.config.slot, subject, peer, direction: direction as u32 };
        let entry = PolicyEntry::inline(intervals).unwrap_or_else(|| self.add_run(intervals));
        self.policies.insert(key, entry);
    }

    fn add_run(&mut self, intervals: &[Interval]) -> PolicyEntry {
        let run = Run { first: self.intervals.len() as u32, count: intervals.len() as u32 };
        self.intervals.extend((run.first..).zip(intervals.iter().copied()));
        PolicyEntry::indexed(run)
    }

    /// Every interval that a policy can meet.
    pub fn all_intervals(&self) -> impl Iterator<Item = Interval> {
        let inline = self.policies.values().flat_map(PolicyEntry::intervals);
        inline.chain(self.intervals.values().copied())
    }

    /// The same on another kind of node.
    #[must_use]
    pub fn on(mut self, role: NodeRole) -> Self {
        self.config.node_role = role as u32;
        self
    }

    /// With a connection of this generation whose last packet came `age` seconds ago.
    #[must_use]
    pub fn with(self, key: ConnectionKey, flags: u32, age: u64) -> Self {
        self.with_of_generation(GENERATION, key, flags, age)
    }

    /// With a connection that `generation` allowed.
    #[must_use]
    pub fn with_of_generation(self, generation: u64, key: ConnectionKey, flags: u32, age: u64) -> Self {
        let entry =
            ConnectionEntry { last_seen: self.clock.get() - age * SECOND, generation, flags, rule: 999 };
        self.connections.borrow_mut().insert(key, entry);
        self
    }
}

/// The key of a connection; the first end must be the lower one.
///
/// # Panics
/// If an address can't be read, or the ends are in the wrong order.
pub fn key(low: (&str, u16), high: (&str, u16), protocol: u32) -> ConnectionKey {
    let ((low, low_port), (high, high_port)) = (low, high);
    let (low, high) = (address(low), address(high));
    assert!(low < high, "{low:?} is not below {high:?}");
    ConnectionKey { low, high, low_port, high_port, protocol }
}
