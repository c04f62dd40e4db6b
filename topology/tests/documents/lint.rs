//! Warnings against the oracle: a rule that is said never to decide never decides.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use arbtest::arbitrary::{Result, Unstructured};
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::model::{Established, Model, Place};
use selvedge_topology::oracle::{self, FlowVerdict};

use crate::each;

const FABRIC: &str = "
apiVersion: selvedge/v1
kind: Fabric
metadata: {name: f}
spec:
  defaultAction: allow
  nodes: [{name: h1, role: host, ports: [{name: w1, role: workload}]}]
";
const SELECTORS: &[&str] = &[
    "{}",
    "{matchLabels: {role: a}}",
    "{matchLabels: {role: b}}",
    "{matchExpressions: [{key: role, operator: In, values: [a, b]}]}",
    "{matchExpressions: [{key: role, operator: NotIn, values: [a]}]}",
    "{matchExpressions: [{key: role, operator: Exists}]}",
    "{matchExpressions: [{key: role, operator: DoesNotExist}]}",
];
const PEERS: &[&str] = &[
    "{entity: any}",
    "{entity: world}",
    "{cidr: 0.0.0.0/0}",
    "{cidr: 10.0.0.0/8, except: [10.0.0.2/32]}",
    "{cidr: 10.0.0.2/31}",
    "{cidrGroup: some}",
];
const PORTS: &[&str] = &[
    "{protocol: any}",
    "{protocol: TCP, port: any}",
    "{protocol: TCP, port: 80}",
    "{protocol: TCP, port: 80, endPort: 90}",
    "{protocol: TCP, port: http}",
    "{protocol: UDP, port: 53}",
    "{protocol: ICMP, type: any}",
    "{protocol: ICMP, type: 8, code: 0}",
];
const ADDRESSES: &[&str] = &["10.0.0.1", "10.0.0.2", "10.0.0.3", "203.0.113.1"];

fn several(random: &mut Unstructured<'_>, from: &[&str]) -> Result<String> {
    let count = random.int_in_range(1..=2)?;
    let chosen: Vec<&str> = (0..count).map(|_| random.choose(from).copied()).collect::<Result<_>>()?;
    Ok(chosen.join(", "))
}

fn peers(random: &mut Unstructured<'_>) -> Result<String> {
    if random.arbitrary()? {
        return several(random, PEERS);
    }
    Ok(format!("{{selector: {}}}", random.choose(SELECTORS)?))
}

fn documents(random: &mut Unstructured<'_>) -> Result<String> {
    let mut text = FABRIC.to_owned();
    for (number, labels) in ["{role: a}", "{role: b}", "{}"].into_iter().enumerate() {
        let number = number + 1;
        let _ = write!(
            text,
            "---\napiVersion: selvedge/v1\nkind: Workload\nmetadata: {{name: w{number}}}\nspec: {{labels: {labels}, \
             addresses: [10.0.0.{number}], attachment: {{node: h1, port: w1}}, \
             services: [{{name: http, protocol: TCP, port: 8{number}}}]}}\n"
        );
    }
    text.push_str("---\napiVersion: selvedge/v1\nkind: CidrGroup\nmetadata: {name: some}\nspec: {cidrs: [10.0.0.0/30]}\n");
    for policy in 0..random.int_in_range(2..=4)? {
        let tier = random.choose(&["platform", "application"])?;
        let selector = random.choose(SELECTORS)?;
        let (direction, ends) = random.choose(&[("ingress", "from"), ("egress", "to")])?;
        let _ = write!(
            text,
            "---\napiVersion: selvedge/v1\nkind: SegmentationPolicy\nmetadata: {{name: p{policy}}}\n\
             spec:\n  tier: {tier}\n  selector: {selector}\n"
        );
        text.push_str(random.choose(&["", "  established: cut\n", "  established: drain\n"])?);
        let _ = writeln!(text, "  {direction}:");
        for _ in 0..random.int_in_range(1..=3)? {
            let action = random.choose(&["allow", "deny", "pass"])?;
            let (peers, ports) = (peers(random)?, several(random, PORTS)?);
            let _ = writeln!(text, "    - {{action: {action}, {ends}: [{peers}], ports: [{ports}]}}");
        }
    }
    Ok(text)
}

