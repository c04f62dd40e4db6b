//! The enforcement points that connections pass.

use super::{End, EndKind};
use crate::model::{Attachment, Endpoint, Model, PortRole};
use crate::placement::{Carries, Entry, Point};

/// The points of `entry` that connections between its workload and `other` pass on their way.
pub fn passed<'e>(model: &Model, entry: &'e Entry, other: &End) -> impl Iterator<Item = &'e Point> {
    let from = origin(model, other);
    entry.points.iter().filter(move |point| match (point.carries, &from) {
        (Carries::Sent, _) => true,
        (Carries::FromTheNode, Some((at, Way::Itself))) => at.node == point.node,
        (Carries::FromNeighbours, Some((at, Way::Behind))) => at.node == point.node && at.port == point.port,
        // On the node itself, by a port to the fabric alone.
        (Carries::FromTheFabric, Some((at, way))) => {
            at.node != point.node || (matches!(way, Way::Behind) && at.port == point.port)
        }
        (Carries::FromTheFabric, None) => true,
        (Carries::FromTheNode | Carries::FromNeighbours, _) => false,
    })
}

/// How packets of an end come to its node.
enum Way {
    /// It is the node.
    Itself,
    /// It is behind the port.
    Behind,
}

/// Where `end` is, where the documents know.
fn origin(model: &Model, end: &End) -> Option<(Endpoint, Way)> {
    let name = end.name.as_deref()?;
    match end.kind {
        EndKind::Workload => {
            let workload = model.workloads.get(&name.parse().ok()?)?;
            let (Attachment::Managed(at) | Attachment::Unmanaged(Some(at))) = &workload.attachment else {
                return None;
            };
            let role = model.fabric.nodes.get(&at.node)?.ports.get(&at.port)?;
            let way = if *role == PortRole::Uplink { Way::Itself } else { Way::Behind };
            Some((at.clone(), way))
        }
        EndKind::Node => {
            let node = model.fabric.nodes.get(&name.parse().ok()?)?;
            let port = node.ports.keys().next()?.clone();
            Some((Endpoint { node: node.name.clone(), port }, Way::Itself))
        }
        EndKind::External => {
            Some((model.fabric.externals.get(&name.parse().ok()?)?.attachment.clone(), Way::Behind))
        }
        EndKind::World => None,
    }
}
