//! Transport protocols beyond their plainest packets: tunnels by their outer header, and what is withdrawn.

use std::{vec, vec::Vec};

use selvedge_abi::{
    CONNECTION_ANSWERED,
    PortRole::{Uplink, Workload},
    Reason,
};

use super::{Case, Effect, policy::opened, section};
use crate::testing::{
    Tracked,
    frame::*,
    world::{GENERATION, key, rule::*, world},
};

const OUT: (&str, &str) = ("10.0.0.1", "10.0.0.9");
const BACK: (&str, &str) = ("10.0.0.9", "10.0.0.1");

pub(super) fn cases() -> Vec<Case> {
    [
        section::TUNNELS.of(tunnels()),
        section::DATA_AND_CHECKSUMS.of(datagrams()),
        section::SCTP_HEADER.of(associations()),
        section::LIST_OF_4890.of(withdrawn()),
    ]
    .concat()
}

fn tunnels() -> Vec<Case> {
    let gre = || key(("10.0.0.1", 0), ("10.0.0.9", 0), 47);
    let esp_v6 = || key(("fd00::1", 0), ("fd00::9", 0), 50);
    let denied = |name, protocol| {
        Case::on(Workload, name, packet(OUT.0, OUT.1, other(protocol)), Reason::PolicyDeny)
            .by(&[WEB_EGRESS + DEFAULT])
    };
    vec![
        Case::on(
            Workload,
            "GRE is judged by its outer header",
            packet(OUT.0, OUT.1, other(47)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + GRE])
        .effect(opened(gre(), 0, WEB_EGRESS + GRE)),
        Case::at(
            world(Uplink).with(gre(), 0, 24),
            "GRE comes back to who opened it",
            packet(BACK.0, BACK.1, other(47)),
            Reason::Established,
        )
        .effect(Effect::Set(
            gre(),
            Tracked { age: 0, generation: GENERATION, flags: CONNECTION_ANSWERED, rule: 999 },
        )),
        Case::at(
            world(Uplink).with(gre(), CONNECTION_ANSWERED, 26),
            "a silent tunnel is forgotten",
            packet(BACK.0, BACK.1, other(47)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_INGRESS + GRE])
        .effect(opened(gre(), selvedge_abi::CONNECTION_FROM_HIGH, WEB_INGRESS + GRE)),
        Case::on(
            Workload,
            "ESP over IPv6 is judged by its outer header",
            packet("fd00::1", "fd00::9", other(50)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + ESP])
        .effect(opened(esp_v6(), 0, WEB_EGRESS + ESP)),
        denied("IP in IP is denied where no rule allows it", 4),
        denied("IPv6 in IPv4 is denied where no rule allows it", 41),
        denied("an authentication header is a protocol of its own", 51),
        denied("a protocol that nobody knows is denied where no rule allows it", 200),
        Case::on(
            Workload,
            "an authentication header is one over IPv6 too",
            packet("fd00::1", "fd00::9", other(51)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + DEFAULT]),
        Case::on(
            Workload,
            "VXLAN is judged as the UDP that it is",
            packet(OUT.0, OUT.1, udp(40000, 4789)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + DEFAULT]),
        Case::on(
            Workload,
            "Geneve is judged as the UDP that it is",
            packet(OUT.0, OUT.1, udp(40000, 6081)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + DEFAULT]),
    ]
}

fn datagrams() -> Vec<Case> {
    let dns = key(("10.0.0.1", 40000), ("10.0.0.9", 53), 17);
    let http = key(("10.0.0.1", 40000), ("10.0.0.9", 80), 6);
    let with_data = {
        let frame = packet(OUT.0, OUT.1, tcp(40000, 80, SYN));
        [patched(frame, IP + 2, &[0, 44]), vec![1, 2, 3, 4]].concat()
    };
    vec![
        Case::on(
            Workload,
            "UDP over IPv4 needs no checksum",
            patched(packet(OUT.0, OUT.1, udp(40000, 53)), OVER_V4 + 6, &[0, 0]),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + DNS])
        .effect(opened(dns, 0, WEB_EGRESS + DNS)),
        Case::on(Workload, "a SYN may bring data", with_data, Reason::PolicyAllow)
            .by(&[WEB_EGRESS + HTTP])
            .effect(opened(http, 0, WEB_EGRESS + HTTP)),
    ]
}

fn associations() -> Vec<Case> {
    let bundled = {
        let frame = packet(OUT.0, OUT.1, sctp(40000, 3868, 1));
        [patched(frame, IP + 2, &[0, 56]), vec![0, 3, 0, 4]].concat()
    };
    let drop = |name, frame| Case::on(Workload, name, frame, Reason::Malformed);
    vec![
        drop("an INIT with another chunk behind it is malformed", bundled),
        drop(
            "an INIT shorter than its header is malformed",
            patched(packet(OUT.0, OUT.1, sctp(40000, 3868, 1)), OVER_V4 + 15, &[16]),
        ),
    ]
}

fn withdrawn() -> Vec<Case> {
    let rogue = |name, icmp_type| {
        let frame = packet("fd00::1", "fd00::9", icmp(icmp_type, 0, &[0; 12]));
        Case::on(Workload, name, frame, Reason::RogueControl)
    };
    vec![
        Case::on(
            Uplink,
            "source quench is withdrawn",
            packet(BACK.0, BACK.1, error(4, 0, &datagram(OUT.0, OUT.1, tcp(40000, 80, ACK)))),
            Reason::Deprecated,
        ),
        rogue("router renumbering of a workload is rogue", 138),
        rogue("a certification path of a workload is rogue", 149),
        rogue("a multicast router's advertisement of a workload is rogue", 151),
        rogue("a multicast router's end of a workload is rogue", 153),
    ]
}
