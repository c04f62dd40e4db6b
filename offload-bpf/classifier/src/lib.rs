//! Packet parsing and classification, generic over its tables.
//!
//! [`classify`] is the whole data path of what ports receive; what the node itself sends goes through [`classify_sent`], whose
//! file says what is different there. The very same code runs in the kernel as eBPF and in user space under
//! test; only the [`Packet`] and the [`Tables`] behind it differ. Every packet ends in exactly one
//! [`Reason`], which is counted per port. In this order:
//!
//! 0. **Recall.** What passed as part of a connection some seconds ago, or was denied to open one, from the same port under the
//!    same generation, passes or is denied again: a copy of what the steps below would say, in one cache line.
//! 1. **Port.** One that the tables don't name drops everything: `unknown-port`.
//! 2. **Ethernet.** ARP is passed if a workload speaks for itself; link control (LLDP, LACP, EAPOL, spanning
//!    tree, to the reserved bridge group) on uplink and fabric ports; all else that isn't IP is dropped. Two VLAN tags
//!    are read through, of a workload none but a priority tag.
//! 3. **IP.** Lengths and versions that agree with the frame; addresses that can be on a wire. IPv4 options are dropped
//!    but for a router alert on IGMP; IPv6 extension headers are read through to a fixed depth if they change nothing of
//!    who speaks with whom. Later fragments skip steps 4, 5 and 9 to 12: they follow their first one, or are dropped.
//! 4. **Transport.** TCP, UDP, SCTP, ICMP and ICMPv6 headers that agree with the lengths, flags that make sense,
//!    ports that aren't zero. Of other protocols nothing is read.
//! 5. **Control.** Neighbour discovery with hop limit 255, group membership (IGMP, MLD) and DHCP; what routers and servers
//!    say is `rogue-control` from a workload.
//! 6. **Unicast.** A source that equals the destination, or is unspecified, is a `martian`; multicast and broadcast
//!    destinations are not carried.
//! 7. **Passage.** As step 0, for what that does not look at: other protocols than TCP and UDP, tags and extension headers.
//! 8. **Generation.** While there is none, only the node's failsafe services get through, from the fabric.
//! 9. **Anti-spoofing.** On a workload port the source must be behind that very port; elsewhere it must be neither
//!    behind this node nor the node's own.
//! 10. **Failsafe**, for packets that don't go to a workload of this node.
//! 11. **Neither end behind this node**: `to-node`, `transit` on a switch, else `not-local`.
//! 12. **Connection.** A SYN or an INIT that policy denies is denied, whatever there was. A packet of a live one passes: its
//!     generation is in force, or policy is asked again for the opening direction. ICMP errors pass that quote a packet of one. A cut of datagrams whose opener is not behind
//!     this node is remembered, and keeps their answers from passing for a connection of their own.
//! 13. **Policy**: egress of a local source, then ingress of a local destination. Allowed connections get an entry,
//!     unless a rule is stateless; TCP only by a SYN, SCTP only by an INIT, echo only by a request. The entry is a
//!     half-open one, which gives way to newer ones in a flood, until the opener goes on after an answer.
//!
//! A first fragment that was not dropped by then takes its place in the fragment table before steps 12 and 13, and gives it
//! back where it is denied: what can't be remembered touches no connection.
//!
//! IPv6 link-local unicast other than discovery and DHCP belongs to nobody in the address tables: it is spoofed on a
//! workload port and `not-local` elsewhere, until the tables name the node's own link-local addresses.
//!
//! `docs/packet-classes.md` lists every class of packet with its verdict; it is generated from the cases that this code is
//! held to.
//!
//! Nothing here panics, divides, or copies memory of unknown size. In the kernel all of it shares 512 bytes of stack,
//! so the steps that need most, judging by connection and policy and reporting, are functions that are called one
//! after the other; everything else is inlined, which gives the verifier loads at constant offsets. Packets with tags,
//! extension headers or fragmentation take another way, whose loads are calls ([`Packet::load_far`]): it is slower, and
//! the plain packet doesn't pay for it.
#![no_std]

#[cfg(any(test, feature = "testing"))]
extern crate std;

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::{FailsafeKey, Reason, Verdict};

mod arp;
mod chain;
mod connection;
mod control;
mod egress;
mod ends;
mod express;
mod extended;
mod fragment;
mod fragment_table;
mod group;
mod icmp;
mod ip;
mod link;
mod network;
mod packet;
mod passage;
mod policy;
mod report;
mod tables;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod transport;

pub use egress::{Way, classify_sent};
pub use express::judge as recall;
pub use fragment_table::{FragmentTable, NotAdded, Unfinished};
pub use packet::{Head, Packet};
pub use policy::{Decided, look_up};
pub use tables::{TableFull, Tables};

use ends::{Ends, Node, Sender};
use network::Datagram;
use report::Seen;
use transport::{Segment, Tuple};

/// Judges a frame that was received on the port with interface index `ifindex`; updates connections, counters and
/// events. The frame may pass where the reason's verdict is `Allowed`.
///
/// `notes` may be of another packet; what is in them is not looked at.
#[inline(always)]
pub fn classify<P: Packet, T: Tables>(packet: &P, ifindex: u32, tables: &T, notes: &mut Notes) -> Reason {
    if let Some(reason) = express::judge(packet, ifindex, tables) {
        return reason;
    }
    classify_anew(packet, ifindex, tables, notes)
}

/// [`classify`] where [`recall`] said nothing.
#[inline(always)]
pub fn classify_anew<P: Packet, T: Tables>(
    packet: &P,
    ifindex: u32,
    tables: &T,
    notes: &mut Notes,
) -> Reason {
    *notes = Notes::default();
    let Notes { seen, segment } = notes;
    seen.length = packet.length();
    let (Break(reason) | Continue(reason)) = judge(packet, ifindex, tables, seen, segment);
    seen.report(tables, ifindex, reason);
    reason
}

