//! The plans of the desired state, compiled, encoded, and kept: a change costs what it touches.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use selvedge_proto::plan::{EncodedBlock, EncodedPlan, encode_block, encode_names, encode_own};
use selvedge_proto::{Chunks, Digest};
use selvedge_topology::compile::{Before, Compiler, Parts};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::Model;
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::{SeenNode, obstacles};
use selvedge_topology::plan::{Block, Needs, Plan};

use super::{Proposal, ProposalError};

/// The plans of a model.
#[derive(Debug)]
pub struct Workshop {
    compiler: Compiler,
    blocks: Blocks,
    nodes: BTreeMap<NodeName, Made>,
}

/// The plan of one node, as it lies in etcd.
#[derive(Debug)]
struct Made {
    manifest: Digest,
    own: Own,
    /// The chunks that name the shared ones.
    lists: BTreeSet<Digest>,
}

/// A node's own part of its plan: looked at and encoded again only where the compiler has another one.
#[derive(Clone, Debug)]
struct Own {
    plan: Arc<Plan>,
    needs: Needs,
    chunks: Vec<Digest>,
}

/// What plans are made of that were not there before.
#[derive(Debug, Default)]
pub struct Additions {
    manifests: BTreeMap<Digest, Vec<u8>>,
    chunks: Chunks,
}

impl Additions {
    /// Manifests and chunks.
    pub fn into_parts(self) -> (BTreeMap<Digest, Vec<u8>>, Chunks) {
        (self.manifests, self.chunks)
    }
}

impl Workshop {
    /// Compiles `model` from nothing: everything is new.
    pub fn new(model: &Model, identities: &IdentityTable) -> Result<(Self, Additions), ProposalError> {
        let compiler = Compiler::new(model, identities)?;
        let all = compiler.nodes().cloned().collect();
        let mut workshop = Self { compiler, blocks: Blocks::default(), nodes: BTreeMap::new() };
        let fresh = workshop.make(&all)?;
        Ok((workshop, fresh))
    }

    /// Compiles what changed in `model`, which was as `before` says. After an error there is no workshop.
    pub fn update(
        self,
        model: &Model,
        identities: &IdentityTable,
        before: &Before<'_>,
    ) -> Result<(Self, Additions), ProposalError> {
        let (compiler, touched) = self.compiler.update(model, identities, before)?;
        let mut workshop = Self { compiler, ..self };
        let fresh = workshop.make(&touched)?;
        Ok((workshop, fresh))
    }

    /// The manifest of each node's plan.
    pub fn plans(&self) -> BTreeMap<NodeName, Digest> {
        self.nodes.iter().map(|(node, made)| (node.clone(), made.manifest)).collect()
    }

    /// All plans, with what is `fresh`, held against what nodes have reported.
    pub fn proposal(&self, fresh: Additions, model: &Model, seen: &BTreeMap<NodeName, SeenNode>) -> Proposal {
        let (plans, Additions { manifests, chunks }) = (self.plans(), fresh);
        Proposal { plans, manifests, chunks, obstacles: obstacles(model, self.compiler.own(), seen) }
    }

    /// Encodes the plans of `nodes`, and checks that each fits the tables.
    fn make(&mut self, nodes: &BTreeSet<NodeName>) -> Result<Additions, ProposalError> {
        let mut fresh = Additions::default();
        for node in nodes {
            let Some(parts) = self.compiler.parts(node) else { continue };
            let before = self.nodes.remove(node);
            let own = Own::of(parts.own, before.as_ref().map(|before| &before.own), &mut fresh.chunks)?;
            let EncodedPlan { manifest, digest, mut chunks } =
                self.blocks.encode(&parts, &own, &mut fresh.chunks)?;
            let made = Made { manifest: digest, own, lists: chunks.digests().collect() };
            self.nodes.insert(node.clone(), made);
            if before.as_ref().is_some_and(|before| before.manifest == digest) {
                continue;
            }
            chunks.retain(|digest| before.as_ref().is_none_or(|before| !before.lists.contains(&digest)));
            fresh.chunks.append(chunks);
            fresh.manifests.insert(digest, manifest);
        }
        self.blocks.drop_unused();
        Ok(fresh)
    }
}

impl Own {
    /// That of `plan`, where there was `before`. Enters in `fresh` the chunks that were not there.
    fn of(plan: &Arc<Plan>, before: Option<&Self>, fresh: &mut Chunks) -> Result<Self, ProposalError> {
        if let Some(before) = before.filter(|before| Arc::ptr_eq(&before.plan, plan)) {
            return Ok(before.clone());
        }
        let EncodedBlock { digests, mut chunks } = encode_own(plan)?;
        chunks.retain(|digest| before.is_none_or(|before| !before.chunks.contains(&digest)));
        fresh.append(chunks);
        Ok(Self { plan: Arc::clone(plan), needs: plan.needs(), chunks: digests })
    }
}

/// The blocks that plans are made of, each looked at and encoded once. They are known by where they are in memory, and kept there.
#[derive(Debug, Default)]
struct Blocks(HashMap<usize, Known>);

#[derive(Debug)]
struct Known {
    block: Arc<Block>,
    needs: Needs,
    chunks: Vec<Digest>,
}

impl Blocks {
    /// Checks that the plan of these `parts` fits the tables, encodes which they are, and enters in `fresh` the chunks of blocks that
    /// no plan had before.
    fn encode(
        &mut self,
        parts: &Parts<'_>,
        own: &Own,
        fresh: &mut Chunks,
    ) -> Result<EncodedPlan, ProposalError> {
        for block in &parts.shared {
            if let Entry::Vacant(free) = self.0.entry(place(block)) {
                let EncodedBlock { digests, chunks } = encode_block(block)?;
                fresh.append(chunks);
                free.insert(Known { block: Arc::clone(block), needs: block.needs(), chunks: digests });
            }
        }
        let known: Vec<&Known> = parts.shared.iter().filter_map(|block| self.0.get(&place(block))).collect();
        parts.check_capacity(known.iter().map(|known| known.needs).chain([own.needs]))?;
        let shared = known.iter().map(|known| known.chunks.as_slice());
        Ok(encode_names(&own.plan, own.chunks.clone(), shared)?)
    }

    /// Drops those that only this has.
    fn drop_unused(&mut self) {
        self.0.retain(|_, known| Arc::strong_count(&known.block) > 1);
    }
}

fn place(block: &Arc<Block>) -> usize {
    Arc::as_ptr(block).addr()
}
