//! What documents would make of the fabric.

use std::collections::BTreeMap;

use selvedge_proto::{ChunkError, Chunks, Digest};
use selvedge_topology::compile::CompileError;
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::Model;
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::{Obstacles, SeenNode};
use selvedge_topology::plan::CapacityError;

use super::Workshop;

/// The plans of a model, as they will lie in etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The manifest of each node's plan.
    pub plans: BTreeMap<NodeName, Digest>,
    /// Manifests that are new, by digest.
    pub manifests: BTreeMap<Digest, Vec<u8>>,
    /// Chunks that are new, by digest.
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
    /// Compiles `model` from nothing and encodes all plans, and holds them against what nodes have reported.
    pub fn new(
        model: &Model,
        identities: &IdentityTable,
        seen: &BTreeMap<NodeName, SeenNode>,
    ) -> Result<Self, ProposalError> {
        let (workshop, fresh) = Workshop::new(model, identities)?;
        Ok(workshop.proposal(fresh, model, seen))
    }
}
