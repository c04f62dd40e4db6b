//! Complete programs: they decide as the oracle does, and drop what the full program would whatever it knows of connections.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_abi::Verdict;
use selvedge_classifier::testing::frame::{self, Transport};
use selvedge_codegen::{Incomplete, Kind, check, complete};
use selvedge_tests::cases::{Numbers, each};
use selvedge_tests::random::documents;
use selvedge_tests::scene::Scene;
use selvedge_topology::compile::compile;
use selvedge_topology::documents::{SourceFile, load as load_documents};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::model::PortRole;

use crate::loaded::Loaded;
use crate::packets::{self, Ends};
use crate::states;
use crate::{GENERATION, Port, failsafe, judged, limits, ports};

/// The documents with every rule stateless, and nothing to log or to drain.
pub(super) fn stateless(documents: &str) -> String {
    documents
        .replace("      stateless: true\n", "")
        .replace("      log: true\n", "")
        .replace("established: drain", "established: cut")
        .replace("defaultAction: allow", "defaultAction: deny")
        .replace("    - action: allow\n", "    - action: allow\n      stateless: true\n")
}

/// What was seen of complete programs.
#[derive(Debug, Default)]
struct Alone {
    programs: u64,
    /// Openings, by the oracle's verdict.
    openings: BTreeMap<Verdict, u64>,
    /// Random packets, by the full program's verdict.
    packets: BTreeMap<Verdict, u64>,
    /// Of those, packets that a device does not read, and leaves though the full program drops them.
    unread: u64,
    /// States of the full program, all of which deny what a device drops.
    states: usize,
}

impl Alone {
    /// Holds the program to the oracle: openings of every kind between some addresses.
    fn openings(&mut self, scene: &Scene<'_>, numbers: &mut Numbers) {
        let port = Port::with(scene, GENERATION, BTreeSet::new());
        let program = complete(&port.policy, &limits("netdevsim")).unwrap();
        let loaded = Loaded::new(&program);
        self.programs += 1;
        let ends = Ends::of(scene, &[]);
        let pairs = (0..40).map(|_| ends.pick(numbers));
        for (source, destination) in pairs.filter(|(source, destination)| source != destination) {
            for (key, transport) in openings(source.is_ipv4()) {
                let verdict = match scene.decided(source, destination) {
                    Some(reason) => reason.verdict(),
                    None => {
                        let ends = scene.judgements(source, destination, key);
                        let passes = ends.into_iter().flatten().all(|judged| judged.outcome.is_allowed());
                        if passes { Verdict::Allowed } else { Verdict::Denied }
                    }
                };
                let frame = frame::packet(&source.to_string(), &destination.to_string(), transport);
                let drops = verdict != Verdict::Allowed;
                assert_eq!(loaded.drops(&frame), drops, "{source} -> {destination} {key}\n{program}");
                *self.openings.entry(verdict).or_default() += 1;
            }
        }
    }

    /// Holds the program to the full program; what it drops, whatever connections earlier generations left behind.
    fn packets(&mut self, scene: &Scene<'_>, numbers: &mut Numbers) {
        let mut port = Port::new(scene, GENERATION);
        let program = complete(&port.policy, &limits("nfp")).unwrap();
        assert_eq!((program.kind, check(&program, &limits("nfp"))), (Kind::Complete, Ok(())));
        let loaded = Loaded::new(&program);
        let ends = Ends::of(scene, &[]);
        for _ in 0..300 {
            let frame = packets::frame(&ends, numbers);
            let (reason, _) = judged(&port, &frame);
            let (passes, drops) = (reason.verdict() == Verdict::Allowed, loaded.drops(&frame));
            *self.packets.entry(reason.verdict()).or_default() += 1;
            if is_plain(&frame) && !is_failsafe(&frame) {
                assert_eq!(drops, !passes, "{frame:02x?}\n{reason:?}\n{program}");
            } else {
                self.unread += u64::from(!drops && !passes);
            }
            // What it passes the full program may still deny, where a change cut the connection: it sees the packet, too.
            if drops {
                match states::all_deny(&mut port.tables, &frame) {
                    Ok(tried) => self.states += tried,
                    Err(why) => panic!("{frame:02x?}\npasses: {why}\n{program}"),
                }
            }
        }
    }
}

