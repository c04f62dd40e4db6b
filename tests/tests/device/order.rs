//! While an agent takes a node from one policy, and one set of failsafe flows, to another: after every single action, what the
//! program in the NIC drops (the very bytecode, loaded unbound) is dropped by the tables as they are, whatever state the full
//! program is in.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use selvedge_abi::{Address, Config, FailsafeKey};
use selvedge_agent_core::machine::Machine;
use selvedge_agent_core::place::Terms;
use selvedge_agent_core::simulate::Simulation;
use selvedge_agent_core::tables::Slot;
use selvedge_agent_core::{
    Action, Desired, ForeignPrograms, Grounds, NicProgram, Observed, Standing, reconcile,
};
use selvedge_classifier::testing::MemoryTables;
use selvedge_classifier::testing::world::TIMEOUTS;
use selvedge_codegen::Kind;
use selvedge_hw_profiles::Profiles;
use selvedge_tests::cases::{Numbers, each};
use selvedge_tests::random::{ground, policies};
use selvedge_tests::scene::{Scene, machine};
use selvedge_topology::compile::compile;
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::Model;
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::{Generation, Plan};

use super::alone::stateless;
use super::loaded::Loaded;
use super::packets::{self, Ends};
use super::states;

/// What a node is to pass: by policy, and whatever policy says.
#[derive(Clone, Copy)]
struct Goal<'a> {
    plan: &'a Plan,
    generation: Generation,
    failsafe: &'a BTreeSet<FailsafeKey>,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    changes: u64,
    actions: u64,
    /// Packets that a NIC dropped, times the moments at which it did.
    dropped: u64,
    /// Changes whose last program would have dropped what passed before: what the order is for.
    too_early: u64,
    /// Changes whose first program would have dropped what passes after.
    too_late: u64,
    /// Of both, those of failsafe flows alone.
    by_failsafe: u64,
    /// Complete programs that were loaded.
    complete: u64,
}

/// A node, and the NIC of the port that packets arrive at.
struct Node<'a> {
    world: Simulation,
    profiles: &'a Profiles,
    frames: &'a [Vec<u8>],
    /// What the NIC drops of them.
    dropped: Vec<&'a [u8]>,
}

impl<'a> Node<'a> {
    fn new(machine: Machine, profiles: &'a Profiles, frames: &'a [Vec<u8>]) -> Self {
        Self { world: Simulation::new(machine), profiles, frames, dropped: Vec::new() }
    }

    fn observe(&self) -> Observed {
        self.world.observe()
    }

    fn actions(&self, goal: Goal<'_>, before: Option<&Plan>) -> Vec<Action> {
        let Goal { plan, generation, failsafe } = goal;
        let observed = self.observe();
        let terms = Terms { profiles: self.profiles, demands: Some(&plan.demands) };
        let nics = Grounds { plan, terms, machine: &observed.machine, failsafe }.choices(None).unwrap();
        let desired = Desired {
            plan: Some((plan, generation)),
            fail_closed: &BTreeSet::new(),
            failsafe,
            foreign: ForeignPrograms::Refuse,
            profiles: self.profiles,
            nics: &nics,
            before,
            held_back: &BTreeMap::new(),
            refused_modes: &BTreeMap::new(),
            standing: &Standing::default(),
        };
        reconcile(desired, &observed).unwrap()
    }

    fn execute(&mut self, action: &Action) {
        self.world.execute(action).unwrap();
        match action {
            Action::Load { program, .. } => {
                let loaded = Loaded::new(&program.program);
                let drops = |frame: &&[u8]| loaded.drops(frame);
                self.dropped = self.frames.iter().map(Vec::as_slice).filter(drops).collect();
            }
            Action::Unload { .. } => self.dropped.clear(),
            _ => {}
        }
    }

    /// Takes all the actions to `goal`; after each, what the NIC drops must be dropped.
    fn go(&mut self, goal: Goal<'_>, before: Option<&Plan>, seen: &mut Seen) {
        let (mut judging, mut checked) = (tables(&self.observe()), Vec::new());
        for action in self.actions(goal, before) {
            self.execute(&action);
            seen.actions += 1;
            let decides = |loaded: &NicProgram| loaded.program.kind == Kind::Complete;
            seen.complete += u64::from(matches!(&action, Action::Load { program, .. } if decides(program)));
            let now = tables(&self.observe());
            // What no packet can see of an action is not asked again.
            if !same(&now, &judging) || self.dropped != checked {
                (judging, checked) = (now, self.dropped.clone());
                for frame in &checked {
                    let tried = states::all_deny(&mut judging, frame);
                    assert!(tried.is_ok(), "{frame:02x?}\npasses after `{action}`: {tried:?}");
                }
                seen.dropped += checked.len() as u64;
            }
        }
        let again = self.actions(goal, before);
        assert!(again.is_empty(), "{again:?}");
    }
}

/// What the classifier sees of the maps; idle times are those of its cases.
fn tables(observed: &Observed) -> MemoryTables {
    let tables = &observed.tables;
    let slot = tables.slot(Slot::in_use(&tables.config)).clone();
    MemoryTables {
        config: Config { timeouts: TIMEOUTS, ..tables.config },
        ports: tables.ports.iter().map(|(index, entry)| (index.0, *entry)).collect(),
        addresses: slot.addresses,
        prefixes: slot.prefixes,
        policies: slot.policies,
        intervals: slot.intervals,
        failsafe: tables.failsafe.clone(),
        ..MemoryTables::default()
    }
}

