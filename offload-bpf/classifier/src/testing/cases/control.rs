//! What a fabric needs to live, and what must not come from a workload.

use std::{vec, vec::Vec};

use selvedge_abi::{
    PortRole::{Fabric, Uplink, Workload},
    Reason,
};

use super::{Case, section};
use crate::testing::{frame::*, world::before_any_generation};

const LLDP: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
const SLOW: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0x02];

pub(super) fn cases() -> Vec<Case> {
    [
        section::LINK_CONTROL.of(link()),
        section::ARP.of(arp_cases()),
        section::DISCOVERY.of(discovery()),
        section::DHCP.of(dhcp()),
    ]
    .concat()
}

fn link() -> Vec<Case> {
    vec![
        Case::on(Uplink, "LLDP passes on an uplink", to(LLDP, 0x88cc, &[0; 46]), Reason::LinkControl),
        Case::on(Fabric, "LACP passes on a fabric port", to(SLOW, 0x8809, &[0; 46]), Reason::LinkControl),
        Case::on(
            Fabric,
            "spanning tree passes on a fabric port",
            to(SLOW, 38, &[0; 46]),
            Reason::LinkControl,
        ),
        Case::on(Workload, "LLDP of a workload is rogue", to(LLDP, 0x88cc, &[0; 46]), Reason::RogueControl),
        Case::on(
            Uplink,
            "LLDP to a station is not carried",
            ethernet(0x88cc, &[0; 46]),
            Reason::UnknownEtherType,
        ),
        Case::at(
            before_any_generation(Uplink),
            "LLDP passes before any generation",
            to(LLDP, 0x88cc, &[0; 46]),
            Reason::LinkControl,
        ),
    ]
}

fn arp_cases() -> Vec<Case> {
    let ask = || arp(1, "10.0.0.1", "10.0.0.9");
    vec![
        Case::on(Workload, "a workload may ask for an address", ask(), Reason::Arp),
        Case::on(Workload, "a workload may answer for itself", arp(2, "10.0.0.1", "10.0.0.9"), Reason::Arp),
        Case::on(
            Workload,
            "a workload may probe for a duplicate",
            arp(1, "0.0.0.0", "10.0.0.1"),
            Reason::Arp,
        ),
        Case::on(
            Workload,
            "an ARP reply of nobody is spoofed",
            arp(2, "0.0.0.0", "10.0.0.1"),
            Reason::Spoofed,
        ),
        Case::on(
            Workload,
            "ARP for a workload of another port is spoofed",
            arp(2, "10.0.0.2", "10.0.0.9"),
            Reason::Spoofed,
        ),
        Case::on(
            Workload,
            "ARP for the gateway is spoofed",
            arp(2, "10.0.0.254", "10.0.0.9"),
            Reason::Spoofed,
        ),
        Case::on(Uplink, "ARP from the fabric passes", arp(2, "10.0.0.254", "10.0.0.9"), Reason::Arp),
        Case::at(before_any_generation(Workload), "ARP passes before any generation", ask(), Reason::Arp),
        Case::on(Workload, "ARP that the frame cuts off is truncated", cut(ask(), 41), Reason::Truncated),
        Case::on(
            Workload,
            "ARP for another protocol is malformed",
            patched(ask(), 16, &[0x86, 0xdd]),
            Reason::Malformed,
        ),
        Case::on(Workload, "reverse ARP is malformed", patched(ask(), 20, &[0, 3]), Reason::Malformed),
    ]
}