/// Opening packets of every kind that policy knows, with the key it is judged by.
fn openings(v4: bool) -> Vec<(L4Key, Transport)> {
    let mut all = Vec::new();
    for port in [1, 53, 80, 443, 8080, 65535] {
        all.push((L4Key::new(Protocol::TCP, port), frame::tcp(40000, port, 0x02)));
        all.push((L4Key::new(Protocol::UDP, port), frame::udp(40000, port)));
        all.push((L4Key::new(Protocol::SCTP, port), frame::sctp(40000, port, 1)));
    }
    all.push(match v4 {
        true => (L4Key::icmp(Protocol::ICMP, 8, 0), frame::echo(8, 7)),
        false => (L4Key::icmp(Protocol::ICMPV6, 128, 0), frame::echo(128, 7)),
    });
    all
}

/// Whether a frame is all that a device reads: neither tags, options, extension headers, a fragment nor an ICMP error, and of
/// Ethernet's length.
fn is_plain(frame: &[u8]) -> bool {
    /// IPv6's own protocols, over IPv4.
    const APART_OVER_V4: [u8; 6] = [58, 0, 43, 44, 59, 60];
    const EXTENSIONS: [u8; 12] = [0, 1, 2, 43, 44, 59, 60, 135, 139, 140, 253, 254];
    match frame.len() {
        42.. if frame[12..15] == [0x08, 0x00, 0x45] => {
            let is_error = frame[23] == 1 && matches!(frame[34], 3 | 11 | 12);
            frame[20] & 0x3f == 0 && frame[21] == 0 && !is_error && !APART_OVER_V4.contains(&frame[23])
        }
        62.. if frame[12..14] == [0x86, 0xdd] => {
            let is_error = frame[20] == 58 && matches!(frame[54], 1..=4);
            !EXTENSIONS.contains(&frame[20]) && !is_error
        }
        _ => false,
    }
}

/// Whether a plain frame is from one of the failsafe services.
fn is_failsafe(frame: &[u8]) -> bool {
    let v4 = frame[12] == 0x08;
    failsafe().iter().any(|key| {
        let remote: &[u8] = if v4 { &key.remote.0[12..] } else { &key.remote.0 };
        let (source, protocol, transport) = if v4 { (26, 23, 34) } else { (22, 20, 54) };
        frame[source..].starts_with(remote)
            && frame[protocol] == key.protocol as u8
            && frame[transport..].starts_with(&key.remote_port.to_be_bytes())
    })
}

#[test]
fn a_complete_program_decides_as_the_oracle_and_the_full_program_do() {
    let mut seen = Alone::default();
    let mut numbers = Numbers::new(7);
    each(30, |u| {
        let text = stateless(&documents(u)?);
        let model = load_documents(&[SourceFile { name: "random.yaml".into(), text }]).model.unwrap();
        let mut identities = IdentityTable::default();
        identities.allocate(&model).unwrap();
        for plan in compile(&model, &identities).unwrap().values() {
            for port in plan.ports.iter().filter(|port| port.role != PortRole::Workload) {
                let scene = Scene::new(&model, plan, port);
                seen.openings(&scene, &mut numbers);
                seen.packets(&scene, &mut numbers);
            }
        }
        Ok(())
    });
    println!("{seen:?}");
    for verdict in [Verdict::Allowed, Verdict::Denied, Verdict::Dropped] {
        let of = |counts: &BTreeMap<Verdict, u64>| counts.get(&verdict).copied().unwrap_or_default();
        assert!(of(&seen.openings) >= 10_000 && of(&seen.packets) >= 1_000, "{verdict:?}: {seen:?}");
    }
    assert!(seen.programs >= 50 && seen.unread >= 100 && seen.states >= 100_000, "{seen:?}");
}

#[test]
fn a_port_that_needs_the_full_program_says_which_rule_needs_it() {
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    each(60, |u| {
        ports(u, 0, |port| {
            let why = match complete(&port.policy, &limits("nfp")) {
                Ok(_) => "complete",
                Err(Incomplete::WorkloadPort) => "workloads",
                Err(Incomplete::Tracks { .. }) => "tracks",
                Err(Incomplete::Drains { .. }) => "drains",
                Err(Incomplete::Logs { .. }) => "logs",
                Err(Incomplete::DoesNotFit(why)) => panic!("{why}"),
            };
            assert_eq!(why == "workloads", port.scene.arrival.role == PortRole::Workload);
            *reasons.entry(why).or_default() += 1;
        })
    });
    println!("{reasons:?}");
    for why in ["complete", "workloads", "tracks", "drains", "logs"] {
        assert!(reasons.get(why).is_some_and(|count| *count >= 3), "{why}: {reasons:?}");
    }
}
