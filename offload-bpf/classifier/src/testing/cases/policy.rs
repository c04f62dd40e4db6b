//! Who may send, who the ends are, and what policy says of new connections.

use std::{vec, vec::Vec};

use selvedge_abi::{
    CONNECTION_ANSWERED, CONNECTION_FROM_HIGH, ConnectionKey, Direction, NodeRole,
    PortRole::{Fabric, Uplink, Workload},
    Reason,
};

use super::{Case, Effect, connections::ASSURED, section};
use crate::testing::{
    CONNECTION_LIMIT, Tracked,
    frame::*,
    world::{APP, GENERATION, before_any_generation, key, rule::*, world},
};

pub(super) fn cases() -> Vec<Case> {
    [
        section::ENDS.of(ends()),
        section::JUDGED.of(judged()),
        section::STATELESS.of(stateless_and_logged()),
        section::FAILING_TABLES.of(tables_that_fail()),
    ]
    .concat()
}

pub(super) fn opened(key: ConnectionKey, flags: u32, rule: u32) -> Effect<ConnectionKey, Tracked> {
    Effect::Set(key, Tracked { age: 0, generation: GENERATION, flags, rule })
}

fn ends() -> Vec<Case> {
    let etcd = || packet("10.0.0.99", "10.0.0.100", tcp(2379, 40000, ACK));
    vec![
        Case::on(
            Workload,
            "a source of another port is spoofed",
            packet("10.0.0.2", "10.0.0.9", udp(1, 53)),
            Reason::Spoofed,
        ),
        Case::on(
            Workload,
            "a source of nobody is spoofed",
            packet("10.7.7.7", "10.0.0.9", udp(1, 53)),
            Reason::Spoofed,
        ),
        Case::on(
            Workload,
            "a link-local source is spoofed but for discovery",
            packet("fe80::5", "fd00::9", udp(1, 53)),
            Reason::Spoofed,
        ),
        Case::on(
            Uplink,
            "a local source from the fabric is spoofed",
            packet("10.0.0.1", "10.0.0.2", udp(1, 53)),
            Reason::Spoofed,
        ),
        Case::on(
            Uplink,
            "the node's own address as source is spoofed",
            packet("10.0.0.100", "10.0.0.1", udp(1, 53)),
            Reason::Spoofed,
        ),
        Case::on(
            Uplink,
            "an IPv6 source that claims to be the node is spoofed (GHSA-8fg8-jh2h-f2hc)",
            packet("fd00::100", "fd00::1", tcp(40000, 80, SYN)),
            Reason::Spoofed,
        ),
        Case::on(
            Uplink,
            "the fabric may speak to the node",
            packet("10.0.0.3", "10.0.0.100", tcp(1, 22, SYN)),
            Reason::ToNode,
        ),
        Case::on(
            Uplink,
            "a packet for somebody else is not local",
            packet("10.0.0.3", "10.0.0.9", udp(1, 53)),
            Reason::NotLocal,
        ),
        Case::on(
            Uplink,
            "link-local unicast is not local",
            packet("fe80::1", "fe80::2", udp(1, 53)),
            Reason::NotLocal,
        ),
        Case::at(
            world(Fabric).on(NodeRole::Switch),
            "a packet for somebody else is transit on a switch",
            packet("10.0.0.3", "10.0.0.9", udp(1, 53)),
            Reason::Transit,
        ),
        Case::on(Uplink, "a failsafe service answers", etcd(), Reason::Failsafe),
        Case::at(
            before_any_generation(Uplink),
            "a failsafe service answers before any generation",
            etcd(),
            Reason::Failsafe,
        ),
        Case::at(
            before_any_generation(Uplink),
            "nobody else does before any generation",
            packet("10.0.0.99", "10.0.0.100", tcp(2380, 40000, ACK)),
            Reason::NoGeneration,
        ),
        Case::at(
            before_any_generation(Workload),
            "a workload can't pretend to be a failsafe service",
            etcd(),
            Reason::NoGeneration,
        ),
        Case::on(
            Uplink,
            "failsafe does not open a workload",
            packet("10.0.0.99", "10.0.0.1", udp(2379, 40000)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_INGRESS + DEFAULT]),
    ]
}