fn discovery() -> Vec<Case> {
    let nd = |source, destination, transport| on_link(packet(source, destination, transport));
    let ask = || nd("fd00::1", "ff02::1:ff00:9", neighbour(135, "fd00::9"));
    let router = || nd("fe80::1", "ff02::1", icmp(134, 0, &[0; 12]));
    let redirect = || nd("fe80::1", "fd00::1", icmp(137, 0, &[0; 36]));
    vec![
        Case::on(Workload, "a workload may ask for a neighbour", ask(), Reason::NeighbourDiscovery),
        Case::on(
            Workload,
            "a workload may ask from its link-local address",
            nd("fe80::5", "ff02::1:ff00:9", neighbour(135, "fd00::9")),
            Reason::NeighbourDiscovery,
        ),
        Case::on(
            Workload,
            "a workload may look for a duplicate of its address",
            nd("::", "ff02::1:ff00:1", neighbour(135, "fd00::1")),
            Reason::NeighbourDiscovery,
        ),
        Case::on(
            Workload,
            "asking as a workload of another port is spoofed",
            nd("fd00::2", "ff02::1:ff00:9", neighbour(135, "fd00::9")),
            Reason::Spoofed,
        ),
        Case::on(
            Workload,
            "a workload may advertise itself",
            nd("fd00::1", "fd00::9", neighbour(136, "fd00::1")),
            Reason::NeighbourDiscovery,
        ),
        Case::on(
            Workload,
            "a workload may advertise its link-local address",
            nd("fe80::5", "fe80::1", neighbour(136, "fe80::5")),
            Reason::NeighbourDiscovery,
        ),
        Case::on(
            Workload,
            "advertising a workload of another port is spoofed",
            nd("fd00::1", "fd00::9", neighbour(136, "fd00::2")),
            Reason::Spoofed,
        ),
        Case::on(
            Workload,
            "an advertisement of nobody is spoofed",
            nd("::", "ff02::1", neighbour(136, "fd00::1")),
            Reason::Spoofed,
        ),
        Case::on(
            Workload,
            "a workload may look for routers",
            nd("::", "ff02::2", icmp(133, 0, &[0; 4])),
            Reason::NeighbourDiscovery,
        ),
        Case::on(Workload, "a router advertisement of a workload is rogue", router(), Reason::RogueControl),
        Case::on(Workload, "a redirect of a workload is rogue", redirect(), Reason::RogueControl),
        Case::on(
            Uplink,
            "a router advertisement from the fabric passes",
            router(),
            Reason::NeighbourDiscovery,
        ),
        Case::on(
            Uplink,
            "a neighbour from the fabric passes",
            nd("fe80::1", "fd00::1", neighbour(136, "fe80::1")),
            Reason::NeighbourDiscovery,
        ),
        Case::at(
            before_any_generation(Workload),
            "neighbour discovery passes before any generation",
            ask(),
            Reason::NeighbourDiscovery,
        ),
        Case::on(
            Workload,
            "discovery that crossed a router is malformed",
            patched(ask(), IP + 7, &[254]),
            Reason::Malformed,
        ),
        Case::on(
            Workload,
            "discovery with a code is malformed",
            patched(ask(), OVER_V6 + 1, &[1]),
            Reason::Malformed,
        ),
        Case::on(
            Workload,
            "a multicast target is malformed",
            nd("fd00::1", "ff02::1", neighbour(135, "ff02::1")),
            Reason::Malformed,
        ),
        Case::on(
            Workload,
            "discovery without its target is truncated",
            nd("fd00::1", "ff02::1", icmp(135, 0, &[0; 12])),
            Reason::Truncated,
        ),
        Case::on(
            Workload,
            "a short redirect is truncated",
            nd("fe80::1", "fd00::1", icmp(137, 0, &[0; 32])),
            Reason::Truncated,
        ),
        Case::on(
            Workload,
            "an IPv4 redirect of a workload is rogue",
            packet("10.0.0.1", "10.0.0.9", icmp(5, 1, &[0; 24])),
            Reason::RogueControl,
        ),
        Case::on(
            Workload,
            "an ICMP router advertisement of a workload is rogue",
            packet("10.0.0.1", "10.0.0.9", icmp(9, 0, &[0; 12])),
            Reason::RogueControl,
        ),
    ]
}

fn dhcp() -> Vec<Case> {
    let discover = || packet("0.0.0.0", "255.255.255.255", udp(68, 67));
    let solicit = |source| packet(source, "ff02::1:2", udp(546, 547));
    vec![
        Case::on(Workload, "a workload may ask for a lease", discover(), Reason::Dhcp),
        Case::at(
            before_any_generation(Workload),
            "a workload may ask for a lease before any generation",
            discover(),
            Reason::Dhcp,
        ),
        Case::on(
            Workload,
            "a workload may rebind its lease",
            packet("10.0.0.1", "255.255.255.255", udp(68, 67)),
            Reason::Dhcp,
        ),
        Case::on(
            Workload,
            "rebinding another's lease is spoofed",
            packet("10.0.0.2", "255.255.255.255", udp(68, 67)),
            Reason::Spoofed,
        ),
        Case::on(Workload, "a workload may solicit DHCPv6", solicit("fe80::5"), Reason::Dhcp),
        Case::on(Workload, "soliciting DHCPv6 as another is spoofed", solicit("fd00::2"), Reason::Spoofed),
        Case::on(
            Workload,
            "a DHCP server behind a workload port is rogue",
            packet("10.0.0.1", "255.255.255.255", udp(67, 68)),
            Reason::RogueControl,
        ),
        Case::on(
            Workload,
            "a DHCPv6 server behind a workload port is rogue",
            packet("fe80::5", "fe80::6", udp(547, 546)),
            Reason::RogueControl,
        ),
        Case::on(
            Uplink,
            "a DHCP server's answer passes from the fabric",
            packet("10.0.0.98", "255.255.255.255", udp(67, 68)),
            Reason::Dhcp,
        ),
        Case::on(
            Fabric,
            "a DHCPv6 server's answer passes from the fabric",
            packet("fe80::1", "fe80::5", udp(547, 546)),
            Reason::Dhcp,
        ),
        Case::on(
            Uplink,
            "a request for a lease is not carried from the fabric",
            packet("10.0.0.98", "255.255.255.255", udp(68, 67)),
            Reason::Multicast,
        ),
    ]
}
