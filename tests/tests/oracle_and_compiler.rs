//! Compiled plans answer as the oracle does: for random fabrics, for every workload, direction, peer and every
//! layer-4 key at which any answer can change.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use selvedge_tests::cases::each;
use selvedge_tests::random::{addresses, model};
use selvedge_topology::compile::compile;
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::model::{Attachment, Direction, Model};
use selvedge_topology::names::NodeName;
use selvedge_topology::oracle::{Party, judge};
use selvedge_topology::plan::{Outcome, Plan, PlanIndex};

/// Keys at and around every place where an interval of `plans` begins, and one key of each kind besides.
fn keys(plans: &BTreeMap<NodeName, Plan>) -> BTreeSet<L4Key> {
    let firsts =
        plans.values().flat_map(|plan| &plan.sets).flat_map(|set| &set.intervals).map(|i| i.first.number());
    let around = firsts.flat_map(|first| [first.saturating_sub(1), first, first + 1]);
    let mut keys: BTreeSet<L4Key> = around.filter_map(L4Key::from_number).collect();
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol(47)] {
        keys.extend([80, 8080, 33333].map(|port| L4Key::new(protocol, port)));
    }
    for protocol in [Protocol::ICMP, Protocol::ICMPV6] {
        keys.extend([(3, 4), (8, 0), (128, 0), (1, 0)].map(|(kind, code)| L4Key::icmp(protocol, kind, code)));
    }
    keys.insert(L4Key::LAST);
    keys
}

fn plans(model: &Model) -> BTreeMap<NodeName, Plan> {
    let mut identities = IdentityTable::default();
    identities.allocate(model).unwrap();
    compile(model, &identities).unwrap()
}

#[test]
fn compiled_plans_answer_as_the_oracle_does() {
    #[derive(Default)]
    struct Seen {
        cases: Cell<u64>,
        denied: Cell<u64>,
        draining: Cell<u64>,
        draining_by_default: Cell<u64>,
        allowed: Cell<u64>,
        stateless: Cell<u64>,
        by_default: Cell<u64>,
        refined: Cell<u64>,
    }
    let seen = Seen::default();
    let count = |cell: &Cell<u64>| cell.set(cell.get() + 1);
    each(300, |u| {
        let (text, model) = model(u)?;
        let plans = plans(&model);
        let keys = keys(&plans);
        for workload in model.workloads.values() {
            let Attachment::Managed(endpoint) = &workload.attachment else { continue };
            let plan = &plans[&endpoint.node];
            let index = PlanIndex::new(plan);
            let subject = plan.workloads.iter().find(|local| local.name == workload.name).unwrap().identity;
            for address in addresses(&model) {
                let peer = Party::seen_from(&model, &endpoint.node, address);
                let (identity, class) = plan.address(address);
                assert_eq!(index.address(address), (identity, class), "{text}\n{address}");
                for direction in Direction::BOTH {
                    for key in &keys {
                        let says = judge(&model, workload, direction, &peer, *key);
                        let does = plan.decide(subject, direction, class, *key).unwrap();
                        assert_eq!(index.decide(subject, direction, class, *key), Some(does), "{text}");
                        let agree =
                            (does.outcome, does.rule, does.logged) == (says.outcome, says.rule, says.logged);
                        assert!(
                            agree,
                            "{text}\n{} {direction} {address} {key}: {says:?} {does:?}",
                            workload.name
                        );
                        count(&seen.cases);
                        count(match says.outcome {
                            Outcome::Denied => &seen.denied,
                            Outcome::DeniedDraining => &seen.draining,
                            Outcome::Allowed => &seen.allowed,
                            Outcome::AllowedStateless => &seen.stateless,
                        });
                        if says.place.is_none() {
                            count(&seen.by_default);
                            if says.outcome == Outcome::DeniedDraining {
                                count(&seen.draining_by_default);
                            }
                        }
                        if class.0 != identity.0 {
                            count(&seen.refined);
                        }
                    }
                }
            }
        }
        Ok(())
    });
    for (what, cell, floor) in [
        ("cases", &seen.cases, 100_000),
        ("denied", &seen.denied, 20_000),
        ("denied, draining", &seen.draining, 5_000),
        ("denied by a default, draining", &seen.draining_by_default, 2_000),
        ("allowed", &seen.allowed, 20_000),
        ("stateless", &seen.stateless, 500),
        ("decided by a default", &seen.by_default, 20_000),
        ("of a refined class", &seen.refined, 10_000),
    ] {
        println!("{what}: {}", cell.get());
        assert!(cell.get() >= floor, "only {} {what}, at least {floor} are wanted", cell.get());
    }
}

