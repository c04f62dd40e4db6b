//! Connections that a generation denies, and lets go on until they end.

use std::{vec, vec::Vec};

use selvedge_abi::{
    CONNECTION_ANSWERED, CONNECTION_ANSWERER_UNTRACKED, CONNECTION_ASSURED, CONNECTION_CLOSING,
    CONNECTION_DRAINING, CONNECTION_FROM_HIGH, CONNECTION_OPENER_UNTRACKED, ConnectionKey, DECISION_ALLOW,
    DECISION_DRAIN, DECISION_LOG, DECISION_STATELESS, Direction, Interval,
    PortRole::{Uplink, Workload},
    Reason,
};

use super::{
    Case, Effect,
    connections::{BACK, EARLIER_RULE, OUT, changed},
    policy::opened,
    section,
};
use crate::testing::{
    MemoryTables, Tracked,
    frame::*,
    world::{APP, GENERATION, WEB, key, rule::*, world},
};

/// What was opened, answered and went on.
const KEPT: u32 = CONNECTION_ANSWERED | CONNECTION_ASSURED;
/// What drains of it.
const DRAINING: u32 = KEPT | CONNECTION_DRAINING;

pub(super) fn cases() -> Vec<Case> {
    [
        section::DRAINING.of([begins(), goes_on(), ends(), later_generations()].concat()),
        section::ONE_NODE.of(two_ends()),
    ]
    .concat()
}

fn http() -> ConnectionKey {
    key(("10.0.0.1", 40000), ("10.0.0.9", 80), 6)
}

/// What changed tables make of connections that were allowed before.
fn earlier(tables: MemoryTables, key: ConnectionKey, flags: u32) -> MemoryTables {
    tables.with_of_generation(GENERATION - 1, key, flags, 3)
}

fn begins() -> Vec<Case> {
    let out = || packet(OUT.0, OUT.1, tcp(40000, 80, ACK));
    let back = || packet(BACK.0, BACK.1, tcp(80, 40000, ACK));
    let drains = |role| earlier(changed(role, DECISION_DRAIN), http(), KEPT);
    let began = |case: Case, key, flags| case.by(&[66]).begins_to_drain().effect(opened(key, flags, 66));
    let ping = key(("10.0.0.1", 5), ("10.0.0.9", 5), 1);
    let afar = key(("10.0.0.1", 99), ("10.0.0.9", 40000), 17);
    let mut from_afar = world(Uplink);
    let all = [Interval { start: 0, rule: 66, decision: DECISION_DRAIN }];
    from_afar.add_policy(WEB, 0, Direction::Ingress, &all);
    let at = |tables, name, frame| Case::at(tables, name, frame, Reason::Draining);
    vec![
        began(
            at(drains(Workload), "what a denial lets drain goes on, which is told once", out()),
            http(),
            DRAINING,
        ),
        began(at(drains(Uplink), "its answer goes on with it", back()), http(), DRAINING),
        began(
            at(
                earlier(changed(Uplink, DECISION_DRAIN), http(), 0),
                "a connection that waits for its first answer drains too",
                packet(BACK.0, BACK.1, tcp(80, 40000, SYN | ACK)),
            ),
            http(),
            CONNECTION_ANSWERED | CONNECTION_DRAINING,
        ),
        began(
            at(
                earlier(changed(Workload, DECISION_DRAIN | DECISION_LOG), http(), KEPT),
                "a rule that logs tells no more of it",
                out(),
            ),
            http(),
            DRAINING,
        ),
        began(
            at(
                earlier(changed(Workload, DECISION_DRAIN), ping, KEPT),
                "an echo request may be one more of many",
                packet(OUT.0, OUT.1, echo(8, 5)),
            ),
            ping,
            DRAINING,
        ),
        began(
            at(
                earlier(from_afar, afar, CONNECTION_FROM_HIGH),
                "datagrams from afar drain",
                packet(BACK.0, BACK.1, udp(40000, 99)),
            ),
            afar,
            CONNECTION_FROM_HIGH | CONNECTION_DRAINING,
        ),
        Case::at(
            drains(Workload),
            "a new connection is denied at once",
            packet(OUT.0, OUT.1, tcp(40001, 80, SYN)),
            Reason::PolicyDeny,
        )
        .by(&[66]),
        Case::at(
            drains(Workload),
            "a SYN asks for a new connection, whatever there was before",
            packet(OUT.0, OUT.1, tcp(40000, 80, SYN)),
            Reason::PolicyDeny,
        )
        .by(&[66]),
    ]
}

fn goes_on() -> Vec<Case> {
    let out = |flags| packet(OUT.0, OUT.1, tcp(40000, 80, flags));
    let drains = |role| changed(role, DECISION_DRAIN).with(http(), DRAINING, 0);
    let about = datagram(OUT.0, OUT.1, tcp(40000, 80, ACK));
    vec![
        Case::at(drains(Workload), "what drains passes without another word", out(ACK), Reason::Draining),
        Case::at(
            drains(Uplink),
            "what answers it does likewise",
            packet(BACK.0, BACK.1, tcp(80, 40000, ACK)),
            Reason::Draining,
        ),
        Case::at(
            drains(Uplink),
            "an error about what drains passes",
            packet("10.8.8.8", "10.0.0.1", error(3, 4, &about)),
            Reason::Related,
        ),
        Case::at(
            drains(Workload),
            "a SYN on what drains is denied, and changes nothing",
            out(SYN),
            Reason::PolicyDeny,
        )
        .by(&[66]),
    ]
}

