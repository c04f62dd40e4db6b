//! Assertions hold where the oracle says so of every connection that they are about: random assertions about random fabrics, in the words
//! a user would write, between all addresses. A counterexample is one for the oracle, too.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use arbitrary::{Result, Unstructured};
use selvedge_tests::cases::each;
use selvedge_tests::random::{addresses, model};
use selvedge_topology::assertions::{Assertion, Checked, Expect, Ground, Whom, check};
use selvedge_topology::documents::{SourceFile, load_tests};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::l4::{L4Key, L4Match, Protocol};
use selvedge_topology::model::{Attachment, Entity, Model, Peer, Workload};
use selvedge_topology::names::NodeName;
use selvedge_topology::oracle::{FlowOutcome, flow};

const WHOM: [&str; 14] = [
    "entity: any",
    "entity: world",
    "entity: host",
    "entity: remote-node",
    "entity: unmanaged",
    "selector: {}",
    "selector: {matchLabels: {role: web}}",
    "selector: {matchLabels: {role: db}}",
    "selector: {matchExpressions: [{key: env, operator: NotIn, values: [prod]}]}",
    "cidr: 10.1.0.0/16, except: [10.1.0.0/30]",
    "cidr: 198.51.100.0/25",
    "cidr: \"fd00:1::/48\"",
    "workload: w0",
    "workload: w1",
];
const PORTS: [&str; 6] = [
    "protocol: any",
    "protocol: TCP, port: 80, endPort: 443",
    "protocol: UDP, port: 53",
    "protocol: TCP, port: http",
    "protocol: SCTP, port: metrics",
    "protocol: ICMP, type: 8, code: 0",
];

fn list(u: &mut Unstructured<'_>, of: &[&str]) -> Result<String> {
    let mut out = Vec::new();
    for _ in 0..u.int_in_range(1..=2)? {
        out.push(format!("{{{}}}", u.choose(of)?));
    }
    Ok(format!("[{}]", out.join(", ")))
}

fn assertions(u: &mut Unstructured<'_>, model: &Model) -> Result<String> {
    let exists = |whom: &&str| {
        whom.strip_prefix("workload: ")
            .is_none_or(|name| model.workloads.keys().any(|it| it.as_str() == name))
    };
    let whom: Vec<&str> = WHOM.iter().copied().filter(exists).collect();
    let mut out =
        "apiVersion: selvedge/v1\nkind: PolicyTest\nmetadata: {name: random}\nspec:\n  assertions:\n"
            .to_owned();
    for number in 0..8 {
        let (from, to, ports) = (list(u, &whom)?, list(u, &whom)?, list(u, &PORTS)?);
        let expect = u.choose(&["allowed", "denied"])?;
        let _ = writeln!(out, "    - name: number {number}\n      from: {from}\n      to: {to}");
        if u.ratio(1, 3)? {
            let _ = writeln!(out, "      exceptFrom: {}", list(u, &whom)?);
        }
        if u.ratio(1, 4)? {
            let _ = writeln!(out, "      exceptTo: {}", list(u, &whom)?);
        }
        let _ = writeln!(out, "      ports: {ports}\n      expect: {expect}");
    }
    Ok(out)
}

fn workload_at(model: &Model, address: IpAddr) -> Option<&Workload> {
    model.workloads.values().find(|workload| workload.addresses.contains(&address))
}

fn enforced_at(model: &Model, address: IpAddr) -> Option<&NodeName> {
    match &workload_at(model, address)?.attachment {
        Attachment::Managed(at) => Some(&at.node),
        Attachment::Unmanaged(_) => None,
    }
}

