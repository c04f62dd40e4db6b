//! [`Plan`] → manifest and chunks.

use selvedge_topology::plan::Plan;

use super::{Manifest, Sections, demands, wire_form};
use crate::chunks::{ChunkError, Chunks, cut};
use crate::digest::Digest;

/// A plan as it lies in etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedPlan {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// Their digest: what a target names.
    pub digest: Digest,
    /// The chunks that the manifest names.
    pub chunks: Chunks,
}

/// Encodes a plan; equal plans give equal bytes.
///
/// Fails only where one entry alone is larger than a chunk, which no plan of valid documents has.
pub fn encode_plan(plan: &Plan) -> Result<EncodedPlan, ChunkError> {
    let Plan {
        node,
        role,
        timeouts,
        ports,
        demands: demanded,
        workloads,
        addresses,
        rows,
        sets,
        rules,
        identities,
    } = plan;
    let mut chunks = Chunks::new();
    let sections = Sections {
        ports: cut(ports.iter().map(wire_form::port_to_wire), &mut chunks)?,
        workloads: cut(workloads.iter().map(wire_form::workload_to_wire), &mut chunks)?,
        addresses: cut(addresses.iter().map(wire_form::address_to_wire), &mut chunks)?,
        rows: cut(rows.iter().flat_map(wire_form::row_to_wire), &mut chunks)?,
        sets: cut(sets.iter().flat_map(wire_form::set_to_wire), &mut chunks)?,
        rules: cut(rules.iter().map(wire_form::rule_to_wire), &mut chunks)?,
        identities: cut(identities.iter().map(wire_form::identity_to_wire), &mut chunks)?,
        demands: cut(demands::to_wire(demanded), &mut chunks)?,
    };
    let manifest = Manifest { node: node.clone(), role: *role, timeouts: *timeouts, sections }.encode();
    Ok(EncodedPlan { digest: Digest::of(&manifest), manifest, chunks })
}