fn judged() -> Vec<Case> {
    let large = key(("10.0.0.1", 40000), ("10.0.0.9", 53), 17);
    let v4 = |port| key(("10.0.0.1", 40000), ("10.0.0.9", port), 6);
    vec![
        Case::on(
            Workload,
            "egress policy allows a connection out",
            packet("10.0.0.1", "10.0.0.9", tcp(40000, 80, SYN)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + HTTP])
        .effect(opened(v4(80), 0, WEB_EGRESS + HTTP)),
        Case::on(
            Workload,
            "over IPv6 too",
            packet("fd00::1", "fd00::9", tcp(40000, 80, SYN)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + HTTP])
        .effect(opened(key(("fd00::1", 40000), ("fd00::9", 80), 6), 0, WEB_EGRESS + HTTP)),
        Case::on(
            Workload,
            "a frame of 3,000 bytes is judged as any other",
            packet("10.0.0.1", "10.0.0.9", long_udp(40000, 53, 2958)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + DNS])
        .effect(opened(large, 0, WEB_EGRESS + DNS)),
        Case::on(
            Workload,
            "egress policy denies the rest",
            packet("10.0.0.1", "10.0.0.9", tcp(40000, 81, SYN)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + DEFAULT]),
        Case::on(
            Uplink,
            "ingress policy allows a connection in",
            packet("10.0.0.9", "10.0.0.1", tcp(40000, 80, SYN)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_INGRESS + HTTP])
        .effect(opened(
            key(("10.0.0.1", 80), ("10.0.0.9", 40000), 6),
            CONNECTION_FROM_HIGH,
            WEB_INGRESS + HTTP,
        )),
        Case::on(
            Uplink,
            "ingress policy denies the rest",
            packet("10.0.0.9", "10.0.0.1", tcp(40000, 81, SYN)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_INGRESS + DEFAULT]),
        Case::on(
            Workload,
            "both ends here: both policies are asked",
            packet("10.0.0.1", "10.0.0.2", udp(40000, 53)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + DNS, APP_INGRESS + DNS])
        .effect(opened(key(("10.0.0.1", 40000), ("10.0.0.2", 53), 17), 0, APP_INGRESS + DNS)),
        Case::at(
            {
                let mut tables = world(Workload);
                tables.add_policy(
                    APP,
                    0,
                    Direction::Ingress,
                    &[selvedge_abi::Interval { start: 0, rule: 77, decision: 0 }],
                );
                tables
            },
            "both ends here: the destination may deny what the source allows",
            packet("10.0.0.1", "10.0.0.2", udp(40000, 53)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + DNS, 77]),
        Case::on(
            Workload,
            "a peer's class goes before the row's default",
            packet("10.0.0.1", "10.0.0.3", tcp(40000, 80, SYN)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_TO_DB]),
        Case::on(
            Workload,
            "a peer is found by its prefix",
            packet("10.0.0.1", "10.9.1.2", tcp(40000, 9, SYN)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_TO_OFFICE])
        .effect(opened(key(("10.0.0.1", 40000), ("10.9.1.2", 9), 6), 0, WEB_TO_OFFICE)),
        Case::on(
            Workload,
            "a workload is judged on the way to its own node",
            packet("10.0.0.1", "10.0.0.100", tcp(40000, 81, SYN)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + DEFAULT]),
        Case::on(
            Workload,
            "an SCTP INIT opens an association",
            packet("10.0.0.1", "10.0.0.9", sctp(40000, 3868, 1)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + DIAMETER])
        .effect(opened(key(("10.0.0.1", 40000), ("10.0.0.9", 3868), 132), 0, WEB_EGRESS + DIAMETER)),
        Case::on(
            Workload,
            "an ICMP query is judged by itself",
            packet("10.0.0.1", "10.0.0.9", icmp(13, 0, &[0; 16])),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + QUERY]),
        Case::on(
            Workload,
            "an ICMPv6 query is judged by itself",
            packet("fd00::1", "fd00::9", icmp(139, 0, &[0; 16])),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + QUERY]),
        Case::on(
            Workload,
            "the code of an ICMP query counts",
            packet("10.0.0.1", "10.0.0.9", icmp(13, 1, &[0; 16])),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + DEFAULT]),
    ]
}

