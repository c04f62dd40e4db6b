//! What was read of a plan's shared chunks, kept for the plan after it: a change of a few blocks then reads those.

use std::collections::BTreeMap;
use std::sync::Arc;

use selvedge_topology::plan::{Block, BlockPlan, Plan, PlanAddress};

use super::parts;
use crate::chunks::{ChunkError, Chunks, each};
use crate::digest::Digest;

/// The plan that was read last, in pieces.
#[derive(Debug, Default)]
pub struct Pieces {
    /// What each chunk holds, of those that make sense by themselves.
    read: BTreeMap<Digest, Arc<Block>>,
    last: Option<Joined>,
}

#[derive(Debug)]
struct Joined {
    plan: BlockPlan,
    addresses: Vec<PlanAddress>,
}

impl Pieces {
    /// What `names` hold, as far as possible from what was read before. What no name is of is forgotten.
    pub(super) fn read(&mut self, names: &[Digest], chunks: &Chunks) -> Result<Vec<Arc<Block>>, ChunkError> {
        let mut before = std::mem::take(&mut self.read);
        let mut blocks: Vec<Arc<Block>> = Vec::with_capacity(names.len());
        for digest in names {
            let known = self.read.get(digest).cloned().or_else(|| before.remove(digest));
            let alone = match known {
                Some(block) => Ok(block),
                None => read_onto(Block::default(), *digest, chunks).map(Arc::new),
            };
            match (alone, blocks.last_mut()) {
                (Ok(block), _) => {
                    self.read.insert(*digest, Arc::clone(&block));
                    blocks.push(block);
                }
                // A row or list that is longer than a chunk goes on in the next one.
                (Err(_), Some(begun)) => *begun = read_onto((**begun).clone(), *digest, chunks)?.into(),
                (Err(error), None) => return Err(error),
            }
        }
        Ok(blocks)
    }

    /// All parts together.
    pub(super) fn join(&mut self, plan: BlockPlan) -> Plan {
        let joined = match &self.last {
            Some(Joined { plan: before, addresses }) => plan.join_after(before, addresses),
            None => plan.join(),
        };
        self.last = Some(Joined { plan, addresses: joined.addresses.clone() });
        joined
    }
}

/// What a chunk holds, behind what was read before it.
fn read_onto(mut block: Block, digest: Digest, chunks: &Chunks) -> Result<Block, ChunkError> {
    each([digest], chunks, |part| parts::take_shared(&mut block, part))?;
    Ok(block)
}
