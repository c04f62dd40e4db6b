//! What was read of a plan, kept for the plan after it: a change of a few blocks then reads those, and looks at what they say.

use std::collections::BTreeMap;
use std::sync::Arc;

use selvedge_topology::plan::{Block, BlockPlan, Joined, Plan};

use super::parts::{self, Own};
use super::verify::{self, PlanError};
use crate::chunks::{ChunkError, Chunks, each};
use crate::digest::Digest;

/// The plan that was read last, in pieces.
#[derive(Debug, Default)]
pub struct Pieces {
    /// The node's own part, and the chunks that it was in.
    own: Option<(Vec<Digest>, Plan)>,
    /// What nodes share, in order.
    shared: Vec<Arc<Piece>>,
    /// All together, as far as it is a plan.
    last: Option<Joined>,
}

/// What was read of a run of chunks, each but the first of which goes on with something.
#[derive(Debug)]
struct Piece {
    names: Vec<Digest>,
    block: Arc<Block>,
}

impl Piece {
    fn read(names: Vec<Digest>, chunks: &Chunks) -> Result<Arc<Self>, ChunkError> {
        let mut block = Block::default();
        each(names.iter().copied(), chunks, |part| parts::take_shared(&mut block, part))?;
        Ok(Arc::new(Self { names, block: Arc::new(block) }))
    }
}

impl Pieces {
    /// The node's own part, in chunks of these `names`: what `whole` makes of it.
    pub(super) fn own(
        &mut self,
        names: &[Digest],
        chunks: &Chunks,
        whole: impl FnOnce(Own) -> Plan,
    ) -> Result<Plan, ChunkError> {
        if let Some((known, own)) = &self.own
            && known == names
        {
            return Ok(own.clone());
        }
        let mut own = Own::default();
        each(names.iter().copied(), chunks, |part| parts::take_own(&mut own, part))?;
        let own = whole(own);
        self.own = Some((names.to_vec(), own.clone()));
        Ok(own)
    }

    /// What `names` hold, as far as possible from what was read before. What no name is of is forgotten.
    pub(super) fn read(&mut self, names: &[Digest], chunks: &Chunks) -> Result<Vec<Arc<Block>>, ChunkError> {
        let mut rest = names;
        let begins = self.shared.iter().map_while(|piece| {
            rest = rest.strip_prefix(&piece.names[..])?;
            Some(piece)
        });
        let mut pieces: Vec<Arc<Piece>> = begins.cloned().collect();
        let known = &self.shared[pieces.len()..];
        let ends = known.iter().rev().map_while(|piece| {
            rest = rest.strip_suffix(&piece.names[..])?;
            Some(piece)
        });
        let ends = known.len() - ends.count();
        let (known, ends) = known.split_at(ends);
        let known: BTreeMap<Digest, &Arc<Piece>> =
            known.iter().map(|piece| (piece.names[0], piece)).collect();
        while let [name, ..] = rest {
            let known = known.get(name).filter(|piece| rest.starts_with(&piece.names));
            let alone = match known {
                Some(piece) => Ok(Arc::clone(piece)),
                None => Piece::read(vec![*name], chunks),
            };
            match (alone, pieces.last_mut()) {
                (Ok(piece), _) => {
                    rest = &rest[piece.names.len()..];
                    pieces.push(piece);
                }
                // A row or list that is longer than a chunk goes on in the next one.
                (Err(_), Some(begun)) => {
                    *begun = Piece::read([&begun.names[..], &[*name]].concat(), chunks)?;
                    rest = &rest[1..];
                }
                (Err(error), None) => return Err(error),
            }
        }
        pieces.extend_from_slice(ends);
        self.shared = pieces;
        Ok(self.shared.iter().map(|piece| Arc::clone(&piece.block)).collect())
    }

    /// All parts together, if they make a plan.
    pub(super) fn join(&mut self, parts: BlockPlan) -> Result<Plan, PlanError> {
        let (joined, is_sound) = match self.last.take() {
            None => (Joined::new(parts), false),
            Some(last) => {
                let before = last.plan().clone();
                match last.next(parts) {
                    Ok(joined) => {
                        let is_sound = verify::still_holds(&before, joined.plan());
                        (joined, is_sound)
                    }
                    Err(parts) => (Joined::new(*parts), false),
                }
            }
        };
        if !is_sound {
            verify::verify(joined.plan())?;
        }
        Ok(self.last.insert(joined).plan().clone())
    }
}
