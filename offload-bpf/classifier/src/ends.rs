//! The node, and what its tables know of addresses.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::{
    AddressEntry, AddressKey, Config, Flow, IDENTITY_HOST, IDENTITY_WORLD, NodeRole, Passage, PortEntry,
    PortRole, Reason,
};

use crate::{ip::Ip, tables::Tables};

/// Who a packet can be of, which says what it may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// A workload behind the port, which speaks for itself only.
    Workload,
    /// The fabric before the port.
    Fabric,
    /// This node, which sends it out of the port.
    Node,
}

/// Where a packet was received or is sent: the tables, the configuration as it was then, and the port.
pub(crate) struct Node<'a, T> {
    pub(crate) tables: &'a T,
    pub(crate) ifindex: u32,
    pub(crate) sender: Sender,
    /// 0 while there is none.
    pub(crate) generation: u64,
    pub(crate) slot: u32,
    /// A [`NodeRole`], as `u32`.
    node_role: u32,
    /// [`Config::ports`].
    ports: u32,
}

/// What is known of both ends of a packet.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ends {
    pub(crate) source: AddressEntry,
    pub(crate) destination: AddressEntry,
}

impl Ends {
    #[inline(always)]
    pub(crate) fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source }
    }
}

impl<'a, T: Tables> Node<'a, T> {
    /// Breaks where the tables don't name the port, or with a role this program doesn't know.
    #[inline(always)]
    pub(crate) fn at_port(tables: &'a T, ifindex: u32) -> ControlFlow<Reason, Self> {
        // Before the port, as it asks. The others after it: what is known so early the verifier would follow a fifth longer.
        let ports = tables.config().ports;
        let node = tables.port(ifindex).and_then(|port| Self::new(tables, ifindex, port, ports));
        node.map_or(Break(Reason::UnknownPort), Continue)
    }

    #[inline(always)]
    fn new(tables: &'a T, ifindex: u32, port: PortEntry, ports: u32) -> Option<Self> {
        const UPLINK: u32 = PortRole::Uplink as u32;
        const WORKLOAD: u32 = PortRole::Workload as u32;
        const FABRIC: u32 = PortRole::Fabric as u32;
        let sender = match port.role {
            UPLINK | FABRIC => Sender::Fabric,
            WORKLOAD => Sender::Workload,
            _ => return None,
        };
        let Config { generation, slot, node_role, .. } = tables.config();
        Some(Self { tables, ifindex, sender, generation, slot, node_role, ports })
    }

    /// A packet of the flow that is received here and now.
    #[inline(always)]
    pub(crate) fn passage(&self, flow: Flow) -> Passage {
        let Self { ifindex, generation, slot, ports, .. } = *self;
        Passage { flow, ifindex, ports, generation, slot }
    }

    /// Whether the port is quickly found. Notes are of such ports only.
    #[inline(always)]
    pub(crate) fn is_near(&self) -> bool {
        self.tables.near_port(self.ifindex).is_some()
    }

    #[inline(always)]
    pub(crate) fn has_generation(&self) -> bool {
        self.generation != 0
    }

    /// What is known of the address; of one that the tables don't hold, that it is of the world.
    #[inline(always)]
    pub(crate) fn lookup(&self, ip: Ip) -> AddressEntry {
        const WORLD: AddressEntry =
            AddressEntry { identity: IDENTITY_WORLD, class: IDENTITY_WORLD, ifindex: 0 };
        self.tables.address(&AddressKey { slot: self.slot, address: ip.address() }).unwrap_or(WORLD)
    }

    /// Whether a control packet on this port may name the address as its own. Without a generation nobody can
    /// tell, and then no other traffic passes that could make use of a lie.
    #[inline(always)]
    pub(crate) fn may_speak_for(&self, ip: Ip) -> bool {
        !self.has_generation() || self.lookup(ip).ifindex == self.ifindex
    }

    /// Whether a packet from there can have come in here: on a workload port from behind that very port, elsewhere
    /// neither from behind this node nor from the node itself.
    #[inline(always)]
    pub(crate) fn may_send(&self, source: &AddressEntry) -> bool {
        if self.sender == Sender::Workload {
            source.ifindex == self.ifindex
        } else {
            source.ifindex == 0 && source.identity != IDENTITY_HOST
        }
    }

    /// The verdict on a packet between two ends of which this node enforces for neither.
    #[inline(always)]
    pub(crate) fn foreign(&self, ends: &Ends) -> Option<Reason> {
        if ends.source.ifindex != 0 || ends.destination.ifindex != 0 {
            return None;
        }
        Some(if ends.destination.identity == IDENTITY_HOST {
            Reason::ToNode
        } else if self.node_role == NodeRole::Switch as u32 {
            Reason::Transit
        } else {
            Reason::NotLocal
        })
    }
}
