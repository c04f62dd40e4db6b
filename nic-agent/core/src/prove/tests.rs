use std::collections::BTreeSet;

use selvedge_abi::{Event, EventKind, Reason};
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::model::{Direction, RuleId};
use selvedge_topology::plan::{Outcome, PlanAddress, PlanRow, PlanSet, PlanWorkload, Runs, SetId};

use super::*;
use crate::testing::{APP, RANGE, Sample, WEB, machine, name, rule, set};

/// A class: subject, direction, peer, and the index of an interval.
type Tried = (Identity, Direction, Class, usize);

/// The classes that a packet is of, read off it by the plan alone.
fn classes(plan: &Plan, case: &Case) -> Vec<Tried> {
    let Packet { source, destination, key } = case.packet;
    let local = |address| plan.workloads.iter().find(|workload| workload.addresses.contains(&address));
    let class = |this, direction, other| {
        let subject = local(this)?.identity;
        let (_, peer) = plan.address(other);
        let row = plan.rows.iter().find(|row| row.subject == subject && row.direction == direction)?;
        let named = row.peers.iter().find(|(class, _)| *class == peer);
        let id = named.map_or(row.default, |(_, set)| *set);
        let set = plan.sets.iter().find(|set| set.id == id)?;
        let interval = set.intervals.iter().rposition(|interval| interval.first <= key)?;
        Some((subject, direction, peer, interval))
    };
    let ends =
        [class(source, Direction::Egress, destination), class(destination, Direction::Ingress, source)];
    ends.into_iter().flatten().collect()
}

fn try_all(plan: &Plan, limit: usize) -> (Trial, BTreeSet<Tried>) {
    let scope = (&Touched::Everything, limit);
    let trial = trial(plan, &machine(&["eth0", "w1"]), Generation(3), Slot::B, scope);
    let tried = trial.cases.iter().flat_map(|case| classes(plan, case)).collect();
    (trial, tried)
}

#[test]
fn every_class_of_a_small_plan_is_tried_or_no_packet_can_be_of_it() {
    let plan = Sample::new().plan;
    let (trial, tried) = try_all(&plan, LIMIT);
    // Three intervals towards web, one towards the others, which are the world, a range and app itself; one for all egress.
    assert_eq!(trial.coverage.of, 3 + 3 + 4);
    // app1 is alone: no packet runs from app to app.
    assert_eq!((trial.coverage.classes, trial.coverage.skipped), (8, 2));
    assert_eq!(tried.len(), 8);
    let web: Vec<String> = trial
        .cases
        .iter()
        .filter(|case| plan.address(case.packet.source).0 == WEB)
        .map(|case| format!("{} {}", case.packet, case.expected.reason.name()))
        .collect();
    assert_eq!(
        web,
        [
            "10.1.0.11 -> 10.1.0.12 ICMP 8/0 policy-deny",
            "10.1.0.11 -> 10.1.0.12 8079/TCP policy-deny",
            "10.1.0.11 -> 10.1.0.12 8080/TCP policy-allow",
            "10.1.0.11 -> 10.1.0.12 8081/TCP policy-deny",
            "10.1.0.11 -> 10.1.0.12 65535/SCTP policy-deny",
        ]
    );
    assert!(trial.cases.iter().any(|case| case.packet.source.is_ipv6()));
    assert!(
        trial
            .cases
            .iter()
            .all(|case| case.port.0 == if plan.address(case.packet.source).0 == APP { 11 } else { 10 })
    );
}

/// Twenty subjects behind one port, sixty ranges, and eight lists of eight intervals in every mixture.
fn large() -> Plan {
    let mut plan = Sample::new().plan;
    plan.workloads.clear();
    plan.addresses.edit().clear();
    plan.rows.edit().clear();
    plan.sets = (0..8).map(list).collect();
    plan.rules = (0..64).map(|id| rule(id + 1)).collect();
    for number in 0..20_u8 {
        let (address, identity) =
            (std::net::IpAddr::from([10, 1, 0, number]), Identity(256 + u32::from(number)));
        plan.addresses.edit().push(PlanAddress { prefix: address.into(), identity, class: identity.into() });
        plan.workloads.push(PlanWorkload {
            name: name(&format!("x{number}")),
            identity,
            port: name("w1"),
            addresses: [address].into(),
        });
    }
    let ranges: Vec<Class> = (0..60).map(|number| Class(0x8000_0000 + number)).collect();
    for (number, class) in (0_u8..).zip(&ranges) {
        let prefix = format!("10.{}.0.0/16", 2 + number).parse().unwrap();
        plan.addresses.edit().push(PlanAddress { prefix, identity: Identity::WORLD, class: *class });
    }
    for subject in (256..276).map(Identity) {
        for (turn, direction) in Direction::BOTH.into_iter().enumerate() {
            let of = |number: usize| SetId(((subject.0 as usize + turn + number) % 8) as u64);
            let peers = ranges.iter().enumerate().map(|(number, class)| (*class, of(number + 1))).collect();
            plan.rows.edit().push(PlanRow { subject, direction, default: of(0), peers });
        }
    }
    plan
}

