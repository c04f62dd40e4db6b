//! What the node itself sends.

use std::{vec, vec::Vec};

use selvedge_abi::{
    AddressEntry, AddressKey, CONNECTION_ANSWERED, CONNECTION_FROM_HIGH, FragmentKey, PortEntry,
    PortRole::{self, Uplink, Workload},
    Reason,
};

use super::{Case, Effect, policy::opened, section};
use crate::testing::{
    Datagram, MemoryTables, PORT, Tracked,
    frame::*,
    world::{GENERATION, OTHER_PORT, SLOT, WEB, address, before_any_generation, key, rule::*, world},
};

pub(super) fn cases() -> Vec<Case> {
    [
        section::FROM_NODE.of([own(), to_workload(), bare_metal(), sources(), cut_up()].concat()),
        section::NODE_CONTROL.of(control()),
        section::UNKNOWN_PORT.of(vec![Case::sent(
            MemoryTables::default(),
            "nothing leaves by a port of which nothing is known",
            packet("10.0.0.100", "10.0.0.3", udp(1, 53)),
            Reason::UnknownPort,
        )]),
        section::LINK_CONTROL.of(links()),
        section::ARP.of(vec![Case::sent(
            before_any_generation(Workload),
            "the node resolves addresses",
            arp(1, "169.254.1.1", "10.0.0.1"),
            Reason::Arp,
        )]),
    ]
    .concat()
}

/// A node that is the workload `10.0.0.1` itself, on its uplink.
fn bare() -> MemoryTables {
    let mut tables = world(Uplink);
    for text in ["10.0.0.1", "fd00::1"] {
        let entry = AddressEntry { identity: WEB, class: WEB, ifindex: PORT };
        tables.addresses.insert(AddressKey { slot: SLOT, address: address(text) }, entry);
    }
    tables
}

/// The same, and [`OTHER_PORT`] faces a workload.
fn bare_beside_app() -> MemoryTables {
    let mut tables = bare();
    tables.ports.insert(OTHER_PORT, PortEntry { role: PortRole::Workload as u32 });
    tables
}

fn own() -> Vec<Case> {
    let etcd = || packet("10.0.0.100", "10.0.0.99", tcp(40000, 2379, SYN));
    vec![
        Case::sent(
            world(Uplink),
            "the node speaks to the fabric in its own name",
            packet("10.0.0.100", "10.0.0.3", tcp(22, 40000, SYN | ACK)),
            Reason::FromNode,
        ),
        Case::sent(
            world(Uplink),
            "the node speaks to the world over IPv6",
            packet("fd00::100", "2001:db8::1", udp(40000, 53)),
            Reason::FromNode,
        ),
        Case::sent(
            world(Uplink),
            "what the node sends to its failsafe service is failsafe",
            etcd(),
            Reason::Failsafe,
        ),
        Case::sent(
            before_any_generation(Uplink),
            "before any generation, the node reaches its failsafe service",
            etcd(),
            Reason::Failsafe,
        ),
        Case::sent(
            before_any_generation(Uplink),
            "before any generation, the node reaches nothing else",
            packet("10.0.0.100", "10.0.0.3", tcp(40000, 22, SYN)),
            Reason::NoGeneration,
        ),
        Case::sent(
            before_any_generation(Workload),
            "before any generation, a failsafe service is not behind a workload port",
            etcd(),
            Reason::NoGeneration,
        ),
        Case::sent(
            world(Uplink),
            "what the node sends is read as closely as any packet",
            packet("10.0.0.100", "10.0.0.3", tcp(40000, 22, SYN | FIN)),
            Reason::Malformed,
        ),
    ]
}

/// The node opens a connection to `10.0.0.1`, which is lower.
fn http() -> selvedge_abi::ConnectionKey {
    key(("10.0.0.1", 80), ("10.0.0.100", 40000), 6)
}

