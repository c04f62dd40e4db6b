//! From YAML to the verdict on a packet, held to the oracle: random fabrics are compiled, lowered to tables, and new
//! connections between all their addresses judged by the classifier and by the loaded program. Needs root.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

#[path = "datapath/kernel.rs"]
mod kernel;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use arbitrary::{Result, Unstructured};
use kernel::Kernel;
use selvedge_abi::{Reason, Verdict};
use selvedge_classifier::Way;
use selvedge_classifier::testing::frame::{self, Transport};
use selvedge_classifier::testing::{Hook, MemoryTables, Outcome as Effects};
use selvedge_tests::cases::each;
use selvedge_tests::random::{addresses, model};
use selvedge_tests::scene::{Scene, machine, tables};
use selvedge_topology::compile::compile;
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::model::Direction;
use selvedge_topology::names::PortName;
use selvedge_topology::oracle::{Party, judge};
use selvedge_topology::plan::Outcome;

/// Opening packets of every kind that policy knows, with the key it is judged by.
fn openings(family_v4: bool) -> Vec<(L4Key, Transport)> {
    let mut all = Vec::new();
    for port in [1, 53, 80, 443, 8080, 65535] {
        all.push((L4Key::new(Protocol::TCP, port), frame::tcp(40000, port, 0x02)));
        all.push((L4Key::new(Protocol::UDP, port), frame::udp(40000, port)));
        all.push((L4Key::new(Protocol::SCTP, port), frame::sctp(40000, port, 1)));
    }
    if family_v4 {
        all.push((L4Key::icmp(Protocol::ICMP, 8, 0), frame::echo(8, 7)));
        all.push((L4Key::icmp(Protocol::ICMP, 13, 0), frame::icmp(13, 0, &[0; 16])));
    } else {
        all.push((L4Key::icmp(Protocol::ICMPV6, 128, 0), frame::echo(128, 7)));
    }
    all
}

/// What should become of a packet: its reason, and the rule that is to be counted as deciding, where one is.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    reason: Reason,
    rules: BTreeSet<u32>,
}

fn expect(hook: Hook, scene: &Scene<'_>, source: IpAddr, destination: IpAddr, key: L4Key) -> Expected {
    let decided = match hook {
        Hook::Received => scene.decided(source, destination),
        Hook::Sent => scene.decided_when_sent(source, destination),
    };
    if let Some(reason) = decided {
        return Expected { reason, rules: BTreeSet::new() };
    }
    let judged: Vec<_> = scene.judgements(source, destination, key).into_iter().flatten().collect();
    if let Some(denied) = judged.iter().find(|judgement| !judgement.outcome.is_allowed()) {
        return Expected { reason: Reason::PolicyDeny, rules: BTreeSet::from([denied.rule.0]) };
    }
    // Where both ends are behind this node, one that tracks is enough for an entry, which covers that end.
    let stateless = judged.iter().all(|judgement| judgement.outcome == Outcome::AllowedStateless);
    let reason = if stateless { Reason::Stateless } else { Reason::PolicyAllow };
    Expected { reason, rules: judged.iter().map(|judgement| judgement.rule.0).collect() }
}

/// Judges every opening packet between all addresses, received at the port and sent by it; `judge` says what a backend makes of
/// a frame.
fn run(scene: &Scene<'_>, seen: &mut Seen, mut judge: impl FnMut(Hook, &[u8]) -> Effects) {
    for hook in [Hook::Received, Hook::Sent] {
        run_at(hook, scene, seen, |packet| judge(hook, packet));
    }
}

