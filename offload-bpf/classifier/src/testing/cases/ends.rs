//! Two ends behind one node of which one tracks connections and the other doesn't: each is judged as if it were alone.

use std::{vec, vec::Vec};

use selvedge_abi::{
    CONNECTION_ANSWERED, CONNECTION_ANSWERER_UNTRACKED, CONNECTION_FROM_HIGH, CONNECTION_OPENER_UNTRACKED,
    ConnectionKey, DECISION_ALLOW, DECISION_STATELESS, Direction, Interval,
    PortRole::{Uplink, Workload},
    Reason,
};

use super::{Case, Effect, policy::opened, section};
use crate::testing::{
    MemoryTables, Tracked,
    frame::*,
    world::{APP, GENERATION, WEB, key, rule::*, world},
};

/// A rule that allows everything.
const ALL: u32 = 70;
const TRACKED: u32 = DECISION_ALLOW;
const STATELESS: u32 = DECISION_ALLOW | DECISION_STATELESS;

pub(super) fn cases() -> Vec<Case> {
    [section::ONE_NODE.of([openings(), answers()].concat()), section::ERRORS.of(errors())].concat()
}

/// The world with one rule for all that a workload sends or receives.
fn all(subject: u32, direction: Direction, decision: u32) -> MemoryTables {
    let mut tables = world(Workload);
    tables.add_policy(subject, 0, direction, &[Interval { start: 0, rule: ALL, decision }]);
    tables
}

fn openings() -> Vec<Case> {
    let out = |port| packet("10.0.0.1", "10.0.0.2", udp(40000, port));
    let connection = |port| key(("10.0.0.1", 40000), ("10.0.0.2", port), 17);
    vec![
        Case::at(
            all(APP, Direction::Ingress, STATELESS),
            "a stateless destination doesn't keep the source from tracking",
            out(53),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + DNS, ALL])
        .effect(opened(connection(53), CONNECTION_ANSWERER_UNTRACKED, ALL)),
        Case::at(
            all(APP, Direction::Ingress, TRACKED),
            "a stateless source doesn't keep the destination from tracking",
            out(123),
            Reason::PolicyAllow,
        )
        .by(&[WEB_EGRESS + NTP, ALL])
        .effect(opened(connection(123), CONNECTION_OPENER_UNTRACKED, ALL)),
        Case::on(Workload, "two stateless ends leave no entry", out(123), Reason::Stateless)
            .by(&[WEB_EGRESS + NTP, APP_INGRESS + NTP]),
        Case::at(
            all(APP, Direction::Ingress, TRACKED).with(connection(123), CONNECTION_OPENER_UNTRACKED, 0),
            "a stateless source is judged packet by packet",
            out(123),
            Reason::Established,
        )
        .by(&[WEB_EGRESS + NTP]),
        Case::at(
            all(APP, Direction::Ingress, TRACKED).with(connection(99), CONNECTION_OPENER_UNTRACKED, 0),
            "a stateless source that is no longer allowed is denied under cover of the other end",
            out(99),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + DEFAULT]),
    ]
}

/// `10.0.0.2` asks `10.0.0.1`, whose end tracks nothing.
fn asked(port: u16, protocol: u32) -> ConnectionKey {
    key(("10.0.0.1", port), ("10.0.0.2", 40000), protocol)
}

const FLAGS: u32 = CONNECTION_FROM_HIGH | CONNECTION_ANSWERER_UNTRACKED;

fn answers() -> Vec<Case> {
    let answer = || packet("10.0.0.1", "10.0.0.2", udp(53, 40000));
    let syn_ack = || packet("10.0.0.1", "10.0.0.2", tcp(80, 40000, SYN | ACK));
    let answered = |key, age| {
        Effect::Set(
            key,
            Tracked { age, generation: GENERATION, flags: FLAGS | CONNECTION_ANSWERED, rule: 999 },
        )
    };
    let earlier = |tables: MemoryTables| {
        tables.with_of_generation(GENERATION - 1, asked(53, 17), CONNECTION_FROM_HIGH, 0)
    };
    let mut both_ways = all(WEB, Direction::Ingress, STATELESS);
    both_ways.add_policy(WEB, 0, Direction::Egress, &[Interval { start: 0, rule: ALL, decision: STATELESS }]);
    vec![
        Case::at(
            world(Workload).with(asked(53, 17), FLAGS, 0),
            "the answer of a stateless end needs its own rule",
            answer(),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + DEFAULT]),
        Case::at(
            all(WEB, Direction::Egress, STATELESS).with(asked(53, 17), FLAGS, 0),
            "the answer of a stateless end passes by its own rule, and the other end's connection",
            answer(),
            Reason::Established,
        )
        .by(&[ALL])
        .effect(answered(asked(53, 17), 0)),
        Case::at(
            all(WEB, Direction::Egress, TRACKED).with(asked(80, 6), FLAGS, 0),
            "a rule that tracks doesn't allow a stateless end the middle of a stream",
            syn_ack(),
            Reason::NotTracked,
        ),
        Case::at(
            all(WEB, Direction::Egress, STATELESS).with(asked(80, 6), FLAGS, 0),
            "a stateless rule does",
            syn_ack(),
            Reason::Established,
        )
        .by(&[ALL])
        .effect(answered(asked(80, 6), 0)),
        Case::at(
            earlier(all(WEB, Direction::Ingress, STATELESS)),
            "an end that became stateless needs its own rule for its answer at once",
            answer(),
            Reason::PolicyDeny,
        )
        .by(&[WEB_EGRESS + DEFAULT]),
        Case::at(earlier(both_ways), "and with one its answer passes", answer(), Reason::Established)
            .by(&[APP_EGRESS + DNS, ALL])
            .effect(opened(asked(53, 17), FLAGS | CONNECTION_ANSWERED, ALL)),
    ]
}

fn errors() -> Vec<Case> {
    let http = || key(("10.0.0.1", 40000), ("10.0.0.9", 80), 6);
    let about = datagram("10.0.0.1", "10.0.0.9", tcp(40000, 80, ACK));
    vec![
        Case::at(
            world(Workload).with(http(), CONNECTION_ANSWERED, 0),
            "an error of a third workload is judged as that workload's",
            packet("10.0.0.4", "10.0.0.1", error(3, 4, &about)),
            Reason::NoPolicy,
        ),
        Case::at(
            world(Uplink).with(http(), CONNECTION_OPENER_UNTRACKED, 0),
            "an error to a stateless end needs a rule",
            packet("10.8.8.8", "10.0.0.1", error(3, 4, &about)),
            Reason::PolicyDeny,
        )
        .by(&[WEB_INGRESS + DEFAULT]),
    ]
}
