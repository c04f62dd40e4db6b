//! A slot is proven in a real kernel before it is put in use, and a wrong entry in it refuses the generation.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aya::Ebpf;
use aya::maps::MapInfo;
use selvedge_abi::{DECISION_ALLOW, DECISION_DRAIN, Interval, PolicyEntry, map};
use selvedge_agent::datapath::{Counters, Datapath, DatapathError, Effect, KernelDatapath, Pins, Sizes};
use selvedge_agent::engine::{Engine, Progress, Settings, Tallies};
use selvedge_agent::machine::{self, RawInterface};
use selvedge_agent::store::{Fetched, StateDir};
use selvedge_agent_core::{Action, Choices, Entry, ForeignPrograms, Key, Observed, Slot, SlotTables};
use selvedge_hw_profiles::Profiles;
use selvedge_proto::plan::encode_plan;
use selvedge_proto::{ProofReport, Report, Target};
use selvedge_topology::plan::{Generation, Plan};
use support::{Node, plans};

/// What a hand makes of a slot between its writing and its proof.
type Hand = fn(&SlotTables) -> Action;

/// The kernel's data path, with somebody else's hand in the tables.
struct Tampered {
    kernel: KernelDatapath,
    bpffs: PathBuf,
    hand: Option<Hand>,
}

fn open(bpffs: &Path) -> KernelDatapath {
    let pins = Pins::prepare(bpffs, &"host1".parse().unwrap()).unwrap();
    KernelDatapath::open(pins, Sizes::default()).unwrap()
}

impl Datapath for Tampered {
    fn observe(&mut self, interfaces: &[RawInterface]) -> Result<Observed, DatapathError> {
        self.kernel.observe(interfaces)
    }

    fn execute(&mut self, action: &Action) -> Result<Effect, DatapathError> {
        if let (Action::Prove(trial), Some(hand)) = (action, self.hand) {
            let mut stranger = open(&self.bpffs);
            let tables = stranger.observe(&[])?.tables;
            stranger.execute(&hand(tables.slot(Slot::of(trial.config.slot))))?;
        }
        self.kernel.execute(action)
    }

    fn is_undisturbed(&mut self) -> Result<bool, DatapathError> {
        self.kernel.is_undisturbed()
    }

    fn doubt(&mut self) {
        self.kernel.doubt();
    }

    fn counters(&mut self, nics: &Choices) -> Result<Counters, DatapathError> {
        self.kernel.counters(nics)
    }
}

/// An agent without its sockets, in the node's namespace.
struct Bench<'a> {
    node: &'a Node,
    engine: Engine<Tampered>,
}

impl<'a> Bench<'a> {
    fn new(node: &'a Node) -> Self {
        let engine = node.namespace.enter(|| {
            let name = "host1".parse().unwrap();
            let kernel = open(&node.bpffs());
            let state = StateDir::open(&node.state(), &name, None).unwrap();
            let (fail_closed, services) = (BTreeSet::new(), Vec::new());
            let (foreign, profiles) = (ForeignPrograms::Refuse, Profiles::embedded().unwrap());
            let settings = Settings { node: name, fail_closed, services, foreign, profiles };
            Engine::new(settings, Tampered { kernel, bpffs: node.bpffs(), hand: None }, state)
        });
        Self { node, engine }
    }

    fn offer(&mut self, generation: u64, plan: Plan) {
        let encoded = encode_plan(&plan.clone().into()).unwrap();
        let target = Target { generation: Generation(generation), manifest: encoded.digest, signature: None };
        self.engine.offer(Fetched { target, manifest: encoded.manifest, chunks: encoded.chunks, plan });
    }

    fn converge(&mut self) -> Result<Progress, String> {
        let engine = &mut self.engine;
        self.node.namespace.enter(|| {
            let interfaces = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let (netlink, _events) = machine::watch().unwrap();
                    machine::interfaces(&netlink).await.unwrap()
                })
            };
            let result = engine.converge(&interfaces()).map_err(|error| error.to_string());
            engine.observe(&interfaces()).unwrap();
            result
        })
    }

    fn report(&mut self) -> Report {
        self.engine.report(Tallies::default(), SystemTime::UNIX_EPOCH).unwrap()
    }
}