/// The same documents, written in another order: documents, rules, peers and labels.
fn shuffled(text: &str) -> String {
    let mut documents: Vec<String> =
        text.split("---\n").filter(|part| !part.is_empty()).map(reversed_rules).collect();
    documents.reverse();
    documents.iter().map(|document| format!("---\n{document}")).collect()
}

/// A document with each list of rules (three lines and more a rule, by their indent) the other way round.
fn reversed_rules(document: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut rules: Vec<Vec<String>> = Vec::new();
    for line in document.lines() {
        if line.starts_with("    - action") {
            rules.push(vec![line.to_owned()]);
        } else if line.starts_with("      ") && !rules.is_empty() {
            rules.last_mut().unwrap().push(line.to_owned());
        } else {
            out.extend(rules.drain(..).rev().flatten());
            out.push(line.to_owned());
        }
    }
    out.extend(rules.drain(..).rev().flatten());
    out.join("\n") + "\n"
}

#[test]
fn order_of_documents_and_rules_does_not_matter_and_compiling_twice_is_the_same() {
    let compared = Cell::new(0);
    each(400, |u| {
        let (text, first) = model(u)?;
        let other = shuffled(&text);
        let file =
            selvedge_topology::documents::SourceFile { name: "other.yaml".into(), text: other.clone() };
        let second = selvedge_topology::documents::load(&[file]).model.unwrap_or_else(|| panic!("{other}"));
        let a = plans(&first);
        assert_eq!(a, plans(&first), "compiling twice");
        assert_eq!(a, plans(&second), "{text}\n{other}");
        if text != other && first.policies.len() > 1 {
            compared.set(compared.get() + 1);
        }
        Ok(())
    });
    assert!(compared.get() >= 50, "only {} reordered fabrics were compared", compared.get());
}

#[test]
fn an_unrelated_edit_renumbers_nothing() {
    let compared = Cell::new(0);
    each(200, |u| {
        let (text, before) = model(u)?;
        let mut identities = IdentityTable::default();
        identities.allocate(&before).unwrap();
        let edit = "---\napiVersion: selvedge/v1\nkind: Workload\nmetadata: {name: aaa}\nspec:\n  labels: {a: a}\n  \
                    addresses: [10.77.0.1]\n  unmanaged: true\n";
        let file = selvedge_topology::documents::SourceFile {
            name: "more.yaml".into(),
            text: format!("{edit}{text}"),
        };
        let after = selvedge_topology::documents::load(&[file]).model.unwrap();
        let held: Vec<_> = identities.iter().map(|(number, key)| (number, key.clone())).collect();
        identities.allocate(&after).unwrap();
        for (number, key) in &held {
            assert_eq!(identities.key(*number), Some(key));
        }
        let rules = |model: &Model| -> Vec<_> {
            let rules = model
                .policies
                .values()
                .flat_map(|policy| policy.ingress.iter().chain(&policy.egress).flatten());
            rules.map(|rule| rule.id).collect()
        };
        assert_eq!(rules(&before), rules(&after));
        compared.set(compared.get() + held.len());
        Ok(())
    });
    assert!(compared.get() >= 100, "only {} numbers were compared", compared.get());
}
