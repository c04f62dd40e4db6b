//! What `diff` says that a change means is what the oracle says of both models: for random changes of random fabrics, between all
//! addresses, for every layer-4 key at which anything can differ; and nothing is said of packets that there can't be.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use arbitrary::{Result, Unstructured};
use selvedge_tests::cases::each;
use selvedge_tests::random::{addresses, documents};
use selvedge_topology::compile::compile;
use selvedge_topology::diff::{Change, Difference, Kind, Verdict, difference, nodes};
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::model::{Established, Model};
use selvedge_topology::oracle::{FlowOutcome, FlowVerdict, Judgement, flow};
use selvedge_topology::plan::{Decision, Outcome, Table};

fn read(text: &str) -> Option<Model> {
    load(&[SourceFile { name: "random.yaml".into(), text: text.to_owned() }]).model
}

/// `text` with some of its documents taken out, and some of `other` taken in.
fn edited(u: &mut Unstructured<'_>, text: &str, other: &str) -> Result<String> {
    let split = |text: &str| -> BTreeMap<String, String> {
        let documents = text.split("---\n").filter(|document| !document.is_empty());
        let key = |document: &str| document.lines().skip(1).take(2).collect::<Vec<_>>().join(" ");
        documents.map(|document| (key(document), document.to_owned())).collect()
    };
    let (mut documents, others) = (split(text), split(other));
    let keys: Vec<String> = documents.keys().chain(others.keys()).cloned().collect();
    for _ in 0..u.int_in_range(0..=4)? {
        let key = u.choose(&keys)?;
        match others.get(key) {
            Some(text) => drop(documents.insert(key.clone(), text.clone())),
            None => drop(documents.remove(key)),
        }
    }
    Ok(documents.values().map(|document| format!("---\n{document}")).collect())
}

/// Keys at and around every place where a range of `changes` begins or ends, and some others.
fn keys(changes: &[Change]) -> Vec<L4Key> {
    let ranges = changes.iter().flat_map(|change| &change.ranges);
    let ends = ranges.flat_map(|range| [range.first.number(), range.last.number()]);
    let around = ends.flat_map(|end| [end.saturating_sub(1), end, end + 1]);
    let mut keys: BTreeSet<L4Key> = around.filter_map(L4Key::from_number).collect();
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol(47)] {
        keys.extend([1, 53, 80, 443, 8080, 33333, 65535].map(|port| L4Key::new(protocol, port)));
    }
    keys.extend([
        L4Key::FIRST,
        L4Key::icmp(Protocol::ICMP, 8, 0),
        L4Key::icmp(Protocol::ICMPV6, 128, 0),
        L4Key::LAST,
    ]);
    keys.into_iter().collect()
}

fn decision(judgement: &Judgement) -> Decision {
    Decision { outcome: judgement.outcome, rule: judgement.rule, logged: judgement.logged }
}

/// A verdict of the oracle: what a connection's first packet meets.
fn met(verdict: &FlowVerdict) -> Verdict {
    let egress = verdict.egress.as_ref().map(decision);
    let passes = egress.is_none_or(|decision| decision.outcome.is_allowed());
    Verdict { egress, ingress: verdict.ingress.as_ref().filter(|_| passes).map(decision) }
}

/// What the change is for one packet, by the oracle alone.
fn expected(before: &FlowVerdict, after: &FlowVerdict) -> Option<(Kind, [Verdict; 2], Option<Established>)> {
    let verdicts = [met(before), met(after)];
    let kind = match (before.outcome == FlowOutcome::Denied, after.outcome == FlowOutcome::Denied) {
        (true, false) => Kind::Opens,
        (false, true) => Kind::Closes,
        _ if verdicts[0] != verdicts[1] => Kind::Reattributes,
        _ => return None,
    };
    let cuts =
        [&after.egress, &after.ingress].into_iter().flatten().any(|end| end.outcome == Outcome::Denied);
    let established = if cuts { Established::Cut } else { Established::Drain };
    Some((kind, verdicts, (kind == Kind::Closes).then_some(established)))
}

#[derive(Debug, Default)]
struct Seen {
    packets: u64,
    opens: u64,
    closes: u64,
    drains: u64,
    reattributes: u64,
    nothing: u64,
    world: u64,
    examples: u64,
    equal_models: u64,
}

struct Case<'m> {
    text: String,
    models: [&'m Model; 2],
    difference: &'m Difference<'m>,
}

