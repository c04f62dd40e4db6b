//! What goes over wires: protobuf services, conversions between wire and model, and the etcd key layout.
//!
//! [`wire`] has the generated types; they stop at the edge. Everything that was read from outside becomes a
//! type of the model, or one of this crate ([`Target`], [`Report`], [`Flow`]), through a decoder that is
//! total: it never panics, its memory is bounded by its input, and what it refuses it names
//! ([`DecodeError`]). Conversions take every field apart by name, so that a new one can't be forgotten.

mod chunks;
mod convert;
mod device;
mod digest;
mod flow;
mod generation;
mod identity;
pub mod keys;
pub mod plan;
mod port;
mod proof;
mod report;
mod service;
mod signature;
mod sources;
mod target;

pub use chunks::{ChunkError, Chunks, MAX_CHUNK_BYTES, names_in};
pub use convert::DecodeError;
pub use device::MAX_SHED;
pub use digest::Digest;
pub use flow::{Flow, FlowEnd, FlowReason, FlowRule, MAX_BATCH_FLOWS, Mode, Observed, Transport, Verdict};
pub use generation::{
    GenerationRecord, RecordError, Summary, TargetList, millis, targets_from_wire, targets_to_wire, time,
};
pub use identity::{decode_identity, encode_identity};
pub use port::{EgressReport, MAX_PAST, PortReport};
pub use proof::ProofReport;
pub use report::{
    Count, MAX_PORTS, MAX_REASON_COUNTS, MAX_REVOCATIONS, MAX_RULE_COUNTS, MAX_SERVICES, MAX_TEXT, Occupancy,
    Refusal, Report, RevocationReport,
};
pub use signature::{FabricId, Signature, hexadecimal};
pub use sources::Sources;
pub use target::Target;

/// The largest message either side of the API takes: documents of a whole fabric fit.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// All services and messages, as a `FileDescriptorSet`: for whoever has to go through every method that there is.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The generated types, clients and servers of package `selvedge.v1`.
#[allow(missing_docs, reason = "generated; the .proto files document them")]
#[allow(clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]
#[allow(clippy::needless_pass_by_value, clippy::semicolon_if_nothing_returned, reason = "generated")]
#[allow(clippy::map_unwrap_or, clippy::uninlined_format_args, reason = "generated")]
pub mod wire {
    tonic::include_proto!("selvedge.v1");
}