/// Whether `address` is meant, to an end for which `node` enforces.
fn is(model: &Model, address: IpAddr, node: Option<&NodeName>, whom: &Whom) -> bool {
    let workload = workload_at(model, address);
    let owner =
        model.fabric.nodes.values().find(|node| node.addresses.contains(&address)).map(|node| &node.name);
    let of_node =
        |own: bool| workload.is_none() && owner.is_some() && (node.is_some() && owner == node) == own;
    match whom {
        Whom::Workload(name) => workload.is_some_and(|workload| workload.name == *name),
        Whom::Peer(Peer::Selector(selector)) => workload.is_some_and(|it| selector.matches(&it.labels)),
        Whom::Peer(Peer::Entity(Entity::Any)) => true,
        Whom::Peer(Peer::Entity(Entity::World)) => workload.is_none() && owner.is_none(),
        Whom::Peer(Peer::Entity(Entity::Host)) => of_node(true),
        Whom::Peer(Peer::Entity(Entity::RemoteNode)) => of_node(false),
        Whom::Peer(Peer::Entity(Entity::Unmanaged)) => {
            workload.is_some_and(|it| matches!(it.attachment, Attachment::Unmanaged(_)))
        }
        Whom::Peer(Peer::Cidr(block)) => block.contains(address),
        Whom::Peer(Peer::Group(_)) => unreachable!("none is written"),
    }
}

fn within(model: &Model, address: IpAddr, node: Option<&NodeName>, ground: &Ground) -> bool {
    ground.any.iter().any(|whom| is(model, address, node, whom))
        && !ground.except.iter().any(|whom| is(model, address, node, whom))
}

fn about(model: &Model, port: &L4Match, destination: IpAddr, key: L4Key) -> bool {
    match port {
        L4Match::Any => true,
        L4Match::Ports { protocol, first, last } => {
            key.protocol() == Protocol::from(*protocol) && (*first..=*last).contains(&key.low())
        }
        L4Match::Icmp { protocol, messages } => {
            let (first, last) = messages.range();
            key.protocol() == Protocol::from(*protocol) && (first..=last).contains(&key.low())
        }
        L4Match::Service { protocol, name } => {
            let service = workload_at(model, destination).and_then(|workload| workload.services.get(name));
            service
                .is_some_and(|it| it.protocol == *protocol && key == L4Key::new(it.protocol.into(), it.port))
        }
    }
}

fn keys() -> Vec<L4Key> {
    let ports = [0, 1, 2, 52, 53, 54, 79, 80, 81, 442, 443, 444, 8080, 33333, 65534, 65535];
    let protocols = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
    let mut keys: Vec<L4Key> =
        protocols.iter().flat_map(|protocol| ports.map(|port| L4Key::new(*protocol, port))).collect();
    keys.extend([
        L4Key::icmp(Protocol::ICMP, 8, 0),
        L4Key::icmp(Protocol::ICMP, 3, 4),
        L4Key::new(Protocol(47), 0),
    ]);
    keys
}

#[derive(Debug, Default)]
struct Seen {
    connections: u64,
    hold: u64,
    broken: u64,
    about_nobody: u64,
    counterexamples: u64,
}

fn judge(model: &Model, text: &str, assertion: &Assertion, checked: &Checked, seen: &mut Seen) {
    let Assertion { from, to, ports, expect, .. } = assertion;
    let all: BTreeSet<IpAddr> = addresses(model).into_iter().collect();
    let (mut meant, mut breaking) = (0, None);
    for source in &all {
        for destination in &all {
            if source == destination || source.is_ipv4() != destination.is_ipv4() {
                continue;
            }
            let nodes = [*source, *destination].map(|address| enforced_at(model, address));
            if !within(model, *source, nodes[1], from) || !within(model, *destination, nodes[0], to) {
                continue;
            }
            for key in keys() {
                if !ports.iter().any(|port| about(model, port, *destination, key)) {
                    continue;
                }
                meant += 1;
                let denied = flow(model, *source, *destination, key).outcome == FlowOutcome::Denied;
                if denied != (*expect == Expect::Denied) {
                    breaking = Some((*source, *destination, key));
                }
            }
        }
    }
    seen.connections += meant;
    assert!(meant == 0 || checked.pairs > 0, "{text}{}", assertion.name);
    assert!(breaking.is_none() || checked.broken > 0, "{text}{}: {breaking:?}", assertion.name);
    assert_eq!(checked.broken > 0, !checked.counterexamples.is_empty(), "{text}");
    for example in &checked.counterexamples {
        let (source, destination) = (example.from.0, example.to.0);
        let nodes = [source, destination].map(|address| enforced_at(model, address));
        assert!(
            within(model, source, nodes[1], from) && within(model, destination, nodes[0], to),
            "{text}{example:?}"
        );
        for key in [example.range.first, example.range.last] {
            assert!(ports.iter().any(|port| about(model, port, destination, key)), "{text}{example:?}");
            let said = flow(model, source, destination, key);
            assert_eq!(said.outcome, example.outcome, "{text}{example:?}");
            assert_ne!(said.outcome == FlowOutcome::Denied, *expect == Expect::Denied, "{text}{example:?}");
            let deciding = [(&said.egress, &example.egress), (&said.ingress, &example.ingress)];
            for (judgement, named) in deciding.into_iter().filter(|(_, named)| named.is_some()) {
                assert_eq!(judgement.as_ref().map(|it| &it.display), named.as_ref().map(|it| &it.display));
            }
        }
        seen.counterexamples += 1;
    }
    *(match (checked.pairs, checked.broken) {
        (0, _) => &mut seen.about_nobody,
        (_, 0) => &mut seen.hold,
        _ => &mut seen.broken,
    }) += 1;
    assert_eq!(checked.holds(assertion), checked.pairs > 0 && checked.broken == 0);
}

