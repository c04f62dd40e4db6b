//! The plan codec: [`Plan`] → manifest and chunks, and back, checked.
//!
//! Equal plans are equal bytes, whatever made them. What can't be a plan is refused before any of it is used.

mod demands;
mod encode;
mod verify;
mod wire_form;

use std::collections::BTreeSet;

use prost::Message;
use selvedge_topology::model::NodeRole;
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Plan;
use selvedge_topology::timeouts::Timeouts;

pub use encode::{EncodedPlan, encode_plan};
pub use verify::PlanError;

use crate::chunks::{ChunkError, Chunks, join};
use crate::convert::{DecodeError, at_most, name, node_role_from_wire, node_role_to_wire, present};
use crate::digest::Digest;
use crate::wire;

/// The version of the format that this crate reads and writes.
const FORMAT: u32 = 3;
/// No manifest names more chunks: at 34 bytes each it stays a small value in etcd.
pub const MAX_PLAN_CHUNKS: usize = 4096;

/// What chunks a node's plan is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    node: NodeName,
    role: NodeRole,
    timeouts: Timeouts,
    sections: Sections,
}

/// The digests of each section's chunks, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sections {
    ports: Vec<Digest>,
    workloads: Vec<Digest>,
    addresses: Vec<Digest>,
    rows: Vec<Digest>,
    sets: Vec<Digest>,
    rules: Vec<Digest>,
    identities: Vec<Digest>,
    demands: Vec<Digest>,
}

impl Sections {
    fn all(&self) -> impl Iterator<Item = &Digest> {
        let Self { ports, workloads, addresses, rows, sets, rules, identities, demands } = self;
        [ports, workloads, addresses, rows, sets, rules, identities, demands].into_iter().flatten()
    }
}

/// A manifest or plan that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanDecodeError {
    /// The manifest is not what its digest says.
    #[error("manifest {digest} holds something else: its content has digest {found}")]
    Corrupt {
        /// The digest it was asked for by.
        digest: Digest,
        /// That of its content.
        found: Digest,
    },
    /// Written by a controller that speaks another format.
    #[error(
        "the plan has format {found}, this version reads {FORMAT}: upgrade the older of agent and controller"
    )]
    Format {
        /// The format it says.
        found: u32,
    },
    /// The manifest can't be read.
    #[error("manifest: {0}")]
    Manifest(DecodeError),
    /// A section can't be put together.
    #[error("{section}: {source}")]
    Chunk {
        /// The section.
        section: &'static str,
        /// What is wrong.
        source: ChunkError,
    },
    /// An entry says what can't be.
    #[error("{section}: {source}")]
    Entry {
        /// The section.
        section: &'static str,
        /// What is wrong.
        source: DecodeError,
    },
    /// The entries are well formed and don't make a plan.
    #[error("not a plan: {0}")]
    Plan(#[from] PlanError),
}

impl Manifest {
    /// The node it is for.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// The digests of all chunks it names, each once.
    pub fn chunks(&self) -> BTreeSet<Digest> {
        self.sections.all().copied().collect()
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Self { node, role, timeouts, sections } = self;
        let Sections { ports, workloads, addresses, rows, sets, rules, identities, demands } = sections;
        let list = |digests: &[Digest]| digests.iter().map(|digest| (*digest).into()).collect();
        let manifest = wire::Manifest {
            format: FORMAT,
            node: node.to_string(),
            role: node_role_to_wire(*role),
            ports: list(ports),
            workloads: list(workloads),
            addresses: list(addresses),
            rows: list(rows),
            sets: list(sets),
            rules: list(rules),
            identities: list(identities),
            demands: list(demands),
            timeouts: Some(wire_form::timeouts_to_wire(timeouts)),
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
        let wire::Manifest {
            format: _,
            node,
            role,
            ports,
            workloads,
            addresses,
            rows,
            sets,
            rules,
            identities,
            timeouts,
            demands,
        } = manifest;
        let list = |digests: Vec<Vec<u8>>| {
            digests.iter().map(|digest| Digest::try_from(digest.as_slice())).collect::<Result<Vec<_>, _>>()
        };
        let sections = Sections {
            ports: list(ports)?,
            workloads: list(workloads)?,
            addresses: list(addresses)?,
            rows: list(rows)?,
            sets: list(sets)?,
            rules: list(rules)?,
            identities: list(identities)?,
            demands: list(demands)?,
        };
        at_most("chunks of one plan", sections.all().count(), MAX_PLAN_CHUNKS)?;
        Ok(Self {
            node: name("node", &node)?,
            role: node_role_from_wire(role)?,
            timeouts: wire_form::timeouts(present("timeouts", timeouts)?),
            sections,
        })
    }

    /// Puts the plan together and checks that it is one. `chunks` may hold more than is needed.
    pub fn plan(&self, chunks: &Chunks) -> Result<Plan, PlanDecodeError> {
        let Self { node, role, timeouts, sections } = self;
        let Sections { ports, workloads, addresses, rows, sets, rules, identities, demands } = sections;
        let plan = Plan {
            node: node.clone(),
            role: *role,
            timeouts: *timeouts,
            ports: section("ports", ports, chunks, wire_form::port)?,
            demands: demands::join(section("demands", demands, chunks, demands::from_wire)?),
            workloads: section("workloads", workloads, chunks, wire_form::workload)?,
            addresses: section("addresses", addresses, chunks, wire_form::address)?,
            rows: wire_form::join_rows(section("rows", rows, chunks, wire_form::row)?),
            sets: wire_form::join_sets(section("sets", sets, chunks, wire_form::set)?),
            rules: section("rules", rules, chunks, wire_form::rule)?,
            identities: section("identities", identities, chunks, wire_form::identity)?,
        };
        verify::verify(&plan)?;
        Ok(plan)
    }
}

fn section<M: Message + Default, T>(
    section: &'static str,
    digests: &[Digest],
    chunks: &Chunks,
    read: fn(M) -> Result<T, DecodeError>,
) -> Result<Vec<T>, PlanDecodeError> {
    let messages = join::<M>(digests, chunks).map_err(|source| PlanDecodeError::Chunk { section, source })?;
    let read = messages.into_iter().map(read).collect::<Result<_, _>>();
    read.map_err(|source| PlanDecodeError::Entry { section, source })
}

/// Reads a plan from its manifest and the chunks that names: [`Manifest::decode`] and [`Manifest::plan`] in one.
pub fn decode_plan(digest: Digest, manifest: &[u8], chunks: &Chunks) -> Result<Plan, PlanDecodeError> {
    Manifest::decode(digest, manifest)?.plan(chunks)
}
