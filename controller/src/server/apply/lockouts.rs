//! Whether policy would cut nodes off from what they can't live without, or the caller from the controller.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use selvedge_topology::failsafe::{Dependent, Lockout, Need, ServiceKind, lockouts};
use selvedge_topology::model::Model;
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::SeenNode;

use super::{ApplyError, blocking};

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

/// Whom `model` would cut off, by what nodes reported of themselves and by the caller's `path`.
pub(super) async fn find(
    model: &Arc<Model>,
    seen: &Arc<BTreeMap<NodeName, SeenNode>>,
    path: Option<Path>,
) -> Result<Vec<Lockout>, ApplyError> {
    let (model, seen) = (Arc::clone(model), Arc::clone(seen));
    blocking(move || {
        let of_nodes = seen.iter().flat_map(|(node, seen)| Need::of_node(node, &seen.services));
        let needs: BTreeSet<Need> = of_nodes.chain(path.and_then(Path::need)).collect();
        lockouts(&model, &needs)
    })
    .await
}
