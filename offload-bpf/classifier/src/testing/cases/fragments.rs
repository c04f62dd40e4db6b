//! Datagrams in fragments: the first is judged, the others follow it.

use std::{vec, vec::Vec};

use selvedge_abi::{
    CONNECTION_ANSWERED, FragmentEntry, FragmentKey, PortRole,
    PortRole::{Uplink, Workload},
    Reason,
};

use super::{Case, Effect, policy::opened, section};
use crate::testing::{
    Datagram, FRAGMENT_LIMIT, MemoryTables, SECOND,
    frame::*,
    world::{address, before_any_generation, key, rule::*, world},
};

const ID: u16 = 0x1234;

pub(super) fn cases() -> Vec<Case> {
    [
        section::FIRST_FRAGMENT.of(first()),
        section::LATER_FRAGMENT.of([later(), over_v6()].concat()),
        section::OVERLAPPING.of(overlapping()),
        section::TINY.of(tiny()),
        section::REFUSED_FRAGMENTS.of(refused()),
    ]
    .concat()
}

/// 1,008 bytes from `10.0.0.1` to DNS, to be cut.
fn whole() -> Vec<u8> {
    packet("10.0.0.1", "10.0.0.9", long_udp(40000, 53, 1000))
}

fn whole_v6() -> Vec<u8> {
    packet("fd00::1", "fd00::9", long_udp(40000, 53, 1000))
}

fn part(start: u16, last: bool, length: usize) -> Vec<u8> {
    fragment(&whole(), Cut { id: ID, start, last }, length)
}

fn part_v6(start: u16, last: bool, length: usize) -> Vec<u8> {
    fragment(&whole_v6(), Cut { id: ID, start, last }, length)
}

fn datagram_of(source: &str, destination: &str, protocol: u32) -> FragmentKey {
    FragmentKey { source: address(source), destination: address(destination), id: ID.into(), protocol }
}

fn v4() -> FragmentKey {
    datagram_of("10.0.0.1", "10.0.0.9", 17)
}

fn v6() -> FragmentKey {
    datagram_of("fd00::1", "fd00::9", 44)
}

fn progress(key: &FragmentKey, next: u16) -> u64 {
    u64::from(key.id) << 32 | u64::from(next)
}

fn waits(key: FragmentKey, next: u16) -> Effect<FragmentKey, Datagram> {
    Effect::Set(key, Datagram { age: 0, progress: progress(&key, next) })
}

/// A world that waits for the datagram's fragment at `next` since `age` seconds.
fn waiting(role: PortRole, key: FragmentKey, next: u16, age: u64) -> MemoryTables {
    let tables = world(role);
    let first_seen = tables.clock.get() - age * SECOND;
    let entry = FragmentEntry { first_seen, progress: progress(&key, next) };
    tables.fragments.borrow_mut().insert(key, entry);
    tables
}

/// The case of an allowed opening packet to DNS.
fn dns(case: Case) -> Case {
    case.by(&[WEB_EGRESS + DNS]).effect(opened(
        key(("10.0.0.1", 40000), ("10.0.0.9", 53), 17),
        0,
        WEB_EGRESS + DNS,
    ))
}