fn same(a: &MemoryTables, b: &MemoryTables) -> bool {
    let small = (a.config, &a.ports, &a.failsafe) == (b.config, &b.ports, &b.failsafe);
    let judged = (&a.addresses, &a.prefixes, &a.policies, &a.intervals);
    small && judged == (&b.addresses, &b.prefixes, &b.policies, &b.intervals)
}

/// Services of whoever sends some of the packets, so that they are met.
fn services(frames: &[Vec<u8>], numbers: &mut Numbers) -> BTreeSet<FailsafeKey> {
    let of = |frame: &Vec<u8>| {
        let (remote, transport, protocol) = match (frame.get(12)?, frame.len()) {
            (0x08, 34..) => (Address::from_ipv4(frame[26..30].try_into().ok()?), 34, frame[23]),
            (0x86, 54..) => (Address(frame[22..38].try_into().ok()?), 54, frame[20]),
            _ => return None,
        };
        let port = frame.get(transport..transport + 2)?.try_into().ok()?;
        let remote_port = u16::from_be_bytes(port);
        matches!(protocol, 6 | 17).then_some(FailsafeKey { remote, remote_port, protocol: protocol.into() })
    };
    (0..numbers.below(16)).filter_map(|_| of(&numbers.pick(frames))).collect()
}

/// Takes the node of a scene from `old` to `new`.
fn change(
    old: Goal<'_>,
    new: Goal<'_>,
    (scene, profiles): (&Scene<'_>, &Profiles),
    frames: &[Vec<u8>],
    seen: &mut Seen,
) {
    let mut machine = machine(old.plan, &scene.arrival.name);
    let port = machine.interfaces.get_mut(scene.arrival.name.as_str()).unwrap();
    port.seen.driver = "netdevsim".to_owned();
    let mut node = Node::new(machine, profiles, frames);
    node.go(old, None, seen);
    let (first, mut before) = (node.dropped.clone(), tables(&node.observe()));
    node.go(new, Some(old.plan).filter(|_| old.generation != new.generation), seen);
    let mut after = tables(&node.observe());
    let passes = |tables: &mut MemoryTables, dropped: &[&[u8]]| {
        dropped.iter().any(|frame| states::all_deny(tables, frame).is_err())
    };
    let (early, late) = (passes(&mut before, &node.dropped), passes(&mut after, &first));
    seen.changes += 1;
    seen.too_early += u64::from(early);
    seen.too_late += u64::from(late);
    seen.by_failsafe += u64::from((early || late) && old.generation == new.generation);
}

/// Two policies for one fabric.
fn models(u: &mut Unstructured<'_>) -> Result<[Model; 2]> {
    let ground = ground(u)?;
    let mut model = || {
        let text = ground.text.clone() + &policies(u, &ground)?;
        let text = if u.ratio(1, 3)? { stateless(&text) } else { text };
        Ok(load(&[SourceFile { name: "random.yaml".into(), text }]).model.unwrap())
    };
    Ok([model()?, model()?])
}

fn plans(models: &[Model; 2]) -> [BTreeMap<NodeName, Plan>; 2] {
    let mut identities = IdentityTable::default();
    for model in models {
        identities.allocate(model).unwrap();
    }
    [0, 1].map(|number| compile(&models[number], &identities).unwrap())
}

#[test]
fn at_no_moment_of_a_change_does_a_nic_drop_what_the_program_in_the_kernel_could_pass() {
    let profiles = Profiles::embedded().unwrap();
    let mut seen = Seen::default();
    let mut numbers = Numbers::new(7);
    each(60, |u| {
        let models = models(u)?;
        let plans = plans(&models);
        for (node, plan) in &plans[0] {
            for port in &plan.ports {
                let scene = Scene::new(&models[0], plan, port);
                let ends = Ends::of(&scene, &[]);
                let frames: Vec<Vec<u8>> = (0..60).map(|_| packets::frame(&ends, &mut numbers)).collect();
                let failsafe = [(); 2].map(|()| services(&frames, &mut numbers));
                let old = Goal { plan, generation: Generation(1), failsafe: &failsafe[0] };
                // Every second time it is only other services that are to be let through.
                let new = match numbers.one_in(2) {
                    true => Goal { failsafe: &failsafe[1], ..old },
                    false => Goal {
                        plan: &plans[1][node],
                        generation: Generation(2),
                        failsafe: &failsafe[usize::from(numbers.one_in(2))],
                    },
                };
                change(old, new, (&scene, &profiles), &frames, &mut seen);
            }
        }
        Ok(())
    });
    println!("{seen:?}");
    assert!(seen.changes >= 300 && seen.dropped >= 10_000, "{seen:?}");
    let mattered = [seen.too_early, seen.too_late, seen.by_failsafe];
    assert!(seen.complete >= 100, "too few NICs decided: {seen:?}");
    assert!(mattered.iter().all(|count| *count >= 15), "the order mattered too rarely: {seen:?}");
}
