//! Connection histories: packets, time and changes of generation at one node, judged by the oracle with a connection
//! model of its own, by the classifier, and by whatever else is held to them.

pub mod connections;
mod make;
pub mod packet;
mod run;
mod shrink;
mod text;

use selvedge_topology::names::{NodeName, PortName};

pub use make::history;
pub use run::{Backend, Failure, Seen, run};
pub use shrink::shrink;

use packet::Packet;

/// What happens at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The node.
    pub node: NodeName,
    /// Documents of the generations with odd numbers, of which the first is one.
    pub odd: String,
    /// Documents of those with even numbers.
    pub even: String,
    /// What happens, in turn.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A packet arrives.
    Arrives {
        /// On this port.
        port: PortName,
        /// The packet.
        packet: Packet,
    },
    /// The node sends a packet.
    Leaves {
        /// By this port.
        port: PortName,
        /// The packet.
        packet: Packet,
    },
    /// So many seconds pass.
    Waits(u64),
    /// The next generation is put in force.
    Flips,
}