fn first() -> Vec<Case> {
    let first = || part(0, false, 504);
    let denied = fragment(
        &packet("10.0.0.1", "10.0.0.9", long_udp(40000, 54, 1000)),
        Cut { id: ID, start: 0, last: false },
        504,
    );
    let connection = key(("10.0.0.1", 53), ("10.0.0.9", 40000), 17);
    let answer = fragment(
        &packet("10.0.0.9", "10.0.0.1", long_udp(40000, 53, 1000)),
        Cut { id: ID, start: 0, last: false },
        504,
    );
    let gre = fragment(&packet("10.0.0.1", "10.0.0.9", other(47)), Cut { id: ID, start: 0, last: false }, 16);
    let failsafe = fragment(
        &packet("10.0.0.99", "10.0.0.100", long_udp(2379, 40000, 1000)),
        Cut { id: ID, start: 0, last: false },
        504,
    );
    vec![
        dns(Case::on(
            Workload,
            "a first fragment is judged like a whole packet, and remembered",
            first(),
            Reason::PolicyAllow,
        ))
        .datagram(waits(v4(), 504)),
        Case::on(Workload, "a denied first fragment is not remembered", denied, Reason::PolicyDeny)
            .by(&[WEB_EGRESS + DEFAULT]),
        Case::at(
            world(Uplink).with(connection, CONNECTION_ANSWERED, 0),
            "a first fragment of a connection is remembered",
            answer,
            Reason::Established,
        )
        .datagram(waits(datagram_of("10.0.0.9", "10.0.0.1", 17), 504)),
        Case::on(
            Workload,
            "a first fragment without ports is judged by its protocol",
            gre,
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + GRE])
        .effect(opened(key(("10.0.0.1", 0), ("10.0.0.9", 0), 47), 0, WEB_EGRESS + GRE))
        .datagram(waits(datagram_of("10.0.0.1", "10.0.0.9", 47), 16)),
        Case::at(
            before_any_generation(Uplink),
            "a first fragment of a failsafe service is remembered",
            failsafe,
            Reason::Failsafe,
        )
        .datagram(waits(datagram_of("10.0.0.99", "10.0.0.100", 17), 504)),
        dns(Case::on(
            Workload,
            "a first fragment behind a priority tag is remembered",
            tagged(first(), &[(0x8100, 0)]),
            Reason::PolicyAllow,
        ))
        .datagram(waits(v4(), 504)),
    ]
}

fn later() -> Vec<Case> {
    let next = || waiting(Workload, v4(), 504, 5);
    let moved = |next| Effect::Set(v4(), Datagram { age: 5, progress: progress(&v4(), next) });
    vec![
        Case::at(next(), "the next fragment passes", part(504, false, 256), Reason::LaterFragment)
            .datagram(moved(760)),
        Case::at(
            next(),
            "the last fragment passes and ends the datagram",
            part(504, true, 504),
            Reason::LaterFragment,
        )
        .datagram(Effect::Removed(v4())),
        Case::at(
            waiting(Workload, v4(), 504, 7),
            "a fragment that comes too late is dropped",
            part(504, true, 504),
            Reason::Fragment,
        ),
        Case::on(
            Workload,
            "a fragment without a first one is dropped",
            part(504, true, 504),
            Reason::Fragment,
        ),
        Case::at(
            next(),
            "a fragment that overtakes another is dropped",
            part(760, true, 248),
            Reason::Fragment,
        ),
        Case::at(
            next(),
            "a fragment of another identification is dropped",
            fragment(&whole(), Cut { id: ID + 1, start: 504, last: true }, 504),
            Reason::Fragment,
        ),
        Case::at(
            next(),
            "a fragment of another protocol is dropped",
            patched(part(504, true, 504), IP + 9, &[6]),
            Reason::Fragment,
        ),
        Case::at(
            waiting(Workload, datagram_of("10.0.0.2", "10.0.0.9", 17), 504, 0),
            "a spoofed fragment is spoofed",
            fragment(
                &packet("10.0.0.2", "10.0.0.9", long_udp(40000, 53, 1000)),
                Cut { id: ID, start: 504, last: true },
                504,
            ),
            Reason::Spoofed,
        ),
        Case::at(
            before_any_generation(Uplink),
            "a later fragment is dropped before any generation",
            part(504, true, 504),
            Reason::NoGeneration,
        ),
        Case::on(
            Workload,
            "a later fragment to a group is not carried",
            fragment(
                &packet("10.0.0.1", "224.0.0.251", long_udp(5353, 5353, 1000)),
                Cut { id: ID, start: 504, last: true },
                504,
            ),
            Reason::Multicast,
        ),
    ]
}

fn overlapping() -> Vec<Case> {
    let drop = |tables, name, frame| Case::at(tables, name, frame, Reason::Fragment);
    let next = || waiting(Workload, v4(), 504, 0);
    vec![
        drop(next(), "a fragment that overlaps the one before is dropped", part(496, true, 512)),
        drop(next(), "a fragment that begins again in the first one is dropped", part(16, false, 488)),
        drop(waiting(Workload, v4(), 760, 0), "a repeated fragment is dropped", part(504, false, 256)),
        drop(next(), "a repeated first fragment is dropped", part(0, false, 504)),
        drop(
            next(),
            "an identification can't be used again while its datagram is unfinished",
            part(0, false, 1000),
        ),
        drop(
            next().with(key(("10.0.0.1", 40000), ("10.0.0.9", 53), 17), 0, 5),
            "a first fragment whose identification is taken leaves its connection as it is",
            part(0, false, 504),
        ),
        dns(Case::at(
            waiting(Workload, v4(), 504, 6),
            "an identification can be used again after the datagram's time",
            part(0, false, 1000),
            Reason::PolicyAllow,
        ))
        .datagram(waits(v4(), 1000)),
    ]
}

