//! What a lab consists of, as plain data: nothing is left to decide when it is built.

mod chassis;
mod draw;
mod routes;

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use selvedge_topology::model::Endpoint;
use selvedge_topology::names::NodeName;

pub use chassis::{bridge, tap};
pub(crate) use draw::CONTROLLER;
pub use draw::draw;

use crate::names::{LabName, NamespaceName, Target};

/// Interfaces get fixed indices, counted from here (1 is `lo`), so that nothing has to be looked up.
const FIRST_INTERFACE_INDEX: u32 = 2;

/// A whole lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blueprint {
    /// Its name.
    pub lab: LabName,
    /// Its namespaces.
    pub spaces: Vec<Space>,
    /// Its wires.
    pub wires: Vec<Wire>,
}

impl Blueprint {
    /// The namespace of a node.
    pub fn node(&self, node: &NodeName) -> Result<&Space, BlueprintError> {
        let is_node = |space: &&Space| matches!(&space.target, Target::Node(name) if name == node);
        self.spaces.iter().find(is_node).ok_or_else(|| BlueprintError::NoSuchNode { node: node.clone() })
    }

    /// The interface at one end of a wire.
    pub fn interface(&self, end: WireEnd) -> &Interface {
        &self.spaces[end.space].interfaces[end.interface]
    }
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// What it stands for.
    pub target: Target,
    /// Its name.
    pub namespace: NamespaceName,
    /// Whether it forwards packets of others.
    pub forwarding: Forwarding,
    /// Addresses on its loopback.
    pub loopback: Vec<IpNet>,
    /// The workload that the node itself is, if it is one. Its addresses are on the loopback too.
    pub tenant: Option<Tenant>,
    /// Its interfaces beside the loopback.
    pub interfaces: Vec<Interface>,
    /// Its routes.
    pub routes: Vec<Route>,
}

impl Space {
    /// All its addresses, but link-local ones and those of its tenant.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let lent = |address: &IpAddr| self.tenant.iter().any(|tenant| tenant.addresses.contains(address));
        let local = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        let wired = self.interfaces.iter().flat_map(|interface| &interface.addresses);
        self.loopback
            .iter()
            .chain(wired)
            .map(IpNet::addr)
            .filter(|address| !local(address) && !lent(address))
            .collect()
    }
}

/// A workload in the namespace of its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Which.
    pub target: Target,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// Whether a namespace forwards packets of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// As a router.
    Routes,
    /// Not at all.
    EndsHere,
}

/// An interface of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// What it is.
    pub kind: InterfaceKind,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
}

/// What an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceKind {
    /// An end of a wire.
    WireEnd,
    /// An end of a wire, in the out-of-band network: it never forwards.
    Management,
    /// A bridge.
    Bridge,
    /// An end of a wire that is a port of the bridge with this index.
    BridgePort {
        /// The bridge.
        bridge: u32,
        /// What it may talk to.
        isolation: PortIsolation,
    },
}

/// What a bridge port may talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortIsolation {
    /// Every other port.
    Open,
    /// No other isolated port: two workloads behind one port of a node reach each other through the node only.
    Isolated,
}

/// One end of a wire: positions in [`Blueprint::spaces`] and [`Space::interfaces`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireEnd {
    /// The namespace.
    pub space: usize,
    /// The interface in it.
    pub interface: usize,
}

/// A veth pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// One end.
    pub a: WireEnd,
    /// The other.
    pub b: WireEnd,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub destination: IpNet,
    /// Through which interface, by index.
    pub interface: u32,
    /// Through whom.
    pub next_hop: NextHop,
    /// The address that the node's own packets carry.
    pub source: Option<IpAddr>,
}

/// Through whom a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// The destination itself is on the wire.
    Direct,
    /// A router on the wire. IPv4 routes may name an IPv6 one (RFC 5549), so wires between nodes need no IPv4.
    Gateway(IpAddr),
}

/// Why a model can't be made into a lab.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlueprintError {
    /// Two places would be one namespace.
    #[error(
        "{} `{first}` and {} `{second}` would share the namespace `{namespace}`; rename one of them",
        first.kind(), second.kind()
    )]
    NamespaceClash {
        /// The name both would have.
        namespace: NamespaceName,
        /// One.
        first: Target,
        /// The other.
        second: Target,
    },
    /// The name that the lab gives a node's out-of-band port is taken.
    #[error(
        "port `{port}`: the lab connects nodes with an agent to the controller by a port of this name; rename it or make its role management"
    )]
    ManagementNameTaken {
        /// The port.
        port: Endpoint,
    },
    /// A machine was asked for in the place of a node that is not there.
    #[error("the fabric has no node `{node}`")]
    NoSuchNode {
        /// Its name.
        node: NodeName,
    },
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.target.kind(), self.target)
    }
}