#[test]
fn an_assertion_holds_where_the_oracle_says_so_of_all_it_is_about() {
    let mut seen = Seen::default();
    each(240, |u| {
        let (text, model) = model(u)?;
        let tests = assertions(u, &model)?;
        let file = SourceFile { name: "tests.yaml".into(), text: tests.clone() };
        let suites = load_tests(&[file], &model).unwrap_or_else(|errors| panic!("{tests}\n{errors:#?}"));
        let assertions: Vec<&Assertion> = suites.iter().flat_map(|suite| &suite.assertions).collect();
        assert_eq!(assertions.len(), 8);
        let mut identities = IdentityTable::default();
        identities.allocate(&model).unwrap();
        let checked = check(&model, &identities, &assertions).unwrap();
        for (assertion, checked) in assertions.iter().zip(&checked) {
            judge(&model, &format!("{text}{tests}"), assertion, checked, &mut seen);
        }
        Ok(())
    });
    println!("{seen:?}");
    for (what, count, floor) in [
        ("connections", seen.connections, 250_000),
        ("assertions that hold", seen.hold, 200),
        ("that are broken", seen.broken, 500),
        ("about nobody", seen.about_nobody, 100),
        ("counterexamples", seen.counterexamples, 2_000),
    ] {
        assert!(count >= floor, "only {count} {what}, at least {floor} are wanted");
    }
}

#[test]
fn every_error_in_assertions_is_told_with_its_place() {
    let text = "apiVersion: selvedge/v1\nkind: PolicyTest\nmetadata: {name: wrong}\nspec:\n  assertions:\n    - name: one\n      \
                from: [{workload: nobody}]\n      to: [{cidrGroup: nothing}]\n      ports: [{protocol: TCP, port: 9, endPort: 8}]\n      \
                expect: open\n    - {name: two, from: [], to: [{entity: any, selector: {}}], ports: [{protocol: any}], expect: denied}\n\
                ---\napiVersion: selvedge/v1\nkind: Workload\nmetadata: {name: other}\nspec: {}\n";
    let mut done = false;
    each(1, |u| {
        let (_, model) = model(u)?;
        let file = SourceFile { name: "tests.yaml".into(), text: text.to_owned() };
        let errors = load_tests(&[file], &model).unwrap_err();
        let places: Vec<(u32, &str)> = errors.iter().map(|error| (error.place.line, error.code)).collect();
        let wanted = [
            (7, "unknown-reference"),
            (8, "unknown-reference"),
            (9, "out-of-range"),
            (10, "unknown-value"),
            (11, "empty-list"),
            (11, "conflicting-fields"),
            (14, "unknown-kind"),
        ];
        for finding in wanted {
            assert!(places.contains(&finding), "{finding:?} is missing: {errors:#?}");
        }
        done = true;
        Ok(())
    });
    assert!(done);
}