fn to_workload() -> Vec<Case> {
    vec![
        Case::sent(
            world(Workload),
            "the node opens what a workload's ingress policy allows",
            packet("10.0.0.100", "10.0.0.1", tcp(40000, 80, SYN)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_INGRESS + HTTP])
        .effect(opened(http(), CONNECTION_FROM_HIGH, WEB_INGRESS + HTTP)),
        Case::sent(
            world(Workload),
            "the node does not open what a workload's ingress policy denies",
            packet("10.0.0.100", "10.0.0.1", tcp(40000, 8080, SYN)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_INGRESS + DEFAULT]),
        Case::at(
            world(Workload).with(http(), CONNECTION_FROM_HIGH, 0),
            "a workload's answer to the node passes",
            packet("10.0.0.1", "10.0.0.100", tcp(80, 40000, SYN | ACK)),
            Reason::Established,
        )
        .effect(Effect::Set(
            http(),
            Tracked {
                age: 0,
                generation: GENERATION,
                flags: CONNECTION_FROM_HIGH | CONNECTION_ANSWERED,
                rule: 999,
            },
        )),
        Case::sent(
            world(Workload).with(key(("10.0.0.1", 40000), ("10.0.0.100", 53), 17), CONNECTION_ANSWERED, 0),
            "the node's answer to a workload passes",
            packet("10.0.0.100", "10.0.0.1", udp(53, 40000)),
            Reason::Established,
        ),
        Case::sent(
            world(Workload),
            "the node's answer to nothing is judged",
            packet("10.0.0.100", "10.0.0.1", tcp(53, 40000, ACK)),
            Reason::NotTracked,
        ),
        Case::sent(
            world(Workload).with(key(("10.0.0.1", 40000), ("10.0.0.9", 80), 6), CONNECTION_ANSWERED, 0),
            "the node tells a workload that a packet of its connection is too big",
            packet(
                "10.0.0.100",
                "10.0.0.1",
                error(3, 4, &datagram("10.0.0.1", "10.0.0.9", tcp(40000, 80, ACK))),
            ),
            Reason::Related,
        ),
        Case::sent(
            world(Workload),
            "somebody unknown behind the node is judged by the workload that it speaks to",
            packet("10.8.8.8", "10.0.0.1", udp(40000, 99)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_INGRESS + DEFAULT]),
    ]
}

fn bare_metal() -> Vec<Case> {
    let opening = key(("10.0.0.1", 40000), ("10.0.0.9", 80), 6);
    let answering = key(("10.0.0.1", 80), ("10.0.0.9", 40000), 6);
    vec![
        Case::sent(
            bare(),
            "a workload that is the node opens what its egress policy allows",
            packet("10.0.0.1", "10.0.0.9", tcp(40000, 80, SYN)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + HTTP])
        .effect(opened(opening, 0, WEB_EGRESS + HTTP)),
        Case::sent(
            bare(),
            "a workload that is the node does not open what its egress policy denies",
            packet("fd00::1", "fd00::9", tcp(40000, 8080, SYN)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + DEFAULT]),
        Case::at(
            bare().with(opening, 0, 0),
            "an answer to a workload that is the node passes",
            packet("10.0.0.9", "10.0.0.1", tcp(80, 40000, SYN | ACK)),
            Reason::Established,
        )
        .effect(Effect::Set(
            opening,
            Tracked { age: 0, generation: GENERATION, flags: CONNECTION_ANSWERED, rule: 999 },
        )),
        Case::at(
            bare(),
            "a workload that is the node is asked as any on its uplink",
            packet("10.0.0.9", "10.0.0.1", tcp(40000, 80, SYN)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_INGRESS + HTTP])
        .effect(opened(answering, CONNECTION_FROM_HIGH, WEB_INGRESS + HTTP)),
        Case::sent(
            bare().with(answering, CONNECTION_FROM_HIGH | CONNECTION_ANSWERED, 0),
            "a workload that is the node answers",
            packet("10.0.0.1", "10.0.0.9", tcp(80, 40000, ACK)),
            Reason::Established,
        ),
        Case::at(
            bare(),
            "nobody in the fabric is the workload that is the node",
            packet("10.0.0.1", "10.0.0.100", udp(40000, 53)),
            Reason::Spoofed,
        ),
        Case::sent(
            bare_beside_app(),
            "a workload that is the node speaks to its neighbour: both ends are asked",
            packet("10.0.0.1", "10.0.0.2", udp(40000, 53)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + DNS, APP_INGRESS + DNS])
        .effect(opened(key(("10.0.0.1", 40000), ("10.0.0.2", 53), 17), 0, APP_INGRESS + DNS)),
        Case::sent(
            before_any_generation(Uplink),
            "before any generation, a workload that is the node is shut",
            packet("10.0.0.1", "10.0.0.9", udp(40000, 53)),
            Reason::NoGeneration,
        ),
        Case::sent(
            bare(),
            "failsafe does not open a workload that is the node",
            packet("10.0.0.1", "10.0.0.99", tcp(40000, 2379, SYN)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + DEFAULT]),
    ]
}

