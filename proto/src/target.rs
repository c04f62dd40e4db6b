//! What a node has to enforce: the tiny value that agents watch.

use prost::Message;
use selvedge_topology::plan::Generation;

use crate::convert::DecodeError;
use crate::digest::Digest;
use crate::wire;

/// The value of [`crate::keys::target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The generation the node is to have in force.
    pub generation: Generation,
    /// The manifest of its plan: [`crate::keys::manifest`].
    pub manifest: Digest,
}

impl Target {
    /// As it lies in etcd.
    pub fn encode(&self) -> Vec<u8> {
        let Self { generation, manifest } = *self;
        wire::Target { generation: generation.0, manifest: manifest.into() }.encode_to_vec()
    }

    /// Reads what lies in etcd.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire::Target { generation, manifest } = wire::Target::decode(bytes)?;
        if generation == 0 {
            return Err(DecodeError::Missing { field: "generation" });
        }
        Ok(Self { generation: Generation(generation), manifest: manifest.as_slice().try_into()? })
    }
}