fn run_at(hook: Hook, scene: &Scene<'_>, seen: &mut Seen, mut judge: impl FnMut(&[u8]) -> Effects) {
    let addresses = addresses(scene.model);
    let pairs = addresses.iter().flat_map(|a| addresses.iter().map(move |b| (*a, *b)));
    for (source, destination) in pairs.filter(|(a, b)| a != b && a.is_ipv4() == b.is_ipv4()) {
        for (key, transport) in openings(source.is_ipv4()) {
            let packet = frame::packet(&source.to_string(), &destination.to_string(), transport);
            let expected = expect(hook, scene, source, destination, key);
            let effects = judge(&packet);
            let reasons: Vec<Reason> =
                effects.reasons.keys().map(|number| Reason::from_number(*number).unwrap()).collect();
            let does = Expected { reason: reasons[0], rules: effects.rules.keys().copied().collect() };
            let at = format!(
                "{source} -> {destination} {key} {hook:?} at {} of {}",
                scene.arrival.name, scene.plan.node
            );
            assert_eq!(reasons.len(), 1, "{at}");
            if expected.reason == Reason::PolicyDeny {
                // An egress that allows before an ingress that denies is counted too.
                assert_eq!(does.reason, expected.reason, "{at}: {:?}", expected.rules);
                assert!(does.rules.is_superset(&expected.rules), "{at}: {does:?} {expected:?}");
            } else {
                assert_eq!(does, expected, "{at}");
            }
            *seen.entry(expected.reason).or_default() += 1;
        }
    }
}
type Seen = BTreeMap<Reason, u64>;

/// A connection between two workloads behind one node: the judgements of its ends, and its first packet and the answer.
struct Dialogue {
    opening: (L4Key, Transport),
    answer: (L4Key, Transport),
    /// Whether the answer may pass an end that doesn't track the connection by a rule that would track it.
    answer_may_open: bool,
}

/// One dialogue of each kind.
fn dialogues() -> Vec<Dialogue> {
    let of =
        |port, asked: fn(u16, u16) -> Transport, answered: fn(u16, u16) -> Transport, protocol| Dialogue {
            opening: (L4Key::new(protocol, port), asked(40000, port)),
            answer: (L4Key::new(protocol, 40000), answered(port, 40000)),
            answer_may_open: protocol == Protocol::UDP,
        };
    let syn = |from, to| frame::tcp(from, to, 0x02);
    let syn_ack = |from, to| frame::tcp(from, to, 0x12);
    let ports = [1, 53, 80, 443, 8080];
    ports
        .into_iter()
        .flat_map(|port| {
            [of(port, syn, syn_ack, Protocol::TCP), of(port, frame::udp, frame::udp, Protocol::UDP)]
        })
        .collect()
}

/// What was seen of answers.
#[derive(Debug, Default)]
struct Answers {
    passed: u64,
    stopped: u64,
    /// Of connections that one end tracks and the other doesn't.
    mixed: u64,
}

/// Opens connections between the workloads of this node, and holds each answer to what its two ends would say if
/// each were alone on a node.
fn answers(scene: &Scene<'_>, tables: &MemoryTables, seen: &mut Answers) {
    let machine = machine(scene.plan, &scene.arrival.name);
    let index = |port: &PortName| machine.interfaces[&port.to_string()].index.0;
    let pairs = scene.locals.iter().flat_map(|a| scene.locals.iter().map(move |b| (a, b)));
    for ((asking, (asker, from)), (asked, (answerer, to))) in
        pairs.filter(|((a, _), (b, _))| a != b && a.is_ipv4() == b.is_ipv4())
    {
        for Dialogue { opening, answer, answer_may_open } in dialogues() {
            let judged = |workload, peer, direction, key| {
                judge(
                    scene.model,
                    workload,
                    direction,
                    &Party::seen_from(scene.model, &scene.plan.node, peer),
                    key,
                )
                .outcome
            };
            let ends = [
                (
                    judged(asker, *asked, Direction::Egress, opening.0),
                    judged(asker, *asked, Direction::Ingress, answer.0),
                ),
                (
                    judged(answerer, *asking, Direction::Ingress, opening.0),
                    judged(answerer, *asking, Direction::Egress, answer.0),
                ),
            ];
            if !ends.iter().all(|(opening, _)| opening.is_allowed()) {
                continue;
            }
            let tables = tables.clone();
            let judge = |frame: &[u8], [source, destination]: [IpAddr; 2], [from, to]: [&PortName; 2]| {
                if scene.is_machine(source) {
                    // To the other one by its port; to itself by none.
                    let leaves = index(if scene.is_machine(destination) { from } else { to });
                    tables.classify_sent(frame, Way { received: 0, leaves }).unwrap()
                } else {
                    tables.classify(frame, index(from))
                }
            };
            let (there, back) = ([*asking, *asked], [*asked, *asking]);
            let (asking, asked) = (asking.to_string(), asked.to_string());
            let opened = judge(&frame::packet(&asking, &asked, opening.1), there, [from, to]);
            assert_eq!(opened.verdict(), Verdict::Allowed, "{asking} -> {asked} {}", opening.0);
            let reason = judge(&frame::packet(&asked, &asking, answer.1), back, [to, from]);
            let expected = ends.iter().all(|(opening, answer)| match (opening, answer) {
                (Outcome::AllowedStateless, Outcome::AllowedStateless) => true,
                (Outcome::AllowedStateless, answer) => answer.is_allowed() && answer_may_open,
                _ => true,
            });
            assert_eq!(
                reason.verdict() == Verdict::Allowed,
                expected,
                "{asked} -> {asking}, answering {}: {reason:?} of {ends:?}",
                opening.0
            );
            *(if expected { &mut seen.passed } else { &mut seen.stopped }) += 1;
            let stateless = ends.iter().filter(|(opening, _)| *opening == Outcome::AllowedStateless).count();
            seen.mixed += u64::from(stateless == 1);
        }
    }
}

