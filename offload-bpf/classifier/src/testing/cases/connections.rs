//! Packets of connections: alive, idle too long, closing, of an earlier generation, quoted by errors.

mod errors;

use std::{vec, vec::Vec};

use selvedge_abi::{
    CONNECTION_ANSWERED, CONNECTION_ASSURED, CONNECTION_CLOSING, CONNECTION_FROM_HIGH, CONNECTION_RESET,
    ConnectionKey, Direction, ECHO_FROM_HIGH, Interval,
    PortRole::{Uplink, Workload},
    Reason,
};

use super::{Case, Effect, policy::opened, section};
use crate::testing::{
    MemoryTables, Tracked,
    frame::*,
    world::{GENERATION, WEB, key, rule::*, world},
};

pub(super) const OUT: (&str, &str) = ("10.0.0.1", "10.0.0.9");
pub(super) const BACK: (&str, &str) = ("10.0.0.9", "10.0.0.1");
/// The opener went on after it was answered.
pub(super) const ASSURED: u32 = CONNECTION_ANSWERED | CONNECTION_ASSURED;
/// The rule that the connections of [`MemoryTables::with`] name.
pub(super) const EARLIER_RULE: u32 = 999;

pub(super) fn cases() -> Vec<Case> {
    [
        section::TCP_STATES.of(tcp_cases()),
        section::DIALOGUES.of(udp_and_sctp()),
        section::ECHOES.of(echoes()),
        section::GENERATIONS.of(generations()),
        section::ERRORS.of(errors::cases()),
    ]
    .concat()
}

fn http() -> ConnectionKey {
    key(("10.0.0.1", 40000), ("10.0.0.9", 80), 6)
}

fn denied() -> ConnectionKey {
    key(("10.0.0.1", 40000), ("10.0.0.9", 81), 6)
}

fn stays(key: ConnectionKey, flags: u32, age: u64) -> Effect<ConnectionKey, Tracked> {
    Effect::Set(key, Tracked { age, generation: GENERATION, flags, rule: EARLIER_RULE })
}

fn tcp_cases() -> Vec<Case> {
    let out = |flags| packet(OUT.0, OUT.1, tcp(40000, 80, flags));
    let back = |flags| packet(BACK.0, BACK.1, tcp(80, 40000, flags));
    let fresh = |role| world(role).with(http(), 0, 0);
    let old = |role, flags, age| world(role).with(http(), flags, age);
    let new = |case: Case| case.by(&[WEB_EGRESS + HTTP]).effect(opened(http(), 0, WEB_EGRESS + HTTP));
    vec![
        Case::at(fresh(Uplink), "an answer belongs to its connection", back(SYN | ACK), Reason::Established)
            .effect(stays(http(), CONNECTION_ANSWERED, 0)),
        Case::at(old(Workload, ASSURED, 50), "a packet renews its connection", out(ACK), Reason::Established)
            .effect(stays(http(), ASSURED, 0)),
        Case::at(
            old(Workload, CONNECTION_ANSWERED, 3),
            "an opener that goes on after an answer assures its connection",
            out(ACK),
            Reason::Established,
        )
        .effect(stays(http(), ASSURED, 0)),
        Case::at(
            old(Workload, CONNECTION_ANSWERED, 0),
            "a SYN again assures nothing",
            out(SYN),
            Reason::Established,
        ),
        Case::at(
            old(Workload, CONNECTION_ANSWERED, 0),
            "a RST to an answer that nobody asked for assures nothing",
            out(RST),
            Reason::Established,
        )
        .effect(stays(http(), CONNECTION_ANSWERED | CONNECTION_RESET, 0)),
        Case::at(
            old(Workload, CONNECTION_ANSWERED, 11),
            "an opener that goes on too late is not tracked",
            out(ACK),
            Reason::NotTracked,
        ),
        Case::at(fresh(Workload), "a SYN again belongs to the connection", out(SYN), Reason::Established),
        Case::at(fresh(Workload), "a FIN closes", out(FIN | ACK), Reason::Established).effect(stays(
            http(),
            CONNECTION_CLOSING,
            0,
        )),
        Case::at(fresh(Uplink), "a RST breaks off", back(RST | ACK), Reason::Established).effect(stays(
            http(),
            CONNECTION_RESET | CONNECTION_ANSWERED,
            0,
        )),
        Case::at(
            old(Uplink, CONNECTION_ANSWERED | CONNECTION_RESET, 1),
            "a RST that nobody believes is forgotten (RFC 5961)",
            back(ACK),
            Reason::Established,
        )
        .effect(stays(http(), CONNECTION_ANSWERED, 0)),
        Case::at(
            old(Uplink, CONNECTION_ANSWERED | CONNECTION_RESET, 6),
            "a RST that nobody contradicts ends the connection",
            back(ACK),
            Reason::NotTracked,
        ),
        Case::on(Workload, "the middle of an unknown stream is not tracked", out(ACK), Reason::NotTracked),
        Case::on(
            Workload,
            "a SYN+ACK of an unknown stream is not tracked",
            out(SYN | ACK),
            Reason::NotTracked,
        ),
        Case::on(Uplink, "a RST of an unknown stream is not tracked", back(RST), Reason::NotTracked),
        Case::on(Workload, "a FIN of an unknown stream is not tracked", out(FIN | ACK), Reason::NotTracked),
        Case::at(old(Workload, ASSURED, 61), "an idle connection is forgotten", out(ACK), Reason::NotTracked),
        Case::at(
            old(Uplink, 0, 11),
            "an answer that comes too late is not tracked",
            back(SYN | ACK),
            Reason::NotTracked,
        ),
        Case::at(
            old(Workload, CONNECTION_ANSWERED | CONNECTION_CLOSING, 6),
            "a closed connection is forgotten",
            out(ACK),
            Reason::NotTracked,
        ),
        new(Case::at(
            old(Workload, ASSURED | CONNECTION_FROM_HIGH, 61),
            "an idle entry makes room for a new connection",
            out(SYN),
            Reason::PolicyAllow,
        )),
        new(Case::at(
            old(Workload, CONNECTION_ANSWERED | CONNECTION_CLOSING, 1),
            "a closing tuple opens anew",
            out(SYN),
            Reason::PolicyAllow,
        )),
        Case::at(
            world(Workload).with(denied(), CONNECTION_RESET, 1),
            "a closing tuple is judged anew",
            packet(OUT.0, OUT.1, tcp(40000, 81, SYN)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + DEFAULT]),
        Case::at(
            old(Uplink, CONNECTION_CLOSING, 1),
            "a closing tuple opened by the other end is judged that way",
            back(SYN),
            Reason::PolicyDeny,
        )
        .by(&[WEB_INGRESS + DEFAULT]),
        Case::at(
            fresh(Uplink),
            "the answering end can't open under cover of a connection",
            back(SYN),
            Reason::PolicyDeny,
        )
        .by(&[WEB_INGRESS + DEFAULT]),
        Case::at(
            world(Uplink).with(key(("10.0.0.1", 80), ("10.0.0.9", 80), 6), 0, 0),
            "a simultaneous open keeps its opener where policy allows both",
            packet(BACK.0, BACK.1, tcp(80, 80, SYN)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_INGRESS + HTTP]),
    ]
}