/// What the oracle says of every connection that rules could tell apart.
fn verdicts(model: &Model) -> Vec<FlowVerdict> {
    let addresses: Vec<IpAddr> = ADDRESSES.iter().map(|address| address.parse().unwrap()).collect();
    let tcp = [80, 81, 82, 83, 90, 91].map(|port| L4Key::new(Protocol::TCP, port));
    let udp = [53, 54].map(|port| L4Key::new(Protocol::UDP, port));
    let icmp =
        [L4Key::icmp(Protocol::ICMP, 8, 0), L4Key::icmp(Protocol::ICMP, 3, 1), L4Key::new(Protocol(47), 0)];
    let keys: Vec<L4Key> = tcp.into_iter().chain(udp).chain(icmp).collect();
    let mut verdicts = Vec::new();
    for source in &addresses {
        for destination in addresses.iter().filter(|destination| *destination != source) {
            for key in &keys {
                verdicts.push(oracle::flow(model, *source, *destination, *key));
            }
        }
    }
    verdicts
}

/// The rules that decide some connection.
fn deciding(model: &Model) -> BTreeSet<Place> {
    let judgements = verdicts(model).into_iter().flat_map(|verdict| [verdict.egress, verdict.ingress]);
    judgements.flatten().filter_map(|judgement| judgement.place).collect()
}

#[test]
fn a_rule_that_is_said_to_be_shadowed_never_decides() {
    let (claims, rules) = (Cell::new(0), Cell::new(0));
    each(300, 256..=2048, |random| {
        let text = documents(random)?;
        let loaded = load(&[SourceFile { name: "all.yaml".to_owned(), text: text.clone() }]);
        let Some(model) = loaded.model else { panic!("{text}\n{:#?}", loaded.diagnostics) };
        let deciding = deciding(&model);
        for finding in loaded.diagnostics.iter().filter(|finding| finding.code == "shadowed") {
            assert!(!deciding.contains(&finding.place), "{finding}\n{text}");
            claims.set(claims.get() + 1);
        }
        rules.set(rules.get() + deciding.len());
        Ok(())
    });
    assert!(claims.get() >= 50, "only {} rules were said to be shadowed", claims.get());
    assert!(rules.get() >= 200, "only {} rules decided", rules.get());
}

#[test]
fn what_is_said_to_have_no_effect_may_be_anything() {
    let (claims, effects) = (Cell::new(0), Cell::new(0));
    each(300, 256..=2048, |random| {
        let text = documents(random)?;
        let loaded = load(&[SourceFile { name: "all.yaml".to_owned(), text: text.clone() }]);
        let Some(model) = loaded.model else { panic!("{text}\n{:#?}", loaded.diagnostics) };
        let useless = loaded.diagnostics.iter().filter(|finding| finding.code == "no-effect");
        let useless: Vec<&Place> = useless.map(|finding| &finding.place).collect();
        for (name, policy) in &model.policies {
            let Some(place) = &policy.established_place else { continue };
            let mut other = model.clone();
            let changed = other.policies.get_mut(name).unwrap();
            changed.established = match policy.established {
                Established::Cut => Established::Drain,
                Established::Drain => Established::Cut,
            };
            let same = verdicts(&other) == verdicts(&model);
            if useless.contains(&place) {
                assert!(same, "`established` of {name} says something\n{text}");
                claims.set(claims.get() + 1);
            }
            effects.set(effects.get() + u32::from(!same));
        }
        Ok(())
    });
    assert!(claims.get() >= 50, "only {} settings were said to have no effect", claims.get());
    assert!(effects.get() >= 50, "only {} settings had an effect", effects.get());
}