/// Writes the row of `plans::allowing(port)` with its intervals, the second of which allows the port, as `change` makes them.
fn rewrite(slot: &SlotTables, port: u32, change: impl FnOnce(&mut [Interval])) -> Action {
    let lists = slot.policies.iter().map(|(key, entry)| (*key, entry.intervals().collect::<Vec<_>>()));
    let mut allows = lists.filter(|(_, list)| list.iter().any(|interval| interval.start == 6 << 16 | port));
    let (key, mut list) = allows.next().unwrap();
    change(&mut list);
    Action::Put(Entry::Policy(key, PolicyEntry::inline(&list).unwrap()))
}

#[test]
fn a_wrong_entry_refuses_the_generation_by_packet_verdicts_and_rule_and_the_next_try_mends_it() {
    let node = Node::wired();
    let mut bench = Bench::new(&node);
    bench.offer(1, plans::allowing(8080));
    assert_eq!(bench.converge(), Ok(Progress::Executed));
    assert_eq!(bench.report().in_force, Some(Generation(1)));
    let hands: [(Hand, &str); 7] = [
        // Allowed is denied.
        (
            |slot| rewrite(slot, 9090, |list| list[1].decision = 0),
            "1.0.0.0 -> 10.1.0.12 9090/TCP (received at interface {eth0}) should be policy-allow by app/ingress/http \
             (ID:2 to ID:256), and is policy-deny by app/ingress/http (ID:2 to ID:256)",
        ),
        // One port too many.
        (
            |slot| rewrite(slot, 9090, |list| list[1].start -= 1),
            "1.0.0.0 -> 10.1.0.12 9089/TCP (received at interface {eth0}) should be policy-deny by app/default/ingress \
             (ID:2 to ID:256), and is policy-allow by app/ingress/http (ID:2 to ID:256)",
        ),
        // The right verdict for another reason.
        (
            |slot| rewrite(slot, 9090, |list| list[1].rule = 100),
            "should be policy-allow by app/ingress/http (ID:2 to ID:256), and is policy-allow by app/default/ingress",
        ),
        // No policy for what the workload does itself.
        (
            |slot| Action::Delete(Key::Policy(*slot.policies.keys().find(|key| key.direction == 1).unwrap())),
            "(received at interface {w1}) should be policy-allow by app/ingress/http (ID:256 to ID:2), and is no-policy by \
             no rule (ID:256 to ID:2)",
        ),
        // A workload that nobody knows.
        (
            |slot| Action::Delete(Key::Address(*slot.addresses.keys().next().unwrap())),
            "should be policy-deny by app/default/ingress (ID:2 to ID:256), and is not-local by no rule (ID:2 to ID:2)",
        ),
        // What is established would drain, of which no packet that opens a connection can tell.
        (
            |slot| rewrite(slot, 9090, |list| list[0].decision = DECISION_DRAIN),
            "ingress policy of ID:256 should say of 1.0.0.0 -> 10.1.0.12 ICMP 8/0: denied, by app/default/ingress; and says: \
             denied, draining, by app/default/ingress",
        ),
        // Bits that decide nothing else.
        (
            |slot| rewrite(slot, 9090, |list| list[1].decision = DECISION_ALLOW | DECISION_DRAIN),
            "ingress policy of ID:256 should say of 1.0.0.0 -> 10.1.0.12 9090/TCP: allowed, by app/ingress/http; and says: \
             the bits 0x9, by app/ingress/http",
        ),
    ];
    let index =
        |port: &str| node.namespace.enter(|| nix::net::if_::if_nametoindex(port).unwrap().to_string());
    let (eth0, w1) = (index("eth0"), index("w1"));
    for (generation, (hand, words)) in (2_u64..).step_by(2).zip(hands) {
        let before = bench.report();
        bench.engine.datapath().hand = Some(hand);
        bench.offer(generation, plans::allowing(9090));
        let refused = bench.converge().unwrap_err();
        let words = words.replace("{eth0}", &eth0).replace("{w1}", &w1);
        assert!(refused.contains(&words), "{refused}\nhas no\n{words}");
        let report = bench.report();
        let refusal = report.refusal.unwrap();
        assert_eq!((refusal.generation, refusal.reason), (Generation(generation), refused));
        assert_eq!((report.wanted, report.in_force), (Some(Generation(generation)), before.in_force));
        assert!(node.reaches(8080) && !node.reaches(9090), "the old generation is in force");

        bench.engine.datapath().hand = None;
        assert_eq!(bench.converge(), Ok(Progress::Executed));
        assert_eq!(bench.converge(), Ok(Progress::Settled));
        let report = bench.report();
        assert_eq!((report.in_force, report.refusal), (Some(Generation(generation)), None));
        assert!(
            matches!(report.proof, Some(ProofReport::Proven { packets: 9, classes: 4, of: 8, .. })),
            "{:?}",
            report.proof
        );
        assert!(!node.reaches(8080) && node.reaches(9090));
        bench.offer(generation + 1, plans::allowing(8080));
        assert_eq!(bench.converge(), Ok(Progress::Executed));
    }
}

