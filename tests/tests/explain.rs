//! What is explained is what the oracle says, for every key once; and what would be next is what it says without the rule.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::cell::Cell;
use std::collections::BTreeMap;

use selvedge_tests::cases::each;
use selvedge_tests::random::{addresses, model};
use selvedge_topology::explain::{Answer, CameTo, Decision, Interval, Pair, Trace, end, explain};
use selvedge_topology::l4::{L4Key, L4Range};
use selvedge_topology::model::{Model, RuleId};
use selvedge_topology::oracle::{FlowOutcome, FlowVerdict, flow};

#[derive(Default)]
struct Seen {
    intervals: Cell<u64>,
    allowed: Cell<u64>,
    denied: Cell<u64>,
    unenforced: Cell<u64>,
    next: Cell<u64>,
    other_next: Cell<u64>,
    passed: Cell<u64>,
    by_default: Cell<u64>,
    merged: Cell<u64>,
    apart: Cell<u64>,
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

/// The model without one rule; its policy stays.
fn without(model: &Model, id: RuleId) -> Model {
    let mut model = model.clone();
    for policy in model.policies.values_mut() {
        for rules in [&mut policy.ingress, &mut policy.egress].into_iter().flatten() {
            rules.retain(|rule| rule.id != id);
        }
    }
    model
}

/// Every key is in one interval, in order, and neighbours differ.
fn covers_every_key_once(intervals: &[Interval]) {
    assert_eq!(intervals.first().unwrap().range.first, L4Key::FIRST);
    assert_eq!(intervals.last().unwrap().range.last, L4Key::LAST);
    for pair in intervals.windows(2) {
        assert_eq!(pair[0].range.last.number() + 1, pair[1].range.first.number());
        assert_ne!(
            (&pair[0].verdict, &pair[0].egress, &pair[0].ingress),
            (&pair[1].verdict, &pair[1].egress, &pair[1].ingress)
        );
    }
    assert!(intervals.iter().all(|interval| interval.range.first <= interval.range.last));
}

/// A key of each end of the range and one between.
fn keys(L4Range { first, last }: L4Range) -> [L4Key; 3] {
    [first, L4Key::from_number(u32::midpoint(first.number(), last.number())).unwrap(), last]
}

fn decisions(verdict: FlowVerdict) -> [Option<Decision>; 2] {
    [verdict.egress, verdict.ingress].map(|judgement| judgement.map(Decision::from))
}

fn says_what_the_oracle_says(model: &Model, pair: Pair, interval: &Interval, seen: &Seen) {
    for key in keys(interval.range) {
        let verdict = flow(model, pair.source, pair.destination, key);
        assert_eq!(interval.verdict, verdict.outcome, "{pair:?} {key}");
        let explained = [&interval.egress, &interval.ingress].map(|trace| trace.as_ref());
        assert_eq!(explained.map(|trace| trace.map(|trace| trace.decision.clone())), decisions(verdict));
    }
    count(&seen.intervals);
    count(match interval.verdict {
        FlowOutcome::Allowed => &seen.allowed,
        FlowOutcome::Denied => &seen.denied,
        FlowOutcome::Unenforced => &seen.unenforced,
    });
}

/// What is told of the tiers leads to the decision.
fn tiers_lead_to_the_decision(Trace { decision, tiers, .. }: &Trace, seen: &Seen) {
    for (index, step) in tiers.iter().enumerate() {
        let is_last = index + 1 == tiers.len();
        match step.came_to {
            CameTo::Rule => assert!(is_last && step.rules[0].rule == decision.rule, "{step:?} {decision:?}"),
            CameTo::Default => {
                assert!(is_last && step.rules.is_empty() && decision.place.is_none());
                count(&seen.by_default);
            }
            CameTo::Pass => count(&seen.passed),
            CameTo::Nothing => assert!(step.rules.is_empty()),
        }
    }
}

#[test]
fn explaining_is_what_the_oracle_says_and_next_what_it_says_without_the_rule() {
    let seen = Seen::default();
    each(150, |u| {
        let (text, model) = model(u)?;
        let mut reduced: BTreeMap<RuleId, Model> = BTreeMap::new();
        for source in addresses(&model) {
            for destination in addresses(&model) {
                let ends = [source, destination].map(|address| end(&model, &address.to_string()).unwrap());
                let answers = explain(&model, &ends[0], &ends[1], &[L4Range::ALL]);
                let is_pair = source != destination && source.is_ipv4() == destination.is_ipv4();
                assert_eq!(answers.len(), usize::from(is_pair), "{text}");
                for Answer { pairs, intervals } in answers {
                    covers_every_key_once(&intervals);
                    for interval in &intervals {
                        says_what_the_oracle_says(&model, pairs[0], interval, &seen);
                        let traces = [interval.egress.as_ref(), interval.ingress.as_ref()];
                        for (index, trace) in traces.into_iter().enumerate() {
                            let Some(trace) = trace else { continue };
                            tiers_lead_to_the_decision(trace, &seen);
                            assert_eq!(trace.next.is_none(), trace.decision.place.is_none());
                            let Some(next) = &trace.next else { continue };
                            let id = trace.decision.id;
                            let model = reduced.entry(id).or_insert_with(|| without(&model, id));
                            let says = decisions(flow(model, source, destination, interval.range.first))
                                [index]
                                .clone();
                            assert_eq!(Some(next), says.as_ref(), "{text}\n{trace:?}");
                            count(&seen.next);
                            if next.outcome != trace.decision.outcome {
                                count(&seen.other_next);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    });
    check(&[
        ("intervals", &seen.intervals, 40_000),
        ("allowed", &seen.allowed, 10_000),
        ("denied", &seen.denied, 10_000),
        ("enforced by nobody", &seen.unenforced, 2_000),
        ("with a next", &seen.next, 10_000),
        ("whose next is another", &seen.other_next, 5_000),
        ("tiers passed", &seen.passed, 1_000),
        ("tiers that deny by default", &seen.by_default, 5_000),
    ]);
}

#[test]
fn ends_of_several_addresses_are_explained_together_where_they_are_alike() {
    let seen = Seen::default();
    each(150, |u| {
        let (_, model) = model(u)?;
        for source in model.workloads.keys() {
            for destination in model.workloads.keys().filter(|name| *name != source) {
                let ends = [source, destination].map(|name| end(&model, name.as_str()).unwrap());
                let answers = explain(&model, &ends[0], &ends[1], &[L4Range::ALL]);
                let pairs: usize = answers.iter().map(|answer| answer.pairs.len()).sum();
                assert_eq!(pairs, 2, "one of IPv4, one of IPv6");
                count(if answers.len() == 1 { &seen.merged } else { &seen.apart });
                for Answer { pairs, intervals } in &answers {
                    covers_every_key_once(intervals);
                    for (pair, interval) in
                        pairs.iter().flat_map(|pair| intervals.iter().map(move |i| (pair, i)))
                    {
                        says_what_the_oracle_says(&model, *pair, interval, &seen);
                    }
                }
            }
        }
        Ok(())
    });
    check(&[("told together", &seen.merged, 800), ("told apart", &seen.apart, 300)]);
}

fn check(floors: &[(&str, &Cell<u64>, u64)]) {
    for (what, cell, floor) in floors {
        println!("{what}: {}", cell.get());
        assert!(cell.get() >= *floor, "only {} {what}, at least {floor} are wanted", cell.get());
    }
}