fn ends() -> Vec<Case> {
    let out = |flags| packet(OUT.0, OUT.1, tcp(40000, 80, flags));
    let stays =
        |flags| Effect::Set(http(), Tracked { age: 0, generation: GENERATION, flags, rule: EARLIER_RULE });
    vec![
        Case::at(
            changed(Workload, DECISION_DRAIN).with(http(), DRAINING, 0),
            "what drains ends by itself",
            out(FIN | ACK),
            Reason::Draining,
        )
        .effect(stays(DRAINING | CONNECTION_CLOSING)),
        Case::at(
            changed(Workload, DECISION_DRAIN).with(http(), DRAINING | CONNECTION_CLOSING, 6),
            "what drained and ended is over",
            out(ACK),
            Reason::NotTracked,
        ),
        Case::at(
            changed(Workload, DECISION_DRAIN).with(http(), DRAINING, 61),
            "what drains and falls silent is over",
            out(ACK),
            Reason::NotTracked,
        ),
        Case::at(
            changed(Workload, DECISION_DRAIN).with(http(), DRAINING | CONNECTION_CLOSING, 0),
            "what drained and ended can't begin again",
            out(SYN),
            Reason::PolicyDeny,
        )
        .by(&[66]),
    ]
}

fn later_generations() -> Vec<Case> {
    let out = || packet(OUT.0, OUT.1, tcp(40000, 80, ACK));
    let drained = |tables| earlier(tables, http(), DRAINING);
    vec![
        Case::at(
            drained(world(Workload)),
            "what a later generation allows again is a connection as any other",
            out(),
            Reason::Established,
        )
        .by(&[WEB_EGRESS + HTTP])
        .effect(opened(http(), KEPT, WEB_EGRESS + HTTP)),
        Case::at(
            drained(changed(Workload, DECISION_DRAIN)),
            "what a later generation lets drain as well is not told again",
            out(),
            Reason::Draining,
        )
        .by(&[66])
        .effect(opened(http(), DRAINING, 66)),
        Case::at(
            drained(changed(Workload, 0)),
            "what a later generation cuts no longer drains",
            out(),
            Reason::Cut,
        )
        .by(&[66])
        .cuts()
        .effect(Effect::Removed(http())),
    ]
}

/// `10.0.0.1` opened to `10.0.0.2`, both behind this node.
fn two_ends() -> Vec<Case> {
    const OTHER: u32 = 67;
    let inner = || key(("10.0.0.1", 40000), ("10.0.0.2", 80), 6);
    let out = || packet("10.0.0.1", "10.0.0.2", tcp(40000, 80, ACK));
    let ends = |egress, ingress, flags| {
        let mut tables = world(Workload);
        let all = |rule, decision| [Interval { start: 0, rule, decision }];
        tables.add_policy(WEB, APP, Direction::Egress, &all(66, egress));
        tables.add_policy(APP, WEB, Direction::Ingress, &all(OTHER, ingress));
        earlier(tables, inner(), flags)
    };
    let stateless = DECISION_ALLOW | DECISION_STATELESS;
    let began = |name, tables, rule, rules: &[u32], flags| {
        Case::at(tables, name, out(), Reason::Draining).by(rules).begins_to_drain().effect(opened(
            inner(),
            flags | CONNECTION_DRAINING,
            rule,
        ))
    };
    let answered = KEPT;
    vec![
        began(
            "an end that lets drain decides beside one that allows",
            ends(DECISION_DRAIN, DECISION_ALLOW, answered),
            66,
            &[66],
            answered,
        ),
        began(
            "so does the end that is asked second",
            ends(DECISION_ALLOW, DECISION_DRAIN, answered),
            OTHER,
            &[66, OTHER],
            answered,
        ),
        began(
            "both ends may let drain",
            ends(DECISION_DRAIN, DECISION_DRAIN, answered),
            OTHER,
            &[66, OTHER],
            answered,
        ),
        began(
            "an end that tracks nothing any more is judged packet by packet beside one that lets drain",
            ends(DECISION_DRAIN, stateless, answered),
            66,
            &[66],
            answered | CONNECTION_ANSWERER_UNTRACKED,
        ),
        Case::at(
            ends(DECISION_DRAIN, 0, answered),
            "an end that cuts decides beside one that lets drain",
            out(),
            Reason::Cut,
        )
        .by(&[66, OTHER])
        .cuts()
        .effect(Effect::Removed(inner())),
        Case::at(
            ends(DECISION_DRAIN, DECISION_ALLOW, answered | CONNECTION_OPENER_UNTRACKED),
            "an end that tracked nothing has nothing to drain",
            out(),
            Reason::Cut,
        )
        .by(&[66])
        .cuts()
        .effect(Effect::Removed(inner())),
    ]
}
