//! Selvedge: the agent's own data path, filled by the agent's own reconciliation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use selvedge_abi::{DEFAULT_CONNECTIONS, DEFAULT_HALF_OPEN, MAX_IPV4, Reason, map};
use selvedge_agent::datapath::{Datapath, KernelDatapath, Pins, Sizes};
use selvedge_agent_core::{
    Action, Choices, Desired, ForeignPrograms, IfIndex, Interface, Machine, Observed, Standing, Tables,
    reconcile,
};
use selvedge_hw_profiles::Profiles;
use selvedge_topology::plan::{Generation, Plan};

use super::{Ready, plan::plan, search::Search, unpassing};
use crate::bpf::{self, MapKind, attach_xdp, object_at, test_run};
use crate::cases::{Case, Verdict};
use crate::frames::{Family, Flow, Segment, frame};
use crate::stage::{PORT, Stage, WORKLOAD};
use crate::world::{Denials, Policy, World, peer, subject};

/// A place of the bench's own in the bpffs, which only this process sees.
const BPFFS: &str = "/sys/fs/bpf/selvedge-bench";

/// The data path of one case.
struct Node {
    datapath: KernelDatapath,
    pins: Pins,
    machine: Machine,
}

impl Drop for Node {
    fn drop(&mut self) {
        // What is pinned lives; nothing of it is wanted any more, and the mount goes with the process anyhow.
        let _gone = fs::remove_dir_all(self.pins.root());
    }
}

impl Node {
    /// `name` is of the place where it pins its maps: two at once need two.
    fn new(name: &str, stage: &Stage) -> Result<Self> {
        let pins = Pins::prepare(Path::new(BPFFS), &name.parse()?)?;
        let datapath = KernelDatapath::open(pins.clone(), Sizes::default())?;
        let interface = |index| Interface::veth(IfIndex(index));
        let interfaces = [(PORT, stage.port), (WORKLOAD, stage.workload)];
        let interfaces = interfaces.map(|(name, index)| (name.to_owned(), interface(index))).into();
        Ok(Self { datapath, pins, machine: Machine { interfaces } })
    }

    /// Puts `plan` in force over what `tables` hold, as the agent would; ports are attached by whoever measures.
    fn apply(&mut self, plan: &Plan, generation: u64, tables: Tables) -> Result<()> {
        let (profiles, nothing, nobody) = (Profiles::embedded()?, BTreeSet::new(), BTreeSet::new());
        let (nics, held_back) = (Choices::default(), BTreeMap::new());
        let desired = Desired {
            plan: Some((plan, Generation(generation))),
            fail_closed: &nothing,
            failsafe: &nobody,
            foreign: ForeignPrograms::Refuse,
            profiles: &profiles,
            nics: &nics,
            before: None,
            held_back: &held_back,
            refused_modes: &BTreeMap::new(),
            standing: &Standing::default(),
        };
        let machine = self.machine.clone();
        let observed = Observed { machine, tables, ..Observed::default() };
        for action in reconcile(desired, &observed)? {
            if !matches!(action, Action::Attach { .. } | Action::AttachEgress { .. }) {
                self.datapath.execute(&action).with_context(|| action.to_string())?;
            }
        }
        Ok(())
    }

    /// The very program that the agent attaches.
    fn program(&self) -> Result<OwnedFd> {
        Ok(object_at(&self.pins.maps().join("program"))?)
    }
}

/// Ours, set up for a case.
pub(super) struct Ours {
    node: Node,
    program: OwnedFd,
    reason: Reason,
    _link: OwnedFd,
}

pub(super) fn prepare(case: &Case, stage: &Stage) -> Result<Ours> {
    prepare_as("ours", case, stage)
}

