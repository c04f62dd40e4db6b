//! What speaks against a generation before it is applied: by the documents, and by what nodes have reported so far.
//!
//! A node that has not reported, and a port that no report names, are unknown: a fabric is applied before its agents run. What
//! they turn out to be is in the ledger then, and in the agents' refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Carries, Guard, Nic, SeenNode, SeenPort, points};
use crate::demands::{Demand, Mode};
use crate::model::{Direction, Enforcement, Model};
use crate::names::{NodeName, PortName, ProfileName, WorkloadName};
use crate::plan::Plan;

/// A port at which packets of managed workloads would go unjudged, and all of those workloads that need it judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The node.
    pub node: NodeName,
    /// The port.
    pub port: PortName,
    /// Why packets are not judged there.
    pub reason: String,
    /// Whose packets, and which of them.
    pub workloads: BTreeSet<(WorkloadName, Carries)>,
}

/// A port that does not run in a mode that the documents demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmetDemand {
    /// The node.
    pub node: NodeName,
    /// The port.
    pub port: PortName,
    /// The mode in which it runs.
    pub mode: Mode,
    /// What is demanded.
    pub demand: Demand,
    /// Why it runs in that mode.
    pub reason: String,
}

/// Everything that is known to speak against a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obstacles {
    /// By node and port.
    pub holes: Vec<Hole>,
    /// By node and port.
    pub demands: Vec<UnmetDemand>,
}

/// Most workloads that are named; there may be thousands behind one uplink.
const NAMED: usize = 6;

impl fmt::Display for Hole {
    /// `node host2, port eth0: … ; unenforced: app1 (from the fabric), app2 (from the fabric)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, port, reason, workloads } = self;
        let named = workloads.iter().take(NAMED).map(|(workload, carries)| format!("{workload} ({carries})"));
        let named = named.collect::<Vec<_>>().join(", ");
        write!(f, "node {node}, port {port}: {reason}; unenforced: {named}")?;
        match workloads.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for UnmetDemand {
    /// `node host2, port eth0: runs generic, at least native is demanded: …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, port, mode, demand, reason } = self;
        write!(f, "node {node}, port {port}: runs {}, {demand} is demanded: {reason}", mode.word())
    }
}

/// Everything that is known to leave a workload of `model` unenforced that the documents want enforced, and every demand that is
/// known not to be met. Of `plans`, what is the nodes' own is enough.
pub fn obstacles<'p>(
    model: &Model,
    plans: impl IntoIterator<Item = &'p Plan>,
    seen: &BTreeMap<NodeName, SeenNode>,
) -> Obstacles {
    let mut obstacles = Obstacles::default();
    for plan in plans {
        let Some(node) = seen.get(&plan.node) else { continue };
        obstacles.holes.extend(holes(model, plan, node));
        obstacles.demands.extend(unmet_demands(plan, node));
    }
    obstacles
}

fn holes(model: &Model, plan: &Plan, node: &SeenNode) -> Vec<Hole> {
    // Of most nodes there is nothing to say, and of each of their thousands of workloads neither.
    if node.ports.values().all(SeenPort::is_sound) {
        return Vec::new();
    }
    let mut found: BTreeMap<(PortName, String), BTreeSet<(WorkloadName, Carries)>> = BTreeMap::new();
    for workload in &plan.workloads {
        let enforcement = model.workloads.get(&workload.name).map(|workload| workload.enforcement);
        if enforcement != Some(Enforcement::Required) {
            continue;
        }
        let points =
            Direction::BOTH.into_iter().flat_map(|way| points(plan, &workload.port, way, Some(node)));
        for point in points.filter(|point| point.guard != Guard::Untold) {
            let Some(reason) = point.gap() else { continue };
            found.entry((point.port, reason)).or_default().insert((workload.name.clone(), point.carries));
        }
    }
    let hole = |((port, reason), workloads)| Hole { node: plan.node.clone(), port, reason, workloads };
    found.into_iter().map(hole).collect()
}

fn unmet_demands(plan: &Plan, seen: &SeenNode) -> impl Iterator<Item = UnmetDemand> {
    plan.ports.iter().filter_map(move |port| {
        let found = seen.ports.get(&port.name)?;
        let mode = found.state.mode()?;
        let demand = plan.demands.of(&port.name, found.profile.as_ref().map(ProfileName::as_str));
        let reason = match &found.nic {
            _ if !demand.in_kernel().admits(mode) => found.reason.clone(),
            Nic::Idle { reason } if demand.require == Some(Mode::Offload) => reason.clone(),
            Nic::Unable if demand.require == Some(Mode::Offload) => "its NIC runs no programs".to_owned(),
            _ => return None,
        };
        let (node, port) = (plan.node.clone(), port.name.clone());
        Some(UnmetDemand { node, port, mode, demand, reason })
    })
}
