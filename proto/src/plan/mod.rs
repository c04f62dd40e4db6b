//! The plan codec: [`Plan`] in blocks → manifest and chunks, and back, checked.
//!
//! A manifest names the chunks of the node's own part, and, by lists that are chunks themselves, those of the blocks that it
//! shares with other nodes. Where one block changes, its chunk is written once for all, and for each node that has it, a piece
//! of a list and the manifest: some three kilobytes.
//!
//! Equal plans in equal blocks are equal bytes, whatever made them. What can't be a plan is refused before any of it is used.

mod demands;
mod encode;
mod manifest;
mod parts;
mod pieces;
mod verify;
mod wire_form;

use selvedge_topology::plan::Plan;

pub use encode::{
    EncodedBlock, EncodedPlan, encode_block, encode_names, encode_node, encode_own, encode_plan,
};
pub use manifest::{Manifest, Outline, check_size};
pub use pieces::Pieces;
pub use verify::PlanError;

use crate::chunks::{ChunkError, Chunks};
use crate::convert::DecodeError;
use crate::digest::Digest;

/// The version of the format that this crate reads and writes.
const FORMAT: u32 = 4;
/// No manifest names more chunks of a node's own, or more lists: at 34 bytes each it stays a small value in etcd.
const MAX_PLAN_NAMES: usize = 4096;
/// No lists of one plan name more chunks: a million addresses are in some thousand, small blocks in one each.
pub const MAX_PLAN_CHUNKS: usize = 64 << 10;
/// No plan's chunks have more bytes together: a million addresses have some 30 MB.
pub const MAX_PLAN_BYTES: usize = 256 << 20;

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
    /// A chunk can't be read, or is not there.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// It is larger than any plan.
    #[error("the chunks of the plan have {bytes} bytes or more, at most {MAX_PLAN_BYTES} are allowed")]
    TooLarge {
        /// How large those are that were counted.
        bytes: usize,
    },
    /// The entries are well formed and don't make a plan.
    #[error("not a plan: {0}")]
    Plan(#[from] PlanError),
}

/// Reads a plan from its manifest and the chunks that leads to: [`Manifest::decode`] and [`Manifest::plan`] in one.
pub fn decode_plan(digest: Digest, manifest: &[u8], chunks: &Chunks) -> Result<Plan, PlanDecodeError> {
    Manifest::decode(digest, manifest)?.plan(chunks)
}
