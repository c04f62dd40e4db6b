//! What a node has to enforce: the tiny value that agents watch.

use prost::Message;
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Generation;

use crate::convert::DecodeError;
use crate::digest::Digest;
use crate::signature::{FabricId, Signature, statement};
use crate::wire;

/// The value of [`crate::keys::target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The generation the node is to have in force: the one in which its plan last changed.
    pub generation: Generation,
    /// The manifest of its plan: [`crate::keys::manifest`].
    pub manifest: Digest,
    /// The fabric's, over [`Target::statement`]; none where nobody asks for one.
    pub signature: Option<Signature>,
}

impl Target {
    /// What is signed: that `node` of `fabric` is to enforce this manifest as this generation. Everything before
    /// the node's name has a fixed length.
    pub fn statement(&self, fabric: FabricId, node: &NodeName) -> Vec<u8> {
        let Self { generation, manifest, signature: _ } = self;
        let mut bytes = statement("target 1", fabric);
        bytes.extend_from_slice(&generation.0.to_be_bytes());
        bytes.extend_from_slice(manifest.as_bytes());
        bytes.extend_from_slice(node.as_str().as_bytes());
        bytes
    }

    /// As it lies in etcd.
    pub fn encode(&self) -> Vec<u8> {
        wire::Target::from(*self).encode_to_vec()
    }

    /// Reads what lies in etcd. Whether its signature is right is for those to say who know the key.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::Target::decode(bytes)?.try_into()
    }
}

impl From<Target> for wire::Target {
    fn from(Target { generation, manifest, signature }: Target) -> Self {
        Self { generation: generation.0, manifest: manifest.into(), signature: Signature::encode(signature) }
    }
}

impl TryFrom<wire::Target> for Target {
    type Error = DecodeError;
    fn try_from(wire::Target { generation, manifest, signature }: wire::Target) -> Result<Self, DecodeError> {
        if generation == 0 {
            return Err(DecodeError::Missing { field: "generation" });
        }
        Ok(Self {
            generation: Generation(generation),
            manifest: manifest.as_slice().try_into()?,
            signature: Signature::decode(&signature)?,
        })
    }
}
