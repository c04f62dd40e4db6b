//! What the node itself sends: traffic of its own, and of a workload that is the node (bare metal, attached to an uplink).
//!
//! It never is received at a port, so nothing else sees it. The packet is read as any other, with these differences:
//!
//! - **Control.** The node is trusted with its own links: any Ethernet type, DHCP both ways, and groups, as long as it isn't the
//!   workload that sends to them.
//! - **Generation.** While there is none, only what goes to the node's failsafe services leaves, out of ports that face the
//!   fabric: just what could be answered.
//! - **Source.** It must be the node's own, that of a workload behind an uplink, or of nobody in the fabric. An address behind
//!   another port, or elsewhere in the fabric, is spoofed, and so is one in a network of which the node knows no more than that
//!   there are workloads in it (identity 0).
//! - **Neither end behind this node**: `failsafe`, else `from-node`, in fragments too.
//! - **Connection and policy** are the same, in the same tables: a workload's answers to the node are found, and so are the node's
//!   to a workload, and the fabric's to a workload that is the node.
//!
//! Nothing here uses or leaves a short way (`passage.rs`), which is of what ports receive; what ends a connection takes it back.

use core::{
    mem,
    ops::ControlFlow::{self, Break, Continue},
};

use selvedge_abi::{
    AddressEntry, FailsafeKey, IDENTITY_FIRST_CIDR, IDENTITY_HOST, IDENTITY_WORLD, PortRole, Reason,
};

use crate::{
    Notes, connection, decided,
    ends::{Ends, Node, Sender},
    examine, fragment,
    packet::Packet,
    passage,
    report::Seen,
    tables::Tables,
    transport::{Segment, Tuple},
};

/// The interfaces of a packet on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The one it was received at; 0 for a packet that was made here.
    pub received: u32,
    /// The port it leaves by.
    pub leaves: u32,
}

/// Judges a frame on its way out; updates connections, counters and events. The frame may leave where the reason's verdict is
/// `Allowed`. `None`, and nothing changed, for one that was received at a port: it was judged there.
///
/// `notes` may be of another packet; what is in them is not looked at.
#[inline(always)]
pub fn classify_sent<P: Packet, T: Tables>(
    packet: &P,
    way: Way,
    tables: &T,
    notes: &mut Notes,
) -> Option<Reason> {
    if way.received != 0 && tables.port(way.received).is_some() {
        return None;
    }
    *notes = Notes::default();
    let Notes { seen, segment } = notes;
    seen.length = packet.length();
    let (Break(reason) | Continue(reason)) = judge(packet, way.leaves, tables, seen, segment);
    seen.report(tables, way.leaves, reason);
    Some(reason)
}

#[inline(always)]
fn judge<P: Packet, T: Tables>(
    packet: &P,
    ifindex: u32,
    tables: &T,
    seen: &mut Seen,
    segment: &mut Segment,
) -> ControlFlow<Reason, Reason> {
    let mut node = Node::at_port(tables, ifindex)?;
    let beyond = mem::replace(&mut node.sender, Sender::Node);
    seen.generation = node.generation;
    examine(packet, &node, seen, segment)?;
    decided(locate(&node, beyond, seen, segment))?;
    if seen.part.is_later() {
        return Continue(fragment::follow(&node, seen));
    }
    if seen.part.is_first() {
        decided(fragment::claim(&node, seen))?;
    }
    let reason = connection::judge(&node, segment, seen);
    passage::note_sent(&node, seen, segment);
    if seen.part.is_first() {
        fragment::settle(&node, seen, reason);
    }
    Continue(reason)
}

/// Who the ends are, and the verdict where neither is a workload of this node. `beyond`: who the port faces.
#[inline(never)]
fn locate<T: Tables>(
    node: &Node<'_, T>,
    beyond: Sender,
    seen: &mut Seen,
    segment: &Segment,
) -> Option<Reason> {
    if !node.has_generation() {
        let failsafe = beyond == Sender::Fabric && is_failsafe(node, &segment.tuple);
        return Some(if failsafe { Reason::Failsafe } else { Reason::NoGeneration });
    }
    seen.ends = Ends { source: node.lookup(seen.source), destination: node.lookup(seen.destination) };
    let Ends { source, destination } = &seen.ends;
    if !may_send(node, source) {
        return Some(Reason::Spoofed);
    }
    if source.ifindex != 0 && seen.destination.is_multicast() {
        return Some(Reason::Multicast);
    }
    if source.ifindex != 0 || destination.ifindex != 0 {
        return None;
    }
    let failsafe = beyond == Sender::Fabric && is_failsafe(node, &segment.tuple);
    Some(if failsafe { Reason::Failsafe } else { Reason::FromNode })
}

/// Whether the node's stack may send from there.
#[inline(always)]
fn may_send<T: Tables>(node: &Node<'_, T>, source: &AddressEntry) -> bool {
    const UPLINK: u32 = PortRole::Uplink as u32;
    if source.ifindex != 0 {
        return node.tables.port(source.ifindex).is_some_and(|port| port.role == UPLINK);
    }
    matches!(source.identity, IDENTITY_HOST | IDENTITY_WORLD | IDENTITY_FIRST_CIDR..)
}

/// To a service that the node can't live without.
#[inline(always)]
fn is_failsafe<T: Tables>(node: &Node<'_, T>, tuple: &Tuple) -> bool {
    node.tables.failsafe(&FailsafeKey {
        remote: tuple.destination.address(),
        remote_port: tuple.destination_port,
        protocol: tuple.protocol as u16,
    })
}
