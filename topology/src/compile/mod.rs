//! Model and identities → one plan for each node with an agent.
//!
//! Three steps, a file each: [`peers`] sorts every address of the fabric into classes that no rule can tell
//! apart, [`rows`] decides for each subject what it does with each class, [`sets`] folds the rules that match
//! one class into a decision list over all layer-4 keys. Rows do not depend on the node, so each is made once
//! for the whole fabric.

mod peers;
mod rows;
mod sets;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::demands::Demands;
use crate::identity::{Identity, IdentityTable, SecurityLabels};
use crate::labels::Labels;
use crate::model::{AgentPresence, Attachment, Direction, Fabric, Model, Node, PortRole, Workload};
use crate::names::{NodeName, PortName, WorkloadName};
use crate::plan::{Plan, PlanIdentity, PlanPort, PlanRow, PlanRule, PlanSet, PlanWorkload, SetId};

use peers::Peers;
use rows::Rows;

/// Why a model can't be compiled. None of these is the user's fault: identities are allocated before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A workload without an identity.
    #[error("workload {workload} has no identity: allocate identities before compiling")]
    NoIdentity {
        /// The workload.
        workload: WorkloadName,
    },
    /// A CIDR without an identity.
    #[error("CIDR {cidr} has no identity: allocate identities before compiling")]
    NoCidrIdentity {
        /// The CIDR.
        cidr: IpNet,
    },
    /// Two decision lists whose numbers collide.
    #[error("two different decision lists have the number {:016x}", id.0)]
    SetCollision {
        /// The number.
        id: SetId,
    },
}

/// Compiles `model` to one plan for each node with an agent.
///
/// The result depends only on what the documents mean: not on the order of documents, rules or labels.
pub fn compile(model: &Model, identities: &IdentityTable) -> Result<BTreeMap<NodeName, Plan>, CompileError> {
    let numbered = number_workloads(model, identities)?;
    let peers = Peers::gather(model, identities, &numbered)?;
    let mut rows = Rows::new(model, &peers);
    let nodes = model.fabric.nodes.values().filter(|node| node.agent == AgentPresence::Enabled);
    nodes
        .map(|node| Ok((node.name.clone(), plan(node, &model.fabric, &numbered, &peers, &mut rows)?)))
        .collect()
}

/// A workload and its identity.
struct Numbered<'m> {
    workload: &'m Workload,
    identity: Identity,
}

fn number_workloads<'m>(
    model: &'m Model,
    identities: &IdentityTable,
) -> Result<Vec<Numbered<'m>>, CompileError> {
    let number = |workload: &'m Workload| {
        let identity = identities
            .of_workload(workload)
            .ok_or_else(|| CompileError::NoIdentity { workload: workload.name.clone() })?;
        Ok(Numbered { workload, identity })
    };
    model.workloads.values().map(number).collect()
}

fn plan(
    node: &Node,
    fabric: &Fabric,
    all: &[Numbered<'_>],
    peers: &Peers<'_>,
    rows: &mut Rows<'_>,
) -> Result<Plan, CompileError> {
    let local: Vec<&Numbered<'_>> =
        all.iter().filter(|numbered| is_enforced_at(numbered.workload, node)).collect();
    let mut subjects: BTreeMap<Identity, &Workload> = BTreeMap::new();
    for numbered in &local {
        subjects.entry(numbered.identity).or_insert(numbered.workload);
    }
    let mut plan_rows: Vec<PlanRow> = Vec::new();
    for (subject, example) in subjects {
        for direction in Direction::BOTH {
            plan_rows.push(rows.row(subject, example, direction)?.clone());
        }
    }
    let used: BTreeSet<SetId> =
        plan_rows.iter().flat_map(|row| row.peers.iter().map(|(_, set)| *set).chain([row.default])).collect();
    let sets: Vec<PlanSet> = used.iter().filter_map(|id| rows.set(*id).cloned()).collect();
    let deciding: BTreeSet<_> =
        sets.iter().flat_map(|set| set.intervals.iter().map(|interval| interval.decision.rule)).collect();
    let rules: Vec<PlanRule> = deciding.iter().filter_map(|id| rows.rule(*id)).collect();
    Ok(Plan {
        node: node.name.clone(),
        role: node.role,
        timeouts: fabric.timeouts,
        ports: node
            .ports
            .iter()
            .filter(|(_, role)| **role != PortRole::Management)
            .map(|(name, role)| PlanPort { name: name.clone(), role: *role })
            .collect(),
        demands: demands(node, fabric),
        workloads: local.into_iter().filter_map(plan_workload).collect(),
        addresses: peers.addresses_seen_from(node),
        rows: plan_rows,
        sets,
        rules,
        identities: identities_of(all),
    })
}

/// Nothing enforces at a management port, so nothing is demanded of one.
fn demands(node: &Node, fabric: &Fabric) -> Demands {
    let enforced = |port: &PortName| node.ports.get(port).is_some_and(|role| *role != PortRole::Management);
    let ports = node.demands.iter().filter(|(port, _)| enforced(port));
    Demands {
        ports: ports.map(|(port, demand)| (port.clone(), demand.clone())).collect(),
        profiles: fabric.hardware.clone(),
    }
}

fn is_enforced_at(workload: &Workload, node: &Node) -> bool {
    matches!(&workload.attachment, Attachment::Managed(endpoint) if endpoint.node == node.name)
}

fn plan_workload(numbered: &Numbered<'_>) -> Option<PlanWorkload> {
    let Attachment::Managed(endpoint) = &numbered.workload.attachment else { return None };
    Some(PlanWorkload {
        name: numbered.workload.name.clone(),
        identity: numbered.identity,
        port: endpoint.port.clone(),
        addresses: numbered.workload.addresses.clone(),
    })
}

fn identities_of(all: &[Numbered<'_>]) -> Vec<PlanIdentity> {
    let labels: BTreeMap<Identity, Labels> = all
        .iter()
        .map(|numbered| (numbered.identity, SecurityLabels::of(numbered.workload).labels().clone()))
        .collect();
    labels.into_iter().map(|(identity, labels)| PlanIdentity { identity, labels }).collect()
}