/// Eight intervals of TCP, each by a rule of its own.
fn list(id: u32) -> PlanSet {
    let interval = |number: u32| {
        let outcome = match number % 5 {
            0 => Outcome::Denied,
            2 => Outcome::AllowedStateless,
            3 => Outcome::DeniedDraining,
            _ => Outcome::Allowed,
        };
        (if number == 0 { 0 } else { 6 << 16 | (number * 1000) }, outcome, 1 + id * 8 + number)
    };
    let intervals: Vec<_> = (0..8).map(interval).collect();
    set(u64::from(id), &intervals)
}

#[test]
fn a_sample_leaves_out_no_interval_no_rule_no_class_and_no_entry() {
    let plan = large();
    let limit = 4_000;
    let (trial, tried) = try_all(&plan, limit);
    let Coverage { of, classes, .. } = trial.coverage;
    assert_eq!(of, 40 * (20 + 60 + 1) * 8);
    assert!(classes >= limit as u64 && classes < of / 2, "{}", trial.coverage);

    let rules: BTreeSet<RuleId> = trial.cases.iter().filter_map(|case| case.expected.rule).collect();
    assert_eq!(rules.len(), 64);
    let peers: BTreeSet<Class> = tried.iter().map(|(_, _, peer, _)| *peer).collect();
    assert_eq!(peers.len(), 81);
    let entries: BTreeSet<_> =
        tried.iter().filter(|tried| tried.2.0 >= RANGE.0 - 1).map(|(s, d, p, _)| (s, d, p)).collect();
    assert_eq!(entries.len(), 40 * 60);
    let addresses: BTreeSet<_> =
        trial.cases.iter().flat_map(|case| [case.packet.source, case.packet.destination]).collect();
    assert_eq!(addresses.len(), 81);
    assert_eq!(try_all(&plan, limit).0, trial, "the same sample each time");
}

#[test]
fn what_is_expected_is_what_the_plan_says_of_both_ends() {
    let plan = large();
    let (trial, _) = try_all(&plan, 2_000);
    let mut both = 0;
    for Case { packet, expected, .. } in &trial.cases {
        let ends = [
            (packet.source, Direction::Egress, packet.destination),
            (packet.destination, Direction::Ingress, packet.source),
        ];
        let says: Vec<_> = ends
            .into_iter()
            .filter_map(|(this, direction, other)| {
                let (subject, _) = plan.address(this);
                plan.decide(subject, direction, plan.address(other).1, packet.key)
            })
            .collect();
        both += usize::from(expected.other.is_some());
        let denied = says.iter().find(|decision| !decision.outcome.is_allowed());
        match denied {
            Some(denied) => {
                assert_eq!((expected.reason, expected.rule), (Reason::PolicyDeny, Some(denied.rule)));
            }
            None => assert!(expected.passes() && says.iter().any(|says| Some(says.rule) == expected.rule)),
        }
    }
    assert!(both > 10, "{both} packets between two workloads of the node");
}

fn event(expected: &Expected, kind: EventKind) -> Event {
    let zero = selvedge_abi::Address([0; 16]);
    let [source_identity, destination_identity] = expected.identities.map(|each| each.0);
    Event {
        time: 1,
        generation: 3,
        source: zero,
        destination: zero,
        source_identity,
        destination_identity,
        rule: expected.rule.map_or(0, |rule| rule.0),
        reason: expected.reason as u32,
        kind: kind as u32,
        ifindex: 10,
        length: 54,
        source_port: 0,
        destination_port: 0,
        protocol: 6,
        tcp_flags: 2,
        ether_type: 0x0800,
        reserved: 0,
    }
}

