//! IPv4 options and IPv6 extension headers.

use std::{vec, vec::Vec};

use selvedge_abi::{PortRole::Workload, Reason};

use super::{Case, policy::opened, section};
use crate::testing::{
    frame::*,
    world::{key, rule::*},
};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
/// Padding to eight bytes: options header without its first byte.
const PADDING: &[u8] = &[0, 1, 4, 0, 0, 0, 0];

pub(super) fn cases() -> Vec<Case> {
    [
        section::OPTIONS.of(options()),
        section::EXTENSIONS.of([passing(), dropped()].concat()),
        section::BROKEN_EXTENSIONS.of(broken()),
    ]
    .concat()
}

fn options() -> Vec<Case> {
    let with = |options: &[u8]| with_options(packet("10.0.0.1", "10.0.0.9", tcp(40000, 80, SYN)), options);
    let drop = |name, frame, reason| Case::on(Workload, name, frame, reason);
    let route = |kind| with(&[kind, 7, 4, 10, 0, 0, 3, 0]);
    vec![
        drop("a loose source route is dropped", route(131), Reason::Extension),
        drop("a strict source route is dropped", route(137), Reason::Extension),
        drop("a record of the route is dropped", route(7), Reason::Extension),
        drop("an IPv4 timestamp option is dropped", with(&[68, 8, 5, 0, 0, 0, 0, 0]), Reason::Extension),
        drop("a router alert on anything but IGMP is dropped", with(&[0x94, 4, 0, 0]), Reason::Extension),
        drop("padding among IPv4 options is dropped", with(&[1, 1, 1, 0]), Reason::Extension),
        drop(
            "IPv4 options beyond the packet are truncated",
            patched(packet("10.0.0.1", "10.0.0.9", udp(1, 53)), IP, &[0x4f]),
            Reason::Truncated,
        ),
    ]
}

fn web(headers: &[(u8, &[u8])]) -> Vec<u8> {
    with_extensions(packet("fd00::1", "fd00::9", tcp(40000, 80, SYN)), headers)
}

fn passing() -> Vec<Case> {
    let allowed =
        |name, headers: &[(u8, &[u8])]| {
            Case::on(Workload, name, web(headers), Reason::PolicyAllow)
                .by(&[WEB_EGRESS + HTTP])
                .effect(opened(key(("fd00::1", 40000), ("fd00::9", 80), 6), 0, WEB_EGRESS + HTTP))
        };
    let atomic = fragment_header(Cut { id: 9, start: 0, last: true });
    let arrived: &[u8] = &[2, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
    vec![
        allowed("destination options to skip are skipped", &[(DESTINATION, PADDING)]),
        allowed("an option that may be skipped is skipped", &[(DESTINATION, &[0, 0x1e, 4, 1, 2, 3, 4])]),
        allowed("single bytes of padding are skipped", &[(DESTINATION, &[0, 0, 0, 0, 0, 0, 0])]),
        allowed("a routing header that has arrived is like none", &[(ROUTING, arrived)]),
        allowed("an atomic fragment is a whole packet", &[(FRAGMENT, &atomic)]),
        allowed(
            "four extension headers are followed",
            &[(DESTINATION, PADDING), (ROUTING, arrived), (FRAGMENT, &atomic), (DESTINATION, PADDING)],
        ),
        Case::on(
            Workload,
            "a denied packet behind extension headers is denied",
            with_extensions(
                packet("fd00::1", "fd00::9", tcp(40000, 81, SYN)),
                &[(DESTINATION, PADDING), (FRAGMENT, &atomic)],
            ),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + DEFAULT]),
    ]
}

fn dropped() -> Vec<Case> {
    let drop = |name, headers: &[(u8, &[u8])], reason| Case::on(Workload, name, web(headers), reason);
    let five = [(DESTINATION, PADDING); 5];
    let segment = |kind, left| {
        let mut bytes = [0; 23];
        (bytes[0], bytes[1], bytes[2]) = (2, kind, left);
        bytes
    };
    let alert: &[u8] = &[0, 5, 2, 0, 0, 1, 0];
    let bare = |protocol| packet("fd00::1", "fd00::9", other(protocol));
    vec![
        drop(
            "a hop-by-hop header on anything but MLD is dropped",
            &[(HOP_BY_HOP, PADDING)],
            Reason::Extension,
        ),
        drop("a router alert on anything but MLD is dropped", &[(HOP_BY_HOP, alert)], Reason::Extension),
        drop("a jumbogram is dropped", &[(HOP_BY_HOP, &[0, 0xc2, 4, 0, 1, 0, 0])], Reason::Extension),
        drop(
            "a second hop-by-hop header is malformed",
            &[(HOP_BY_HOP, alert), (HOP_BY_HOP, alert)],
            Reason::Malformed,
        ),
        drop("a type 0 routing header is withdrawn", &[(ROUTING, &segment(0, 1))], Reason::Deprecated),
        drop("one that has arrived is withdrawn too", &[(ROUTING, &segment(0, 0))], Reason::Deprecated),
        drop("a segment route that goes on is dropped", &[(ROUTING, &segment(4, 1))], Reason::Extension),
        drop(
            "a home address in destination options is dropped",
            &[(DESTINATION, &[2, 0xc9, 16, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0])],
            Reason::Extension,
        ),
        drop(
            "more than eight options are dropped",
            &[(DESTINATION, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
            Reason::Extension,
        ),
        drop("five extension headers are one too many", &five, Reason::Extension),
        Case::on(Workload, "no next header is dropped", bare(59), Reason::Extension),
        Case::on(Workload, "a mobility header is dropped", bare(135), Reason::Extension),
        Case::on(Workload, "HIP over IPv6 is dropped", bare(139), Reason::Extension),
        Case::on(Workload, "shim6 is dropped", bare(140), Reason::Extension),
        Case::on(Workload, "an experimental extension header is dropped", bare(253), Reason::Extension),
    ]
}

fn broken() -> Vec<Case> {
    let drop = |name, frame, reason| Case::on(Workload, name, frame, reason);
    let atomic = fragment_header(Cut { id: 9, start: 0, last: true });
    vec![
        drop(
            "repeated fragment headers are malformed (CVE-2023-4809)",
            web(&[(FRAGMENT, &atomic), (FRAGMENT, &atomic)]),
            Reason::Malformed,
        ),
        drop(
            "an extension header beyond the packet is truncated",
            web(&[(DESTINATION, &[9, 1, 4, 0, 0, 0, 0])]),
            Reason::Truncated,
        ),
        drop(
            "an option beyond its header is malformed",
            web(&[(DESTINATION, &[0, 1, 5, 0, 0, 0, 0])]),
            Reason::Malformed,
        ),
        drop(
            "a packet that ends before its extension header is truncated",
            patched(web(&[(DESTINATION, PADDING)]), IP + 4, &[0, 7]),
            Reason::Truncated,
        ),
        drop(
            "a transport header that ends behind an extension header is truncated",
            patched(web(&[(DESTINATION, PADDING)]), IP + 4, &[0, 27]),
            Reason::Truncated,
        ),
        drop(
            "a v4-mapped source before extension headers is a martian",
            with_extensions(packet("::ffff:10.0.0.1", "fd00::9", udp(1, 53)), &[(DESTINATION, PADDING)]),
            Reason::Martian,
        ),
    ]
}