fn tiny() -> Vec<Case> {
    let drop = |name, frame| Case::on(Workload, name, frame, Reason::FragmentTiny);
    let syn = packet("10.0.0.1", "10.0.0.9", tcp(40000, 80, SYN));
    let syn_v6 = packet("fd00::1", "fd00::9", tcp(40000, 80, SYN));
    let cut_first = |frame: &[u8], length| fragment(frame, Cut { id: ID, start: 0, last: false }, length);
    let chain = with_extensions(
        packet("fd00::1", "fd00::9", icmp(0, 0, &[])),
        &[(44, &fragment_header(Cut { id: ID, start: 0, last: false })), (60, &[1, 1, 4, 0, 0, 0, 0])],
    );
    let chain_only = patched(cut(chain, OVER_V6 + 16), IP + 4, &[0, 16]);
    vec![
        drop("a first fragment without the TCP flags is too small", cut_first(&syn, 8)),
        drop("a first fragment with half a TCP header is too small", cut_first(&syn, 16)),
        drop("a fragment at offset 1 is too early", fragment(&syn, Cut { id: ID, start: 8, last: true }, 12)),
        drop("a first fragment with half a TCP header over IPv6 is too small", cut_first(&syn_v6, 16)),
        drop("a first fragment that ends in an extension header is too small", chain_only),
    ]
}

fn refused() -> Vec<Case> {
    let full = || {
        let tables = world(Workload);
        for id in 0..FRAGMENT_LIMIT {
            let entry = FragmentEntry { first_seen: tables.clock.get(), progress: 8 };
            tables.fragments.borrow_mut().insert(FragmentKey { id, ..v4() }, entry);
        }
        tables
    };
    let malformed = |name, frame| Case::on(Workload, name, frame, Reason::Malformed);
    let discovery = packet("fd00::1", "ff02::1:ff00:9", neighbour(135, "fd00::9"));
    let atomic = fragment_header(Cut { id: ID, start: 0, last: true });
    vec![
        Case::at(
            full(),
            "a full fragment table denies new datagrams",
            part(0, false, 504),
            Reason::FragmentsFull,
        ),
        dns(Case::at(full(), "a full fragment table denies no whole packet", whole(), Reason::PolicyAllow)),
        malformed(
            "a fragment in the middle that is no multiple of eight is malformed",
            part(504, false, 100),
        ),
        malformed("an empty fragment is malformed", part(504, true, 0)),
        malformed("a fragment beyond the longest datagram is malformed", part(65528, true, 16)),
        malformed(
            "a fragmented UDP header that says less than the fragment holds is malformed",
            patched(part(0, false, 504), OVER_V4 + 4, &[1, 0]),
        ),
        Case::on(
            Workload,
            "neighbour discovery in fragments is dropped",
            with_extensions(on_link(discovery), &[(44, &atomic)]),
            Reason::FragmentedControl,
        ),
    ]
}

fn over_v6() -> Vec<Case> {
    vec![
        Case::on(
            Workload,
            "a first fragment over IPv6 is remembered",
            part_v6(0, false, 504),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + DNS])
        .effect(opened(key(("fd00::1", 40000), ("fd00::9", 53), 17), 0, WEB_EGRESS + DNS))
        .datagram(waits(v6(), 504)),
        Case::at(
            waiting(Workload, v6(), 504, 0),
            "the next fragment over IPv6 passes, whatever protocol it claims",
            patched(part_v6(504, true, 504), OVER_V6, &[6]),
            Reason::LaterFragment,
        )
        .datagram(Effect::Removed(v6())),
        Case::at(
            waiting(Workload, v6(), 504, 0),
            "a fragment over IPv6 that overlaps is dropped",
            part_v6(496, true, 512),
            Reason::Fragment,
        ),
    ]
}