fn stateless_and_logged() -> Vec<Case> {
    vec![
        Case::on(
            Workload,
            "a stateless rule leaves no entry",
            packet("10.0.0.1", "10.0.0.9", udp(40000, 123)),
            Reason::Stateless,
        )
        .by(&[WEB_EGRESS + NTP]),
        Case::on(
            Workload,
            "a stateless rule allows the middle of a stream",
            packet("10.0.0.1", "10.0.0.9", tcp(40000, 179, ACK)),
            Reason::Stateless,
        )
        .by(&[WEB_EGRESS + BGP]),
        Case::on(
            Uplink,
            "the reply to a stateless packet needs its own rule",
            packet("10.0.0.9", "10.0.0.1", udp(123, 40000)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_INGRESS + DEFAULT]),
        Case::on(
            Workload,
            "a denial can be logged",
            packet("10.0.0.1", "10.0.0.9", tcp(40000, 22, SYN)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + SSH])
        .logged(),
        Case::on(
            Workload,
            "a new connection can be logged",
            packet("10.0.0.1", "10.0.0.9", tcp(40000, 443, SYN)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + HTTPS])
        .logged()
        .effect(opened(key(("10.0.0.1", 40000), ("10.0.0.9", 443), 6), 0, WEB_EGRESS + HTTPS)),
    ]
}

fn tables_that_fail() -> Vec<Case> {
    let full = (0..CONNECTION_LIMIT as u16).fold(world(Workload), |tables, port| {
        tables.with(key(("10.0.0.1", port + 1), ("10.0.0.9", 53), 17), ASSURED, 0)
    });
    let http = || key(("10.0.0.1", 40000), ("10.0.0.9", 80), 6);
    let mut unsorted = world(Workload);
    unsorted.intervals.insert(0, selvedge_abi::Interval { start: u32::MAX, rule: 1, decision: 1 });
    unsorted.add_policy(APP, 0, Direction::Ingress, &[]);
    vec![
        Case::on(
            Workload,
            "a workload without a policy is never left open",
            packet("10.0.0.4", "10.0.0.9", udp(1, 53)),
            Reason::NoPolicy,
        ),
        Case::at(
            unsorted.clone(),
            "a run that starts above the key is no policy",
            packet("10.0.0.1", "10.0.0.9", icmp(0, 0, &[0; 4])),
            Reason::NotTracked,
        ),
        Case::at(
            unsorted,
            "an empty run is no policy",
            packet("10.0.0.1", "10.0.0.2", udp(1, 53)),
            Reason::NoPolicy,
        )
        .by(&[WEB_EGRESS + DNS])
        .naming(0),
        Case::at(
            full.clone().with(http(), CONNECTION_ANSWERED, 0),
            "a full table denies new connections, once both ends are known to mean them",
            packet("10.0.0.1", "10.0.0.9", tcp(40000, 80, ACK)),
            Reason::ConnectionsFull,
        ),
        Case::at(
            full.clone(),
            "a full table denies nobody a question and its answer",
            packet("10.0.0.1", "10.0.0.9", udp(40000, 53)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + DNS])
        .effect(opened(key(("10.0.0.1", 40000), ("10.0.0.9", 53), 17), 0, WEB_EGRESS + DNS)),
        Case::at(
            full.clone(),
            "a full table cuts nobody off",
            packet("10.0.0.1", "10.0.0.9", udp(5, 53)),
            Reason::Established,
        ),
        Case::at(
            full,
            "a full table denies no stateless packet",
            packet("10.0.0.1", "10.0.0.9", udp(40000, 123)),
            Reason::Stateless,
        )
        .by(&[WEB_EGRESS + NTP]),
    ]
}
