//! Nodes that are machines of their own: in the lab they leave a chassis.

use std::collections::BTreeSet;

use selvedge_topology::names::NodeName;

use super::{Blueprint, BlueprintError, Forwarding, Interface, InterfaceKind, PortIsolation, Space};
use crate::names::Target;

impl Blueprint {
    /// The blueprint in which `nodes` are machines: the namespace of each is a chassis that has no address, routes nothing,
    /// and joins each port by a bridge ([`bridge`]) to whatever is plugged in there ([`tap`]). What such a node is itself,
    /// its own [`Space`] still says.
    pub fn with_machines(mut self, nodes: &BTreeSet<NodeName>) -> Result<Self, BlueprintError> {
        for node in nodes {
            let target = Target::Node(node.clone());
            let space = self.spaces.iter_mut().find(|space| space.target == target);
            chassis(space.ok_or_else(|| BlueprintError::NoSuchNode { node: node.clone() })?);
        }
        Ok(self)
    }
}

/// The bridge of the port with this index.
pub fn bridge(port: u32) -> String {
    format!("br{port}")
}

/// The tap device of the machine's port with this index; the virtual machine makes it, and joins it to the bridge.
pub fn tap(port: u32) -> String {
    format!("tap{port}")
}

fn chassis(space: &mut Space) {
    space.forwarding = Forwarding::EndsHere;
    space.loopback.clear();
    space.tenant = None;
    space.routes.clear();
    let ports = space.interfaces.len() as u32;
    let mut bridges = Vec::new();
    for port in &mut space.interfaces {
        let index = port.index + ports; // indices are counted through
        port.addresses.clear();
        port.kind = InterfaceKind::BridgePort { bridge: index, isolation: PortIsolation::Open };
        let (name, kind) = (bridge(port.index), InterfaceKind::Bridge);
        bridges.push(Interface { name, index, kind, addresses: Vec::new() });
    }
    space.interfaces.extend(bridges);
}