/// Builds a random fabric and runs `scene` for every port of every node that enforces.
fn scenes(u: &mut Unstructured<'_>, mut scene: impl FnMut(&Scene<'_>, &MemoryTables)) -> Result<()> {
    let (_, model) = model(u)?;
    let mut identities = IdentityTable::default();
    identities.allocate(&model).unwrap();
    for plan in compile(&model, &identities).unwrap().values() {
        for port in &plan.ports {
            scene(&Scene::new(&model, plan, port), &tables(plan, &port.name, 5).unwrap());
        }
    }
    Ok(())
}

fn assert_enough(seen: &Seen, cases: u64) {
    let total: u64 = seen.values().sum();
    println!("{total} packets: {seen:?}");
    assert!(total >= cases, "only {total} packets");
    for reason in [Reason::PolicyAllow, Reason::PolicyDeny] {
        assert!(
            seen.get(&reason).is_some_and(|n| *n >= cases / 50),
            "{reason:?} was seen too rarely: {seen:?}"
        );
    }
    for reason in [
        Reason::Stateless,
        Reason::Spoofed,
        Reason::ToNode,
        Reason::FromNode,
        Reason::Transit,
        Reason::NotLocal,
    ] {
        assert!(
            seen.get(&reason).is_some_and(|n| *n >= cases / 1000),
            "{reason:?} was seen too rarely: {seen:?}"
        );
    }
    for verdict in [Verdict::Allowed, Verdict::Denied, Verdict::Dropped] {
        let of: u64 = seen.iter().filter(|(reason, _)| reason.verdict() == verdict).map(|(_, n)| n).sum();
        assert!(of >= cases / 20, "only {of} packets were {verdict:?}: {seen:?}");
    }
}

#[test]
fn the_classifier_over_lowered_plans_decides_as_the_oracle_does() {
    let mut seen = Seen::new();
    each(60, |u| {
        scenes(u, |scene, tables| run(scene, &mut seen, |hook, packet| Effects::at(hook, tables, packet).1))
    });
    assert_enough(&seen, 500_000);
}

#[test]
fn the_loaded_program_over_lowered_plans_decides_as_the_oracle_does() {
    let mut seen = Seen::new();
    let mut kernel = Kernel::load();
    each(6, |u| {
        scenes(u, |scene, tables| {
            run(scene, &mut seen, |hook, packet| {
                let (passed, effects) = kernel.judge(hook, tables, packet);
                let reason = effects.reasons.keys().next().and_then(|number| Reason::from_number(*number));
                assert_eq!(Some(passed), reason.map(|reason| reason.verdict() == Verdict::Allowed));
                effects
            });
        })
    });
    assert_enough(&seen, 20_000);
}

#[test]
fn an_answer_passes_two_ends_of_one_node_as_it_would_pass_each_alone() {
    let mut seen = Answers::default();
    each(600, |u| scenes(u, |scene, tables| answers(scene, tables, &mut seen)));
    println!("{seen:?}");
    assert!(seen.passed >= 20_000 && seen.stopped >= 300 && seen.mixed >= 300, "too few answers: {seen:?}");
}