/// What is noted of one packet on its way through [`classify`].
///
/// Programs keep it in a map. Not only is it half of their stack: what is on the stack the verifier remembers, and so it
/// would follow the second half of the way once for every kind of packet that the first half tells apart.
#[derive(Default)]
pub struct Notes {
    seen: Seen,
    segment: Segment,
}

#[inline(always)]
fn judge<P: Packet, T: Tables>(
    packet: &P,
    ifindex: u32,
    tables: &T,
    seen: &mut Seen,
    segment: &mut Segment,
) -> ControlFlow<Reason, Reason> {
    let node = Node::at_port(tables, ifindex)?;
    seen.generation = node.generation;
    let early = match examine(packet, &node, seen, segment) {
        Break(reason) => Some(reason),
        Continue(()) if passage::is_known(&node, seen, segment) => return Break(Reason::Established),
        Continue(()) => locate(&node, seen, segment),
    };
    match early {
        Some(reason) if reason.verdict() == Verdict::Dropped => return Break(reason),
        _ if seen.part.is_first() => decided(fragment::claim(&node, seen))?,
        _ => {}
    }
    let reason = match early {
        Some(reason) => reason,
        None if seen.part.is_later() => fragment::follow(&node, seen),
        None => connection::judge(&node, segment, seen),
    };
    if seen.part.is_first() {
        fragment::settle(&node, seen, reason);
    }
    passage::note(&node, seen, segment);
    Continue(reason)
}

/// `Option` crosses a call in one register, `ControlFlow` does not.
#[inline(always)]
fn decided(reason: Option<Reason>) -> ControlFlow<Reason> {
    reason.map_or(Continue(()), Break)
}

/// Steps 2 to 6: all that needs the bytes of the packet. Fills `segment` where it decides nothing.
#[inline(always)]
fn examine<P: Packet, T: Tables>(
    packet: &P,
    node: &Node<'_, T>,
    seen: &mut Seen,
    segment: &mut Segment,
) -> ControlFlow<Reason> {
    let frame = link::Header::parse(packet)?;
    seen.ether_type = frame.ether_type;
    match frame.ether_type {
        link::ETHER_TYPE_IPV4 if network::is_plain_v4(packet) => {
            decided(examine_v4(packet, node, seen, segment))
        }
        link::ETHER_TYPE_IPV6 if network::is_plain_v6(packet) => {
            decided(examine_v6(packet, node, seen, segment))
        }
        link::ETHER_TYPE_ARP => Break(arp::judge(packet, node, seen)),
        _ => decided(extended::examine(packet, node, seen, segment)),
    }?;
    // A unicast packet in a group frame reaches stations it isn't for (RFC 1122 §3.3.6).
    if frame.to_group() && node.sender != Sender::Node { Break(Reason::Multicast) } else { Continue(()) }
}

#[inline(never)]
fn examine_v4<P: Packet, T: Tables>(
    packet: &P,
    node: &Node<'_, T>,
    seen: &mut Seen,
    segment: &mut Segment,
) -> Option<Reason> {
    match Datagram::parse_v4(packet) {
        Break(reason) => Some(reason),
        Continue(datagram) => examine_ip(packet, node, &datagram, seen, segment).break_value(),
    }
}

#[inline(never)]
fn examine_v6<P: Packet, T: Tables>(
    packet: &P,
    node: &Node<'_, T>,
    seen: &mut Seen,
    segment: &mut Segment,
) -> Option<Reason> {
    match Datagram::parse_v6(packet) {
        Break(reason) => Some(reason),
        Continue(datagram) => examine_ip(packet, node, &datagram, seen, segment).break_value(),
    }
}

#[inline(always)]
fn examine_ip<P: Packet, T: Tables, const PAYLOAD: usize>(
    packet: &P,
    node: &Node<'_, T>,
    datagram: &Datagram<PAYLOAD>,
    seen: &mut Seen,
    segment: &mut Segment,
) -> ControlFlow<Reason> {
    seen.source = datagram.source;
    seen.destination = datagram.destination;
    seen.protocol = datagram.protocol;
    datagram.check_addresses()?;
    *segment = Segment::parse(packet, datagram, seen)?;
    control::judge(packet, node, datagram, segment)?;
    datagram.check_unicast(node.sender)
}

/// Steps 8 to 11: who the ends are.
#[inline(never)]
fn locate<T: Tables>(node: &Node<'_, T>, seen: &mut Seen, segment: &Segment) -> Option<Reason> {
    if !node.has_generation() {
        let failsafe = is_failsafe(node, &segment.tuple);
        return Some(if failsafe { Reason::Failsafe } else { Reason::NoGeneration });
    }
    seen.ends = Ends { source: node.lookup(seen.source), destination: node.lookup(seen.destination) };
    if !node.may_send(&seen.ends.source) {
        return Some(Reason::Spoofed);
    }
    if seen.part.is_later() {
        return None; // who the ends are was asked of the first fragment
    }
    if seen.ends.destination.ifindex == 0 && is_failsafe(node, &segment.tuple) {
        return Some(Reason::Failsafe);
    }
    node.foreign(&seen.ends)
}

/// From a service that the node can't live without. A workload could only pretend to be one.
#[inline(always)]
fn is_failsafe<T: Tables>(node: &Node<'_, T>, tuple: &Tuple) -> bool {
    node.sender != Sender::Workload
        && node.tables.failsafe(&FailsafeKey {
            remote: tuple.source.address(),
            remote_port: tuple.source_port,
            protocol: tuple.protocol as u16,
        })
}
