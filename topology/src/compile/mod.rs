//! Model and identities → one plan for each node with an agent.
//!
//! [`peers`] sorts every address of the fabric into classes that no rule can tell apart, [`rows`] decides for
//! each subject what it does with each class, [`sets`] folds the rules that match one class into a decision
//! list over all layer-4 keys, [`nodes`] says which of that a node has. Rows do not depend on the node, so each
//! is made once for the whole fabric.
//!
//! A [`Compiler`] keeps what it made: a change costs what it touches. Compiling from nothing is a change of
//! everything, so there is one way only to a plan.

mod change;
mod cidrs;
mod kinds;
mod nodes;
mod numbers;
mod peers;
mod rows;
mod sets;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

pub use change::Before;
pub(crate) use change::named_cidrs;
pub(crate) use cidrs::Cidrs;
pub(crate) use sets::resolve;

use crate::identity::{Class, Identity, IdentityTable};
use crate::model::{AgentPresence, Model, Node};
use crate::names::{NodeName, WorkloadName};
use crate::plan::{Block, BlockPlan, CapacityError, Needs, Plan, SetId};

use nodes::NodePart;
use numbers::Numbers;
use peers::Peers;
use rows::Subject;
use sets::Lists;

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

/// Why a change did not come about.
#[derive(Debug)]
enum Halt {
    /// It can't be compiled.
    Error(CompileError),
    /// Numbers of classes collide, and what is next free depends on all of them.
    Crowded,
}

impl From<CompileError> for Halt {
    fn from(error: CompileError) -> Self {
        Self::Error(error)
    }
}

/// Compiles `model` to one plan for each node with an agent.
///
/// The result depends only on what the documents mean: not on the order of documents, rules or labels.
pub fn compile(model: &Model, identities: &IdentityTable) -> Result<BTreeMap<NodeName, Plan>, CompileError> {
    let compiler = Compiler::new(model, identities)?;
    Ok(compiler.plans().map(|plan| (plan.own.node.clone(), plan.join())).collect())
}

/// The parts of a node's plan, where its compiler keeps them: what a change does not touch stays where it is.
#[derive(Clone, Debug)]
pub struct Parts<'c> {
    /// What no other node has.
    pub own: &'c Arc<Plan>,
    /// What others have, too.
    pub shared: Vec<&'c Arc<Block>>,
}

impl Parts<'_> {
    /// As [`Plan::check_capacity`] of the whole, whose parts have these needs, each by itself.
    pub fn check_capacity(&self, needs: impl IntoIterator<Item = Needs>) -> Result<(), CapacityError> {
        // Together, parts need no more than apart: the whole is put together only where that might be too much.
        let apart: Needs = needs.into_iter().sum();
        if apart.fit() { Ok(()) } else { self.whole().join().check_capacity() }
    }

    fn whole(&self) -> BlockPlan {
        BlockPlan { own: Plan::clone(self.own), shared: self.shared.iter().copied().cloned().collect() }
    }
}

/// The plans of a model, kept so that a change of it touches only what it changes.
#[derive(Debug)]
pub struct Compiler {
    peers: Peers,
    subjects: BTreeMap<Identity, Subject>,
    lists: Lists,
    nodes: BTreeMap<NodeName, NodePart>,
}

impl Compiler {
    /// Compiles `model` from nothing.
    pub fn new(model: &Model, identities: &IdentityTable) -> Result<Self, CompileError> {
        let enabled = |node: &&Node| node.agent == AgentPresence::Enabled;
        let nodes: Vec<&Node> = model.fabric.nodes.values().filter(enabled).collect();
        Self::of(model, identities, &nodes, || model.workloads.keys().collect())
    }

    /// Compiles what policy says, and no plan of any node.
    pub(crate) fn without_nodes(model: &Model, identities: &IdentityTable) -> Result<Self, CompileError> {
        // One workload of each class tells as much of policy as all of them.
        let tell = change::one_of_each(model, identities)?;
        Self::of(model, identities, &[], || tell.clone())
    }

    fn of<'m>(
        model: &'m Model,
        identities: &IdentityTable,
        nodes: &[&Node],
        workloads: impl Fn() -> Vec<&'m WorkloadName>,
    ) -> Result<Self, CompileError> {
        let mut compiler = Self::empty(model, nodes, Numbers::default());
        match compiler.begin(model, identities, workloads()) {
            Ok(()) => return Ok(compiler),
            Err(Halt::Error(error)) => return Err(error),
            Err(Halt::Crowded) => {}
        }
        let mut compiler = Self::empty(model, nodes, Numbers::of_all(change::pairs(model, identities)?));
        match compiler.begin(model, identities, workloads()) {
            Ok(()) => Ok(compiler),
            Err(Halt::Error(error)) => Err(error),
            Err(Halt::Crowded) => unreachable!("every pair has a number"),
        }
    }

    /// Compiles what changed in `model`: documents other than the fabric itself, which were as `before` says. Numbers for what is
    /// new must be among `identities`. Says which nodes may have another plan than before.
    ///
    /// After an error there is no compiler; make a new one.
    pub fn update(
        mut self,
        model: &Model,
        identities: &IdentityTable,
        before: &Before<'_>,
    ) -> Result<(Self, BTreeSet<NodeName>), CompileError> {
        match self.change(model, identities, before) {
            Ok(nodes) => Ok((self, nodes)),
            Err(Halt::Error(error)) => Err(error),
            Err(Halt::Crowded) => {
                let fresh = Self::new(model, identities)?;
                let differs = |node: &&NodeName| self.plan(node) != fresh.plan(node);
                let nodes = fresh.nodes.keys().filter(differs).cloned().collect();
                Ok((fresh, nodes))
            }
        }
    }

    /// The nodes with an agent.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.nodes.keys()
    }

    /// What the plan of `node` is made of; none where it has no agent.
    pub fn parts(&self, node: &NodeName) -> Option<Parts<'_>> {
        self.nodes.get(node).map(|part| self.parts_of(part))
    }

    /// The plan of `node`; none where it has no agent.
    pub fn plan(&self, node: &NodeName) -> Option<BlockPlan> {
        self.parts(node).map(|parts| parts.whole())
    }

    /// All plans, by node.
    pub fn plans(&self) -> impl Iterator<Item = BlockPlan> {
        self.nodes.values().map(|part| self.parts_of(part).whole())
    }

    /// What is each node's own of its plan, by node.
    pub fn own(&self) -> impl Iterator<Item = &Plan> {
        self.nodes.values().map(|part| &*part.own)
    }

    /// What each kind of workloads that nodes enforce for does with all others, by identity.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = (Identity, &Block)> {
        self.subjects.iter().map(|(identity, subject)| (*identity, &*subject.block))
    }

    /// What policy takes an address for: of a workload, a node or, with `Identity::WORLD`, of nobody.
    pub(crate) fn class(&self, identity: Identity, address: IpAddr) -> Class {
        self.peers.class(identity, address)
    }

    fn parts_of<'c>(&'c self, part: &'c NodePart) -> Parts<'c> {
        let subjects = part.subjects.keys().filter_map(|subject| Some(&self.subjects.get(subject)?.block));
        let peers = part.peers.iter().filter_map(|block| self.peers.block(*block));
        Parts { own: &part.own, shared: subjects.chain(peers).collect() }
    }

    fn empty(model: &Model, nodes: &[&Node], numbers: Numbers) -> Self {
        Self {
            peers: Peers::new(numbers),
            subjects: BTreeMap::new(),
            lists: Lists::default(),
            nodes: nodes.iter().map(|node| (node.name.clone(), NodePart::new(node, &model.fabric))).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
