//! [`BlockPlan`] → manifest and chunks: blocks once for all nodes, the rest node by node.

use selvedge_topology::plan::{Block, BlockPlan, Plan};

use super::{Manifest, parts};
use crate::chunks::{ChunkError, Chunks, Cut, DigestList, cut};
use crate::digest::Digest;

/// A block as it lies in etcd: once, however many nodes have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedBlock {
    /// The digests of its chunks, in order.
    pub digests: Vec<Digest>,
    /// The chunks.
    pub chunks: Chunks,
}

/// A plan as it lies in etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedPlan {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// Their digest: what a target names.
    pub digest: Digest,
    /// The chunks that it leads to.
    pub chunks: Chunks,
}

/// Encodes a block; equal blocks give equal bytes.
///
/// Fails only where one entry alone is larger than a chunk, which no plan of valid documents has.
pub fn encode_block(block: &Block) -> Result<EncodedBlock, ChunkError> {
    let mut chunks = Chunks::new();
    let digests = cut(parts::of_block(block), Cut::CONTENT, &mut chunks)?;
    Ok(EncodedBlock { digests, chunks })
}

/// Encodes a node's own part of its plan, as a block.
///
/// Fails as [`encode_block`] does.
pub fn encode_own(own: &Plan) -> Result<EncodedBlock, ChunkError> {
    let mut chunks = Chunks::new();
    let digests = cut(parts::of_plan(own), Cut::CONTENT, &mut chunks)?;
    Ok(EncodedBlock { digests, chunks })
}

/// Encodes which parts a node's plan has: its own, whose chunks are `names`, and the blocks that it shares, in the order of
/// [`BlockPlan::shared`], as [`encode_block`] has them. The chunks of the parts are not among those returned.
///
/// Fails as [`encode_block`] does.
pub fn encode_names<'a>(
    own: &Plan,
    names: Vec<Digest>,
    shared: impl IntoIterator<Item = &'a [Digest]>,
) -> Result<EncodedPlan, ChunkError> {
    let mut chunks = Chunks::new();
    let shared = DigestList::cut(shared.into_iter().flatten().copied(), &mut chunks)?;
    let Plan { node, role, timeouts, .. } = own;
    let manifest = Manifest { node: node.clone(), role: *role, timeouts: *timeouts, own: names, shared };
    let manifest = manifest.encode();
    Ok(EncodedPlan { digest: Digest::of(&manifest), manifest, chunks })
}

/// Encodes what is one node's alone: its part of the plan, and which parts there are ([`encode_names`]).
///
/// Fails as [`encode_block`] does.
pub fn encode_node<'a>(
    own: &Plan,
    shared: impl IntoIterator<Item = &'a [Digest]>,
) -> Result<EncodedPlan, ChunkError> {
    let EncodedBlock { digests, chunks } = encode_own(own)?;
    let mut encoded = encode_names(own, digests, shared)?;
    encoded.chunks.append(chunks);
    Ok(encoded)
}

/// Encodes a plan with all its blocks; equal plans in equal blocks give equal bytes.
///
/// Fails as [`encode_block`] does.
pub fn encode_plan(plan: &BlockPlan) -> Result<EncodedPlan, ChunkError> {
    let BlockPlan { own, shared } = plan;
    let blocks = shared.iter().map(|block| encode_block(block)).collect::<Result<Vec<_>, _>>()?;
    let mut encoded = encode_node(own, blocks.iter().map(|block| block.digests.as_slice()))?;
    for block in blocks {
        encoded.chunks.append(block.chunks);
    }
    Ok(encoded)
}