impl Case<'_> {
    fn check(&self, source: IpAddr, destination: IpAddr, key: L4Key, seen: &mut Seen) {
        let [before, after] = self.models.map(|model| flow(model, source, destination, key));
        let said = self.difference.between(source, destination, key);
        let said = said.map(|change| (change.kind, change.verdicts, change.established));
        let wanted = expected(&before, &after);
        assert_eq!(said, wanted, "{}\n{source} {destination} {key}", self.text);
        seen.packets += 1;
        *(match wanted {
            Some((Kind::Opens, ..)) => &mut seen.opens,
            Some((Kind::Closes, ..)) => &mut seen.closes,
            Some((Kind::Reattributes, ..)) => &mut seen.reattributes,
            None => &mut seen.nothing,
        }) += 1;
        seen.drains += u64::from(matches!(wanted, Some((.., Some(Established::Drain)))));
    }

    /// Every rectangle, at two of its pairs, has a packet of which what is said is true.
    fn check_examples(&self, u: &mut Unstructured<'_>, seen: &mut Seen) -> Result<()> {
        for change in &self.difference.changes {
            for pairs in &change.pairs {
                let mut one = pairs.clone();
                one.from = vec![*u.choose(&pairs.from)?];
                one.to = vec![*u.choose(&pairs.to)?];
                for pairs in [pairs, &one] {
                    let (source, destination) = self.difference.example(pairs).unwrap();
                    assert_ne!(source.address, destination.address);
                    assert_eq!(source.address.is_ipv4(), destination.address.is_ipv4());
                    let key = change.ranges[0].first;
                    self.check(source.address, destination.address, key, seen);
                    let said = self.difference.between(source.address, destination.address, key).unwrap();
                    assert_eq!(said.verdicts, change.verdicts, "{}", self.text);
                    seen.examples += 1;
                }
            }
        }
        Ok(())
    }
}

#[test]
fn a_difference_is_what_the_oracle_says_of_both_models() {
    let mut seen = Seen::default();
    each(400, |u| {
        let (before, other) = (documents(u)?, documents(u)?);
        let after = if u.ratio(1, 5)? { other } else { edited(u, &before, &other)? };
        let (Some(old), Some(new)) = (read(&before), read(&after)) else { return Ok(()) };
        let mut identities = IdentityTable::default();
        identities.allocate(&old).unwrap();
        identities.allocate(&new).unwrap();
        let difference = difference(&old, &new, &identities).unwrap();
        seen.equal_models += u64::from(difference.is_empty());
        let case = Case {
            text: format!("{before}\n=========== after:\n{after}"),
            models: [&old, &new],
            difference: &difference,
        };
        let all: BTreeSet<IpAddr> = addresses(&old).into_iter().chain(addresses(&new)).collect();
        let all: Vec<IpAddr> = all.into_iter().collect();
        let keys = keys(&difference.changes);
        for _ in 0..60 {
            let (source, destination) = (*u.choose(&all)?, *u.choose(&all)?);
            if source == destination || source.is_ipv4() != destination.is_ipv4() {
                continue;
            }
            let names =
                |address| old.workloads.values().all(|workload| !workload.addresses.contains(address));
            seen.world += u64::from(names(&source) || names(&destination));
            for key in &keys {
                case.check(source, destination, *key, &mut seen);
            }
        }
        case.check_examples(u, &mut seen)
    });
    println!("{seen:?}");
    for (what, count, floor) in [
        ("packets", seen.packets, 300_000),
        ("that it opens", seen.opens, 25_000),
        ("that it closes", seen.closes, 25_000),
        ("whose connections drain", seen.drains, 5_000),
        ("that others decide", seen.reattributes, 30_000),
        ("for which nothing changes", seen.nothing, 150_000),
        ("pairs with an end that no workload was", seen.world, 5_000),
        ("examples", seen.examples, 9_000),
        ("changes that mean nothing", seen.equal_models, 40),
    ] {
        assert!(count >= floor, "only {count} {what}, at least {floor} are wanted");
    }
}

#[test]
fn what_nodes_come_to_need_is_what_their_plans_need() {
    let (mut compared, mut untouched) = (0, 0);
    each(100, |u| {
        let (before, other) = (documents(u)?, documents(u)?);
        let (Some(old), Some(new)) = (read(&before), read(&edited(u, &before, &other)?)) else {
            return Ok(());
        };
        let mut identities = IdentityTable::default();
        identities.allocate(&old).unwrap();
        identities.allocate(&new).unwrap();
        let found = nodes(&old, &new, &identities, &BTreeMap::new()).unwrap();
        let plans = [&old, &new].map(|model| compile(model, &identities).unwrap());
        let names: BTreeSet<_> = plans.iter().flat_map(BTreeMap::keys).collect();
        for node in names {
            for table in Table::ALL {
                let needed =
                    plans.each_ref().map(|plans| plans.get(node).map_or(0, |plan| table.needed(plan)));
                let said = found.rooms.iter().find(|room| room.node == *node && room.table == table);
                assert_eq!(
                    said.map(|room| room.needed),
                    (needed[0] != needed[1]).then_some(needed),
                    "{before}"
                );
                compared += 1;
                untouched += usize::from(!found.touched.contains(node));
            }
        }
        Ok(())
    });
    println!("{compared} tables compared, {untouched} of nodes that are not touched");
    assert!(compared >= 1_000 && untouched >= 200, "{compared}, {untouched}");
}

#[test]
fn no_change_means_nothing() {
    let mut ends = 0;
    each(50, |u| {
        let text = documents(u)?;
        let model = read(&text).unwrap();
        let mut identities = IdentityTable::default();
        identities.allocate(&model).unwrap();
        let difference = difference(&model, &model, &identities).unwrap();
        assert!(difference.is_empty(), "{text}");
        ends += difference.ends().len();
        Ok(())
    });
    assert!(ends >= 300, "only {ends} ends");
}