#[test]
fn anything_that_differs_is_a_mismatch_that_names_the_packet_both_verdicts_and_the_rules() {
    let (trial, _) = try_all(&Sample::new().plan, LIMIT);
    let allowed = trial.cases.iter().find(|case| case.expected.rule == Some(RuleId(7))).unwrap();
    let right = event(&allowed.expected, EventKind::New);
    let found = |passed, event| Found { passed, event, counted: Vec::new() };
    assert_eq!(trial.check(allowed, &found(true, Some(right))), Ok(()));
    for wrong in [
        found(false, Some(right)),
        found(true, None),
        found(true, Some(Event { rule: 100, ..right })),
        found(true, Some(Event { reason: Reason::ConnectionsFull as u32, ..right })),
        found(true, Some(Event { kind: EventKind::Logged as u32, ..right })),
        found(true, Some(Event { source_identity: 2, ..right })),
        found(true, Some(Event { destination_identity: 2, ..right })),
    ] {
        assert!(trial.check(allowed, &wrong).is_err(), "{wrong:?}");
    }
    let denied =
        Event { reason: Reason::PolicyDeny as u32, rule: 100, kind: EventKind::Logged as u32, ..right };
    let mismatch = trial.check(allowed, &found(false, Some(denied))).unwrap_err();
    assert_eq!(
        mismatch.to_string(),
        "the tables contradict the plan: 10.1.0.11 -> 10.1.0.12 8080/TCP (received at interface 10) should be policy-allow by \
         p/ingress/00000007 (ID:256 to ID:257), and is policy-deny by p/ingress/00000064, logged (ID:256 to ID:257)"
    );

    let stateless = trial.cases.iter().find(|case| case.expected.reason == Reason::Stateless).unwrap();
    assert!(trial.check(stateless, &found(true, None)).is_err(), "the rule's counter must tell of it");
    let counted = Found { counted: vec![RuleId(101)], ..found(true, None) };
    assert_eq!(trial.check(stateless, &counted), Ok(()));
    assert!(trial.check(stateless, &Found { passed: false, ..counted }).is_err());
}

#[test]
fn what_the_node_sends_is_tried_where_it_leaves() {
    let mut plan = Sample::new().plan;
    let host: std::net::IpAddr = "10.9.9.9".parse().unwrap();
    let machine: std::net::IpAddr = "10.9.9.10".parse().unwrap();
    let batch = Identity(258);
    plan.addresses.edit().push(PlanAddress {
        prefix: host.into(),
        identity: Identity::HOST,
        class: Class(1),
    });
    plan.addresses.edit().push(PlanAddress { prefix: machine.into(), identity: batch, class: batch.into() });
    plan.workloads.push(PlanWorkload {
        name: name("batch"),
        identity: batch,
        port: name("eth0"),
        addresses: [machine].into(),
    });
    let default = plan.rows[0].default;
    plan.rows.edit().extend(Direction::BOTH.map(|direction| PlanRow {
        subject: batch,
        direction,
        default,
        peers: vec![],
    }));
    plan.addresses.edit().sort();
    let (trial, tried) = try_all(&plan, LIMIT);
    let sent = |from| trial.cases.iter().filter(move |case| case.packet.source == from);
    let w1 = IfIndex(11);
    assert!(sent(host).count() > 0 && sent(host).all(|case| (case.hook, case.port) == (Hook::Egress, w1)));
    assert!(sent(host).all(|case| case.packet.destination != machine), "that stays in the node");
    let app = |case: &Case| plan.address(case.packet.destination).0 == APP;
    assert!(sent(machine).any(app) && !sent(machine).all(app));
    for case in sent(machine) {
        assert_eq!((case.hook, case.port), (Hook::Egress, if app(case) { w1 } else { IfIndex(10) }));
        assert_ne!(case.packet.destination, host);
    }
    assert!(
        tried.iter().any(|(subject, direction, ..)| (*subject, *direction) == (batch, Direction::Egress))
    );
}

#[test]
fn a_plan_for_a_node_without_workloads_needs_no_packet() {
    let mut plan = Sample::new().plan;
    (plan.workloads, plan.rows) = (Vec::new(), Runs::default());
    let (trial, _) = try_all(&plan, LIMIT);
    assert_eq!((trial.cases.len(), trial.coverage), (0, Coverage::default()));
}