fn udp_and_sctp() -> Vec<Case> {
    let dns = || key(("10.0.0.1", 40000), ("10.0.0.9", 53), 17);
    let diameter = || key(("10.0.0.1", 40000), ("10.0.0.9", 3868), 132);
    let association = |role| world(role).with(diameter(), 0, 0);
    let chunk = |chunk| packet(OUT.0, OUT.1, sctp(40000, 3868, chunk));
    vec![
        Case::at(
            world(Uplink).with(dns(), 0, 19),
            "a UDP reply passes",
            packet(BACK.0, BACK.1, udp(53, 40000)),
            Reason::Established,
        )
        .effect(stays(dns(), CONNECTION_ANSWERED, 0)),
        Case::at(
            world(Uplink).with(dns(), 0, 21),
            "a UDP reply after expiry is judged by itself",
            packet(BACK.0, BACK.1, udp(53, 40000)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_INGRESS + DEFAULT]),
        Case::at(
            association(Uplink),
            "an INIT ACK belongs to its association",
            packet(BACK.0, BACK.1, sctp(3868, 40000, 2)),
            Reason::Established,
        )
        .effect(stays(diameter(), CONNECTION_ANSWERED, 0)),
        Case::at(association(Workload), "a SHUTDOWN closes", chunk(7), Reason::Established).effect(stays(
            diameter(),
            CONNECTION_CLOSING,
            0,
        )),
        Case::at(association(Workload), "an ABORT breaks off", chunk(6), Reason::Established).effect(stays(
            diameter(),
            CONNECTION_RESET,
            0,
        )),
        Case::on(
            Workload,
            "SCTP data of an unknown association is not tracked",
            chunk(0),
            Reason::NotTracked,
        ),
    ]
}

