//! Whether policy would cut nodes off from what they can't live without, or the caller from the controller.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use selvedge_topology::documents::Registry;
use selvedge_topology::failsafe::{Dependent, Lockout, Need, ServiceKind};
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::SeenNode;

/// Whether anybody may be cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Lockouts {
    Refused,
    Allowed,
}

/// The connection over which documents came.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Path {
    /// Whoever sent them.
    pub(in crate::server) from: IpAddr,
    /// The controller.
    pub(in crate::server) to: SocketAddr,
}

impl Path {
    /// What somebody needs who would take documents back the way they came; nothing where that is this machine's own.
    fn need(self) -> Option<Need> {
        let Self { from, to } = self;
        let leaves = !from.is_loopback() && from != to.ip();
        let (dependent, kind) = (Dependent::Asker(from), ServiceKind::Controller);
        leaves.then(|| Need { dependent, kind, address: to.ip(), port: to.port() })
    }
}

/// Whom `documents` would cut off, by what nodes reported of themselves and by the caller's `path`. This may take a while.
pub(super) fn find(
    documents: &Registry,
    seen: &BTreeMap<NodeName, SeenNode>,
    path: Option<Path>,
) -> Vec<Lockout> {
    let of_nodes = seen.iter().flat_map(|(node, seen)| Need::of_node(node, &seen.services));
    let needs: BTreeSet<Need> = of_nodes.chain(path.and_then(Path::need)).collect();
    documents.lockouts(&needs)
}