fn sources() -> Vec<Case> {
    vec![
        Case::sent(
            bare_beside_app(),
            "the node does not speak for a workload behind a port of its own",
            packet("10.0.0.2", "10.0.0.9", udp(40000, 53)),
            Reason::Spoofed,
        ),
        Case::sent(
            world(Uplink),
            "the node does not speak for a workload behind a port that is gone",
            packet("10.0.0.2", "10.0.0.9", udp(40000, 53)),
            Reason::Spoofed,
        ),
        Case::sent(
            world(Workload),
            "the node does not speak for a workload of another node",
            packet("10.0.0.3", "10.0.0.1", tcp(40000, 80, SYN)),
            Reason::Spoofed,
        ),
        Case::sent(
            world(Uplink),
            "addresses outside the fabric may be behind the node",
            packet("10.9.1.1", "10.0.0.3", udp(40000, 53)),
            Reason::FromNode,
        ),
        Case::sent(
            world(Uplink),
            "a source that can't be on a wire is a martian from the node too",
            packet("127.0.0.1", "10.0.0.3", udp(40000, 53)),
            Reason::Martian,
        ),
    ]
}

fn cut_up() -> Vec<Case> {
    let own = packet("10.0.0.100", "10.0.0.3", long_udp(40000, 99, 100));
    let web = packet("10.0.0.1", "10.0.0.9", long_udp(40000, 53, 100));
    let first = Cut { id: 7, start: 0, last: false };
    let last = Cut { id: 7, start: 64, last: true };
    let remembered =
        FragmentKey { source: address("10.0.0.1"), destination: address("10.0.0.9"), id: 7, protocol: 17 };
    vec![
        Case::sent(
            world(Uplink),
            "what the node cuts up in its own name needs no place in the table",
            fragment(&own, first, 64),
            Reason::FromNode,
        ),
        Case::sent(
            world(Uplink),
            "later fragments of the node itself pass",
            fragment(&own, last, 44),
            Reason::FromNode,
        ),
        Case::sent(
            bare(),
            "a first fragment of a workload that is the node is remembered",
            fragment(&web, first, 64),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + DNS])
        .effect(opened(key(("10.0.0.1", 40000), ("10.0.0.9", 53), 17), 0, WEB_EGRESS + DNS))
        .datagram(Effect::Set(remembered, Datagram { age: 0, progress: 7 << 32 | 64 })),
        Case::sent(
            bare(),
            "later fragments of a workload that is the node follow a first one",
            fragment(&web, last, 44),
            Reason::Fragment,
        ),
    ]
}

fn control() -> Vec<Case> {
    vec![
        Case::sent(
            before_any_generation(Uplink),
            "the node asks for an address",
            packet("0.0.0.0", "255.255.255.255", udp(68, 67)),
            Reason::Dhcp,
        ),
        Case::sent(
            before_any_generation(Uplink),
            "the node asks for an IPv6 address",
            packet("fe80::1", "ff02::1:2", udp(546, 547)),
            Reason::Dhcp,
        ),
        Case::sent(
            before_any_generation(Workload),
            "the node gives addresses to its workloads",
            packet("169.254.1.1", "255.255.255.255", udp(67, 68)),
            Reason::Dhcp,
        ),
        Case::sent(
            before_any_generation(Workload),
            "the node is a router for its workloads",
            on_link(packet("fe80::1", "ff02::1", icmp(134, 0, &[0; 12]))),
            Reason::NeighbourDiscovery,
        ),
        Case::sent(
            world(Uplink),
            "the node speaks to groups",
            to([1, 0, 0x5e, 0, 0, 18], 0x0800, &datagram("10.0.0.100", "224.0.0.18", other(112))),
            Reason::FromNode,
        ),
        Case::sent(
            world(Uplink),
            "the node speaks to all on a link",
            to([0xff; 6], 0x0800, &datagram("10.0.0.100", "10.0.0.255", udp(9, 9))),
            Reason::FromNode,
        ),
        Case::sent(
            bare(),
            "a workload that is the node speaks to no groups",
            to([1, 0, 0x5e, 0, 0, 251], 0x0800, &datagram("10.0.0.1", "224.0.0.251", udp(5353, 5353))),
            Reason::Multicast,
        ),
        Case::sent(
            world(Workload),
            "a link-local address of the node is of the world to a workload",
            packet("fe80::1", "fd00::1", udp(40000, 99)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_INGRESS + DEFAULT]),
    ]
}

fn links() -> Vec<Case> {
    vec![
        Case::sent(
            before_any_generation(Workload),
            "LLDP of the node passes",
            to([0x01, 0x80, 0xc2, 0, 0, 0x0e], 0x88cc, &[0; 46]),
            Reason::LinkControl,
        ),
        Case::sent(
            before_any_generation(Uplink),
            "any Ethernet type of the node passes",
            ethernet(0x8863, &[0; 46]),
            Reason::LinkControl,
        ),
    ]
}