fn prepare_as(name: &str, case: &Case, stage: &Stage) -> Result<Ours> {
    let plan = plan(&case.world)?;
    // Whether it fits, before anything is made for it.
    selvedge_agent_core::lower::check(&plan)?;
    let mut node = Node::new(name, stage)?;
    node.apply(&plan, 1, Tables::default())?;
    let program = node.program()?;
    if case.verdict() == Verdict::Established {
        for flow in &case.flows {
            handshake(program.as_fd(), flow, stage)?;
        }
    }
    let link = attach_xdp(unpassing::load(&node.pins, None)?.as_fd(), stage.port)?;
    let reason = match case.verdict() {
        Verdict::Established => Reason::Established,
        Verdict::Denied => Reason::PolicyDeny,
        Verdict::Opened => Reason::PolicyAllow,
    };
    Ok(Ours { node, program, reason, _link: link })
}

/// Ours over another table of addresses, in a case of denials.
pub(super) fn prepare_over(kind: MapKind, case: &Case, stage: &Stage) -> Result<Ours> {
    ensure!(case.verdict() == Verdict::Denied, "no connection is opened over another table");
    let search = Search::new(&plan(&case.world)?, case.world.family, kind)?;
    let ours = prepare_as(if kind == MapKind::Hash { "hash" } else { "trie" }, case, stage)?;
    let program = unpassing::load(&ours.node.pins, Some(&search))?;
    let Ours { node, reason, _link, .. } = ours;
    drop(_link);
    let _link = attach_xdp(program.as_fd(), stage.port)?;
    Ok(Ours { node, program, reason, _link })
}

/// Opens a connection: the answer comes from the workload's port, as anti-spoofing wants it.
fn handshake(program: BorrowedFd<'_>, flow: &Flow, stage: &Stage) -> Result<()> {
    test_run(program, &frame(flow, Segment::Syn), stage.port, 1)?;
    test_run(program, &frame(&flow.reversed(), Segment::SynAck), stage.workload, 1)?;
    test_run(program, &frame(flow, Segment::Ack), stage.port, 1)?;
    Ok(())
}

impl Ready for Ours {
    fn counted(&mut self) -> Result<u64> {
        let counters = self.node.datapath.counters(&Choices::new())?;
        Ok(counters.reasons.get(&self.reason).map_or(0, |count| count.packets))
    }

    fn program(&self) -> Option<BorrowedFd<'_>> {
        Some(self.program.as_fd())
    }
}

/// Bytes of kernel memory, off the maps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// For each IPv4 address, where two generations fill the tables to the brim.
    pub(crate) per_address: f64,
    /// For each connection that the tables have room for, half-open or not; they are allocated whole.
    pub(crate) per_connection: f64,
}

/// Fills both halves of the address tables, and weighs them.
pub(crate) fn memory() -> Result<Memory> {
    let stage = Stage::new(&[])?;
    let mut node = Node::new("memory", &stage)?;
    let mut connections = 0;
    for name in [map::CONNECTIONS, map::HALF_OPEN, map::PASSAGES] {
        connections += bpf::memory(&node.pins.map(name))?;
    }
    let limit = MAX_IPV4;
    let family = Family::V4;
    for generation in [1, 2] {
        // Two generations that differ, so that the second is written to the other half.
        let subjects = vec![subject(family, generation)];
        let peers = (0..limit - 1).map(|index| peer(family, index)).collect();
        let world = World { family, subjects, peers, policy: Policy::Identities, denials: Denials::Noted };
        let tables = node.datapath.observe(&[])?.tables;
        node.apply(&plan(&world)?, generation.into(), tables)?;
    }
    let tables = node.datapath.observe(&[])?.tables;
    let held: Vec<usize> = tables.slots.iter().map(|slot| slot.addresses.len()).collect();
    ensure!(held == [limit as usize; 2], "the halves hold {held:?} addresses, not {limit} each");
    let addresses = bpf::memory(&node.pins.map(map::IPV4))?;
    Ok(Memory {
        per_address: addresses as f64 / f64::from(limit),
        per_connection: connections as f64 / f64::from(DEFAULT_CONNECTIONS + DEFAULT_HALF_OPEN),
    })
}
