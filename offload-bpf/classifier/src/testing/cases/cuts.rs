//! What is remembered of datagrams that were cut.

use std::{vec, vec::Vec};

use selvedge_abi::{
    CONNECTION_ASSURED, CONNECTION_CUT, CONNECTION_FROM_HIGH, DECISION_ALLOW,
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
    Tracked,
    frame::*,
    world::{GENERATION, key, rule::*, world},
};

/// The world asks `10.0.0.1` for names, which it did while that was allowed.
pub(super) fn cases() -> Vec<Case> {
    let query = || packet(BACK.0, BACK.1, udp(40000, 99));
    let answer = || packet(OUT.0, OUT.1, udp(99, 40000));
    let asked = || key(("10.0.0.1", 99), ("10.0.0.9", 40000), 17);
    let earlier = |role| {
        // What the answering end sends would be allowed by itself.
        changed(role, DECISION_ALLOW).with_of_generation(GENERATION - 1, asked(), CONNECTION_FROM_HIGH, 3)
    };
    let cut = |generation| {
        let flags = CONNECTION_FROM_HIGH | CONNECTION_CUT | CONNECTION_ASSURED;
        Effect::Set(asked(), Tracked { age: 0, generation, flags, rule: EARLIER_RULE })
    };
    let flags = CONNECTION_FROM_HIGH | CONNECTION_CUT | CONNECTION_ASSURED;
    let was_cut =
        |role, age| changed(role, DECISION_ALLOW).with_of_generation(GENERATION - 1, asked(), flags, age);
    let own = || key(("10.0.0.1", 40000), ("10.0.0.9", 99), 17);
    section::CUT_DATAGRAMS.of(vec![
        Case::at(earlier(Uplink), "a cut of datagrams from afar is remembered", query(), Reason::Cut)
            .by(&[WEB_INGRESS + DEFAULT])
            .cuts()
            .effect(cut(GENERATION - 1)),
        Case::at(earlier(Workload), "an answer to them is cut, and remembered", answer(), Reason::Cut)
            .by(&[WEB_INGRESS + DEFAULT])
            .cuts()
            .effect(cut(GENERATION - 1)),
        Case::at(
            was_cut(Workload, 19),
            "an answer does not open what was cut, though policy would let it open",
            answer(),
            Reason::Cut,
        ),
        Case::at(
            was_cut(Uplink, 19),
            "whoever was cut is judged anew, and stays remembered",
            query(),
            Reason::PolicyDeny,
        )
        .by(&[WEB_INGRESS + DEFAULT])
        .effect(cut(GENERATION - 1)),
        Case::at(
            was_cut(Workload, 21),
            "a cut is forgotten when an entry elsewhere would be",
            answer(),
            Reason::PolicyAllow,
        )
        .by(&[66])
        .effect(opened(asked(), 0, 66)),
        Case::at(
            world(Uplink).with_of_generation(
                GENERATION - 1,
                key(("10.0.0.1", 53), ("10.0.0.9", 40000), 17),
                flags,
                3,
            ),
            "what was cut opens anew where it is allowed again",
            packet(BACK.0, BACK.1, udp(40000, 53)),
            Reason::PolicyAllow,
        )
        .by(&[WEB_INGRESS + DNS])
        .effect(opened(
            key(("10.0.0.1", 53), ("10.0.0.9", 40000), 17),
            CONNECTION_FROM_HIGH,
            WEB_INGRESS + DNS,
        )),
        Case::at(
            changed(Workload, 0).with_of_generation(GENERATION - 1, own(), 0, 3),
            "a cut of a workload's own datagrams needs no memory: what comes back is judged here",
            packet(OUT.0, OUT.1, udp(40000, 99)),
            Reason::Cut,
        )
        .by(&[66])
        .cuts()
        .effect(Effect::Removed(own())),
    ])
}
