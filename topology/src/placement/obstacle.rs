//! What speaks against a generation before it is applied: by the documents, and by what nodes have reported so far.
//!
//! A node that has not reported, and a port that no report names, are unknown: a fabric is applied before its agents run. What
//! they turn out to be is in the ledger then, and in the agents' refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Carries, Guard, SeenNode, points};
use crate::model::{Attachment, Direction, Enforcement, Model};
use crate::names::{NodeName, PortName, WorkloadName};
use crate::plan::Plan;

/// A port at which packets of managed workloads would go unjudged, and all of those workloads that need it judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The node.
    pub node: NodeName,
    /// The port.
    pub port: PortName,
    /// Why packets are not judged there.
    pub reason: String,
    /// Whose packets, and which of them.
    pub workloads: BTreeSet<(WorkloadName, Carries)>,
}

/// Most workloads that are named; there may be thousands behind one uplink.
const NAMED: usize = 6;

impl fmt::Display for Obstacle {
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

/// Everything that is known to leave a workload of `model` unenforced that the documents want enforced, by node and port.
pub fn obstacles(
    model: &Model,
    plans: &BTreeMap<NodeName, Plan>,
    seen: &BTreeMap<NodeName, SeenNode>,
) -> Vec<Obstacle> {
    let mut found: BTreeMap<(NodeName, PortName, String), BTreeSet<(WorkloadName, Carries)>> =
        BTreeMap::new();
    let required = model.workloads.values().filter(|it| it.enforcement == Enforcement::Required);
    for workload in required {
        let Attachment::Managed(at) = &workload.attachment else { continue };
        let (Some(plan), Some(node)) = (plans.get(&at.node), seen.get(&at.node)) else { continue };
        let points = Direction::BOTH.into_iter().flat_map(|way| points(plan, &at.port, way, Some(node)));
        for point in points.filter(|point| point.guard != Guard::Untold) {
            let Some(reason) = point.gap() else { continue };
            let whose = (workload.name.clone(), point.carries);
            found.entry((point.node, point.port, reason)).or_default().insert(whose);
        }
    }
    let obstacle = |((node, port, reason), workloads)| Obstacle { node, port, reason, workloads };
    found.into_iter().map(obstacle).collect()
}