fn echoes() -> Vec<Case> {
    let ping = || key(("10.0.0.1", 5), ("10.0.0.9", 5), 1);
    let ping_v6 = || key(("fd00::1", 5), ("fd00::9", 5), 58);
    let asked_by_high = || key(("10.0.0.1", 5), ("10.0.0.9", 5), 1 | ECHO_FROM_HIGH);
    vec![
        Case::on(Workload, "an echo request opens", packet(OUT.0, OUT.1, echo(8, 5)), Reason::PolicyAllow)
            .by(&[WEB_EGRESS + PING])
            .effect(opened(ping(), 0, WEB_EGRESS + PING)),
        Case::on(
            Workload,
            "an ICMPv6 echo request opens",
            packet("fd00::1", "fd00::9", echo(128, 5)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + PING])
        .effect(opened(ping_v6(), 0, WEB_EGRESS + PING)),
        Case::at(
            world(Uplink).with(ping(), 0, 0),
            "an echo reply passes",
            packet(BACK.0, BACK.1, echo(0, 5)),
            Reason::Established,
        )
        .effect(stays(ping(), CONNECTION_ANSWERED, 0)),
        Case::at(
            world(Uplink).with(ping_v6(), 0, 7),
            "an ICMPv6 echo reply passes",
            packet("fd00::9", "fd00::1", echo(129, 5)),
            Reason::Established,
        )
        .effect(stays(ping_v6(), CONNECTION_ANSWERED, 0)),
        Case::at(
            world(Uplink).with(ping(), 0, 9),
            "an echo reply that comes too late is not tracked",
            packet(BACK.0, BACK.1, echo(0, 5)),
            Reason::NotTracked,
        ),
        Case::at(
            world(Uplink).with(ping(), 0, 0),
            "another identifier is not tracked",
            packet(BACK.0, BACK.1, echo(0, 6)),
            Reason::NotTracked,
        ),
        Case::at(
            world(Workload).with(ping(), 0, 0),
            "a reply of the asking end is not tracked",
            packet(OUT.0, OUT.1, echo(0, 5)),
            Reason::NotTracked,
        ),
        Case::at(
            world(Uplink).with(ping(), 0, 0),
            "a request with the identifier of a reply is a connection of its own",
            packet(BACK.0, BACK.1, echo(8, 5)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_INGRESS + PING])
        .effect(opened(asked_by_high(), CONNECTION_FROM_HIGH, WEB_INGRESS + PING)),
        Case::at(
            {
                let mut tables = world(Uplink).with(ping(), CONNECTION_ANSWERED, 0);
                tables.add_policy(
                    WEB,
                    0,
                    Direction::Ingress,
                    &[Interval { start: 0, rule: 66, decision: 0 }],
                );
                tables
            },
            "a denied request can't ride the entry of a reply by its identifier (GHSA-c66w-hq56-4q97)",
            packet(BACK.0, BACK.1, echo(8, 5)),
            Reason::PolicyDeny,
        )
        .by(&[66]),
    ]
}

/// The world after policy towards `10.0.0.9` (the world) became one rule for everything.
pub(super) fn changed(role: selvedge_abi::PortRole, decision: u32) -> MemoryTables {
    let mut tables = world(role);
    tables.add_policy(
        WEB,
        selvedge_abi::IDENTITY_WORLD,
        Direction::Egress,
        &[Interval { start: 0, rule: 66, decision }],
    );
    tables
}

fn generations() -> Vec<Case> {
    let out = || packet(OUT.0, OUT.1, tcp(40000, 80, ACK));
    let back = || packet(BACK.0, BACK.1, tcp(80, 40000, ACK));
    let earlier =
        |tables: MemoryTables| tables.with_of_generation(GENERATION - 1, http(), CONNECTION_ANSWERED, 3);
    let ping = key(("10.0.0.1", 5), ("10.0.0.9", 5), 1);
    let mut answered_by_rule = changed(Uplink, 3);
    answered_by_rule.add_policy(WEB, 2, Direction::Ingress, &[Interval { start: 0, rule: 67, decision: 3 }]);
    vec![
        Case::at(
            earlier(world(Workload)),
            "a connection that is still allowed goes on",
            out(),
            Reason::Established,
        )
        .by(&[WEB_EGRESS + HTTP])
        .effect(opened(http(), ASSURED, WEB_EGRESS + HTTP)),
        Case::at(
            earlier(world(Uplink)),
            "its answer is judged in the direction of its opener",
            back(),
            Reason::Established,
        )
        .by(&[WEB_EGRESS + HTTP])
        .effect(opened(http(), CONNECTION_ANSWERED, WEB_EGRESS + HTTP)),
        Case::at(
            earlier(changed(Workload, 0)),
            "a connection that is no longer allowed is cut",
            out(),
            Reason::Cut,
        )
        .by(&[66])
        .cuts()
        .effect(Effect::Removed(http())),
        Case::at(earlier(changed(Uplink, 0)), "an answer is cut with it", back(), Reason::Cut)
            .by(&[66])
            .cuts()
            .effect(Effect::Removed(http())),
        Case::at(
            earlier(changed(Workload, 3)),
            "a connection that became stateless loses its entry",
            out(),
            Reason::Stateless,
        )
        .by(&[66])
        .effect(Effect::Removed(http())),
        Case::at(earlier(changed(Uplink, 3)), "and its answers their cover", back(), Reason::NotTracked)
            .effect(Effect::Removed(http())),
        Case::at(
            earlier(answered_by_rule),
            "but for those that a stateless rule of their own allows",
            back(),
            Reason::Stateless,
        )
        .by(&[67])
        .effect(Effect::Removed(http())),
        Case::at(
            world(Uplink).with_of_generation(GENERATION + 1, ping, 0, 0),
            "a reply is judged as its request, after a step back too",
            packet(BACK.0, BACK.1, echo(0, 5)),
            Reason::Established,
        )
        .by(&[WEB_EGRESS + PING])
        .effect(opened(ping, CONNECTION_ANSWERED, WEB_EGRESS + PING)),
        Case::at(
            world(Workload).with_of_generation(GENERATION - 1, http(), CONNECTION_CLOSING, 6),
            "an idle connection is forgotten before it is judged",
            out(),
            Reason::NotTracked,
        ),
    ]
}
