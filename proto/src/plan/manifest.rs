//! Manifest and chunks → [`Plan`].

use prost::Message;
use selvedge_topology::model::NodeRole;
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::{Block, BlockPlan, Plan};
use selvedge_topology::timeouts::Timeouts;

use super::parts::Own;
use super::pieces::Pieces;
use super::{FORMAT, MAX_PLAN_BYTES, MAX_PLAN_CHUNKS, MAX_PLAN_NAMES, PlanDecodeError, demands, wire_form};
use crate::chunks::{Chunks, DigestList, digests_from_wire, digests_to_wire};
use crate::convert::{DecodeError, name, node_role_from_wire, node_role_to_wire, present};
use crate::digest::Digest;
use crate::wire;

/// What chunks a node's plan is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub(super) node: NodeName,
    pub(super) role: NodeRole,
    pub(super) timeouts: Timeouts,
    /// Chunks of the node's own part.
    pub(super) own: Vec<Digest>,
    /// Chunks of the blocks that others have, too.
    pub(super) shared: DigestList,
}

impl Manifest {
    /// The node it is for.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// The chunks of the node's own part.
    pub fn own(&self) -> impl Iterator<Item = Digest> {
        self.own.iter().copied()
    }

    /// The chunks that say which others there are: what [`Manifest::outline`] reads.
    pub fn lists(&self) -> impl Iterator<Item = Digest> {
        self.shared.chunks().iter().copied()
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Self { node, role, timeouts, own, shared } = self;
        let manifest = wire::Manifest {
            format: FORMAT,
            node: node.to_string(),
            role: node_role_to_wire(*role),
            timeouts: Some(wire_form::timeouts_to_wire(timeouts)),
            own: digests_to_wire(own),
            shared: shared.to_wire(),
        };
        manifest.encode_to_vec()
    }

    /// Reads a manifest that was asked for by `digest`.
    pub fn decode(digest: Digest, bytes: &[u8]) -> Result<Self, PlanDecodeError> {
        let found = Digest::of(bytes);
        if found != digest {
            return Err(PlanDecodeError::Corrupt { digest, found });
        }
        let manifest =
            wire::Manifest::decode(bytes).map_err(|error| PlanDecodeError::Manifest(error.into()))?;
        if manifest.format != FORMAT {
            return Err(PlanDecodeError::Format { found: manifest.format });
        }
        Self::from_wire(manifest).map_err(PlanDecodeError::Manifest)
    }

    fn from_wire(manifest: wire::Manifest) -> Result<Self, DecodeError> {
        let wire::Manifest { format: _, node, role, timeouts, own, shared } = manifest;
        Ok(Self {
            node: name("node", &node)?,
            role: node_role_from_wire(role)?,
            timeouts: wire_form::timeouts(present("timeouts", timeouts)?),
            own: digests_from_wire("chunks of a node's own", &own, MAX_PLAN_NAMES)?,
            shared: DigestList::from_wire("lists of chunks", &shared, MAX_PLAN_NAMES)?,
        })
    }

    /// Which chunks there are beside the lists. `chunks` has the lists, and may have more.
    pub fn outline(&self, chunks: &Chunks) -> Result<Outline<'_>, PlanDecodeError> {
        let shared = self.shared.read(chunks, MAX_PLAN_CHUNKS)?;
        let mut each: Vec<Digest> = self.own.iter().chain(&shared).copied().collect();
        each.sort_unstable();
        each.dedup();
        Ok(Outline { manifest: self, shared, each })
    }

    /// Adds all chunks of the plan to `chunks`, from wherever `get` has those that are not there yet.
    pub fn gather<E: From<PlanDecodeError>>(
        &self,
        chunks: &mut Chunks,
        mut get: impl FnMut(Digest) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        let mut take = |chunks: &mut Chunks, digest| -> Result<(), E> {
            if !chunks.contains(digest) {
                chunks.insert(digest, get(digest)?).map_err(PlanDecodeError::from)?;
            }
            Ok(())
        };
        self.lists().try_for_each(|digest| take(chunks, digest))?;
        let parts = self.outline(chunks)?.each;
        parts.into_iter().try_for_each(|digest| take(chunks, digest))
    }

    /// Puts the plan together and checks that it is one. `chunks` may hold more than is needed.
    pub fn plan(&self, chunks: &Chunks) -> Result<Plan, PlanDecodeError> {
        self.outline(chunks)?.plan(chunks)
    }
}

/// A manifest whose lists were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline<'a> {
    manifest: &'a Manifest,
    shared: Vec<Digest>,
    /// The chunks of both, sorted, each once.
    each: Vec<Digest>,
}

impl Outline<'_> {
    /// The chunks that hold the plan itself, sorted, each once.
    pub fn chunks(&self) -> Vec<Digest> {
        self.each.clone()
    }

    /// Puts the plan together and checks that it is one. `chunks` may hold more than is needed.
    pub fn plan(&self, chunks: &Chunks) -> Result<Plan, PlanDecodeError> {
        self.plan_after(chunks, &mut Pieces::default())
    }

    /// As [`Outline::plan`], reading only what is not in the plan before, which is in `pieces`.
    pub fn plan_after(&self, chunks: &Chunks, pieces: &mut Pieces) -> Result<Plan, PlanDecodeError> {
        let Manifest { node, role, timeouts, own: names, shared: _ } = self.manifest;
        self.check_size(chunks)?;
        let own = pieces.own(names, chunks, |own| {
            let Own { ports, demands, workloads, lists } = own;
            let Block { addresses, rows, sets, rules, identities } = lists;
            Plan {
                node: node.clone(),
                role: *role,
                timeouts: *timeouts,
                ports,
                demands: demands::join(demands),
                workloads,
                addresses: addresses.into(),
                rows: rows.into(),
                sets: sets.into(),
                rules: rules.into(),
                identities: identities.into(),
            }
        })?;
        let own = Plan { node: node.clone(), role: *role, timeouts: *timeouts, ..own };
        let shared = pieces.read(&self.shared, chunks)?;
        Ok(pieces.join(BlockPlan { own, shared })?)
    }

    /// Checks that the chunks are not too large together. One that is named again is read again: its bytes count as often.
    fn check_size(&self, chunks: &Chunks) -> Result<(), PlanDecodeError> {
        let names = || self.manifest.own.iter().chain(&self.shared);
        if names().count() == self.each.len() && chunks.bytes() <= MAX_PLAN_BYTES {
            return Ok(());
        }
        check_size(names().filter_map(|digest| chunks.get(*digest)).map(<[u8]>::len).sum())
    }
}

/// Checks how much the chunks of one plan have together: for whoever fetches them, before the next are fetched.
pub fn check_size(bytes: usize) -> Result<(), PlanDecodeError> {
    if bytes > MAX_PLAN_BYTES { Err(PlanDecodeError::TooLarge { bytes }) } else { Ok(()) }
}
