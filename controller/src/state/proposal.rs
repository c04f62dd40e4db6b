//! What documents would make of the fabric: plans, encoded, for every node.

use std::collections::BTreeMap;

use selvedge_proto::plan::encode_plan;
use selvedge_proto::{ChunkError, Chunks, Digest};
use selvedge_topology::compile::{CompileError, compile};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::Model;
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::{Obstacles, SeenNode, obstacles};
use selvedge_topology::plan::{BlockPlan, CapacityError};

/// The plans of a model, as they will lie in etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The manifest of each node's plan.
    pub plans: BTreeMap<NodeName, Digest>,
    /// Manifests by digest.
    pub manifests: BTreeMap<Digest, Vec<u8>>,
    /// Chunks by digest.
    pub chunks: Chunks,
    /// What is known to speak against them.
    pub obstacles: Obstacles,
}

/// Documents that are valid and still can't be enforced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// They can't be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A plan is larger than the tables.
    #[error("{0}; split its workloads over more nodes, or name fewer peers and CIDRs")]
    Capacity(#[from] CapacityError),
    /// A plan can't be encoded.
    #[error("a plan can't be encoded: {0}")]
    Encode(#[from] ChunkError),
}

impl Proposal {
    /// Compiles and encodes; checks that every plan fits the tables, and holds it against what nodes have reported.
    pub fn new(
        model: &Model,
        identities: &IdentityTable,
        seen: &BTreeMap<NodeName, SeenNode>,
    ) -> Result<Self, ProposalError> {
        let plans = compile(model, identities)?;
        let mut proposal = Self {
            plans: BTreeMap::new(),
            manifests: BTreeMap::new(),
            chunks: Chunks::new(),
            obstacles: obstacles(model, &plans, seen),
        };
        for (node, plan) in plans {
            plan.check_capacity()?;
            let encoded = encode_plan(&BlockPlan::from(plan))?;
            proposal.plans.insert(node, encoded.digest);
            proposal.manifests.insert(encoded.digest, encoded.manifest);
            proposal.chunks.append(encoded.chunks);
        }
        Ok(proposal)
    }
}