#[test]
fn a_first_generation_that_is_refused_leaves_the_ports_shut() {
    let node = Node::wired();
    let mut bench = Bench::new(&node);
    bench.engine.datapath().hand =
        Some(|slot| Action::Delete(Key::Policy(*slot.policies.keys().next().unwrap())));
    bench.offer(1, plans::allowing(8080));
    assert!(bench.converge().is_err());
    assert_eq!(bench.report().in_force, None);
    assert!(!node.reaches(8080));
}

#[test]
fn a_map_that_somebody_pins_in_a_tables_place_is_out_of_it_before_a_proof_is_made_by_it() {
    let node = Node::wired();
    let mut bench = Bench::new(&node);
    bench.offer(1, plans::allowing(8080));
    assert_eq!(bench.converge(), Ok(Progress::Executed));

    // Somebody puts another map in a table's place: it has nothing of what the agent writes.
    let pin = Pins::find(&node.bpffs(), &"host1".parse().unwrap()).unwrap().map(map::POLICIES);
    let id = || MapInfo::from_pin(&pin).unwrap().id();
    let before = id();
    std::fs::remove_file(&pin).unwrap();
    let mut other = Ebpf::load(selvedge_object::OBJECT).unwrap();
    other.map_mut(map::POLICIES).unwrap().pin(&pin).unwrap();
    assert_ne!(id(), before);
    bench.offer(2, plans::allowing(9090));
    assert_eq!(bench.converge(), Ok(Progress::Executed));
    assert_eq!(id(), before, "it is put back");
    assert_eq!(bench.report().in_force, Some(Generation(2)));
    assert!(!node.reaches(8080) && node.reaches(9090));
}

#[test]
fn a_trial_leaves_no_trace_in_what_live_packets_meet() {
    let node = Node::wired();
    let mut bench = Bench::new(&node);
    bench.offer(1, plans::allowing(8080));
    bench.converge().unwrap();
    let report = bench.report();
    // The kernel's own neighbour discovery is all that may have come by.
    assert_eq!(report.rules, []);
    let policy = report.reasons.iter().filter(|(reason, _)| reason.starts_with("policy"));
    assert_eq!(policy.count(), 0);
    assert_eq!((report.connections.entries, report.events_lost), (0, 0));
}

#[test]
fn what_somebody_else_wrote_is_mended_as_soon_as_the_tables_are_doubted_and_not_looked_for_before() {
    let node = Node::wired();
    let mut bench = Bench::new(&node);
    bench.offer(1, plans::allowing(8080));
    bench.converge().unwrap();
    let slot = bench.engine.observed().tables.config.slot;
    let mut stranger = open(&node.bpffs());
    let tables = stranger.observe(&[]).unwrap().tables;
    let denial = rewrite(tables.slot(Slot::of(slot)), 8080, |list| list[1].decision = 0);
    stranger.execute(&denial).unwrap();
    assert!(!node.reaches(8080));

    assert_eq!(bench.converge(), Ok(Progress::Settled), "what it wrote itself is not read again");
    bench.engine.datapath().doubt();
    assert_eq!(bench.converge(), Ok(Progress::Executed));
    assert!(node.reaches(8080));
    let observed = bench.engine.observed();
    assert_eq!(observed.tables, open(&node.bpffs()).observe(&[]).unwrap().tables, "known is what there is");
    assert_ne!(
        observed.tables.config.slot, slot,
        "mended as anything is: beside what is in use, proven, switched"
    );
    assert_eq!(bench.report().in_force, Some(Generation(1)));
}
