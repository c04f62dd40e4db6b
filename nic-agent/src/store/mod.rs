//! Where plans come from: etcd, and the copy of the last accepted one on disk.

mod ask;
mod disk;
mod etcd;
mod fetch;
mod watch;

use selvedge_agent_core::Digest;
use selvedge_proto::{Chunks, Target};
use selvedge_topology::plan::Plan;

pub use disk::{StateDir, StateError};
pub use etcd::{Access, Following, StoreError, StoreEvent, follow, publish_reports};
pub use watch::KeyWatch;

/// A plan with the bytes it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The generation, and the manifest's digest.
    pub target: Target,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The chunks it leads to.
    pub chunks: Chunks,
    /// The plan they make.
    pub plan: Plan,
}

impl Fetched {
    /// The manifest's digest, as the core has it.
    pub fn digest(&self) -> Digest {
        Digest(*self.target.manifest.as_bytes())
    }
}
