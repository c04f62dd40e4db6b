//! Packets that are more than an Ethernet, an IP and a transport header: VLAN tags, IPv4 options, IPv6 extension headers,
//! fragments. Offsets have to be computed here; where the transport header begins is found first, then it is read by the
//! same code as any other.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::Reason;

use crate::{
    Node, arp, chain, decided,
    ends::Sender,
    examine_ip,
    ip::Ip,
    link,
    network::{Datagram, IPV4_HEADER, IPV6_HEADER, Part, Place, RouterAlert},
    packet::{Far, Packet},
    report::Seen,
    tables::Tables,
    transport::{IGMP, Segment},
};

/// Where the headers of a packet end, and what they say.
#[derive(Clone, Copy, Default)]
pub(crate) struct Layout {
    /// Offset of the IP header.
    network: u32,
    /// Offset of what the last IP header carries.
    pub(crate) transport: u32,
    /// Bytes of it.
    pub(crate) length: u32,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    pub(crate) router_alert: RouterAlert,
}

/// Everything that is neither a plain packet nor ARP.
#[inline(never)]
pub(crate) fn examine<P: Packet, T: Tables>(
    packet: &P,
    node: &Node<'_, T>,
    seen: &mut Seen,
    segment: &mut Segment,
) -> Option<Reason> {
    find_and_examine(packet, node, seen, segment).break_value()
}

#[inline(always)]
fn find_and_examine<P: Packet, T: Tables>(
    packet: &P,
    node: &Node<'_, T>,
    seen: &mut Seen,
    segment: &mut Segment,
) -> ControlFlow<Reason> {
    let frame = link::Header::parse(packet)?;
    let mut tags = 0;
    if link::is_tag(frame.ether_type) {
        let inner = link::Untagged::parse(packet, frame.ether_type, node.sender)?;
        (tags, seen.ether_type) = (inner.tags, inner.ether_type);
    }
    let mut layout = Layout { network: link::HEADER as u32 + tags, ..Layout::default() };
    match seen.ether_type {
        link::ETHER_TYPE_IPV4 => decided(walk_v4(packet, seen, &mut layout)),
        link::ETHER_TYPE_IPV6 => decided(walk_v6(packet, seen, &mut layout)),
        link::ETHER_TYPE_ARP => Break(arp::judge(&Far { packet, from: tags }, node, seen)),
        _ => Break(frame.other(seen.ether_type, node.sender)),
    }?;
    decided(examine_transport(packet, node, &layout, seen, segment))
}

#[inline(never)]
fn walk_v4<P: Packet>(packet: &P, seen: &mut Seen, layout: &mut Layout) -> Option<Reason> {
    read_v4(packet, seen, layout).break_value()
}

#[inline(never)]
fn walk_v6<P: Packet>(packet: &P, seen: &mut Seen, layout: &mut Layout) -> Option<Reason> {
    read_v6(packet, seen, layout).break_value()
}

#[inline(always)]
fn read_v4(packet: &impl Packet, seen: &mut Seen, layout: &mut Layout) -> ControlFlow<Reason> {
    let bytes = packet.need_far::<IPV4_HEADER>(layout.network)?;
    let [version, _, l0, l1, i0, i1, f0, f1, hop_limit, protocol, _, _, addresses @ ..] = bytes;
    let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
    let header = (version & 0xf) as u32 * 4;
    if version >> 4 != 4 || header < IPV4_HEADER as u32 {
        return Break(Reason::Malformed);
    }
    let total = u16::from_be_bytes([l0, l1]) as u32;
    if total < header || layout.network + total > packet.length() {
        return Break(Reason::Truncated);
    }
    seen.source = Ip::from_v4([s0, s1, s2, s3]);
    seen.destination = Ip::from_v4([d0, d1, d2, d3]);
    seen.protocol = protocol;
    layout.router_alert = if header == IPV4_HEADER as u32 {
        RouterAlert::Absent
    } else {
        only_router_alert(packet, layout.network + IPV4_HEADER as u32, header, protocol)?
    };
    layout.transport = layout.network + header;
    layout.length = total - header;
    layout.protocol = protocol;
    layout.hop_limit = hop_limit;
    let flags_and_offset = u16::from_be_bytes([f0, f1]);
    if flags_and_offset & 0x8000 != 0 {
        return Break(Reason::Malformed); // reserved (RFC 791 §3.1)
    }
    let id = u16::from_be_bytes([i0, i1]) as u32;
    let (start, more) = ((flags_and_offset & 0x1fff) as u32 * 8, flags_and_offset & 0x2000 != 0);
    if start != 0 || more {
        (seen.part, seen.place) = fragment(id, start, layout.length, more)?;
    }
    Continue(())
}

/// Every option of IPv4 is dropped, source routes above all (RFC 7126), but for the one that IGMP needs.
#[inline(always)]
fn only_router_alert(
    packet: &impl Packet,
    options: u32,
    header: u32,
    protocol: u8,
) -> ControlFlow<Reason, RouterAlert> {
    const ROUTER_ALERT: [u8; 2] = [0x94, 4]; // RFC 2113
    let first = packet.need_far::<2>(options)?;
    if protocol == IGMP && header == IPV4_HEADER as u32 + 4 && first == ROUTER_ALERT {
        Continue(RouterAlert::Present)
    } else {
        Break(Reason::Extension)
    }
}

#[inline(always)]
fn read_v6(packet: &impl Packet, seen: &mut Seen, layout: &mut Layout) -> ControlFlow<Reason> {
    let [version, _, _, _, l0, l1, next, hop_limit] = packet.need_far::<8>(layout.network)?;
    seen.source = need_address(packet, layout.network + 8)?;
    seen.destination = need_address(packet, layout.network + 24)?;
    if version >> 4 != 6 {
        return Break(Reason::Malformed);
    }
    layout.transport = layout.network + IPV6_HEADER as u32;
    layout.length = u16::from_be_bytes([l0, l1]) as u32;
    layout.protocol = next;
    layout.hop_limit = hop_limit;
    seen.protocol = next;
    if layout.transport + layout.length > packet.length() {
        return Break(Reason::Truncated);
    }
    if seen.source.is_v4() || seen.destination.is_v4() {
        return Break(Reason::Martian); // would be taken for IPv4 in every table
    }
    chain::walk(packet, layout, seen)
}

#[inline(always)]
fn need_address(packet: &impl Packet, offset: u32) -> ControlFlow<Reason, Ip> {
    let high = u64::from_be_bytes(packet.need_far(offset)?);
    Continue(Ip::from_halves(high, u64::from_be_bytes(packet.need_far(offset + 8)?)))
}

/// What a fragment is of its datagram, if its numbers make sense.
#[inline(always)]
pub(crate) fn fragment(id: u32, start: u32, length: u32, more: bool) -> ControlFlow<Reason, (Part, Place)> {
    /// The second unit of eight bytes: where the TCP flags are. No sender cuts there, but who hides them (RFC 3128).
    const OFFSET_1: u32 = 8;
    let end = start + length;
    if length == 0 || end > u16::MAX as u32 || (more && !length.is_multiple_of(8)) {
        return Break(Reason::Malformed);
    }
    if start == OFFSET_1 {
        return Break(Reason::FragmentTiny);
    }
    let part = match (start, more) {
        (0, _) => Part::First,
        (_, true) => Part::Later,
        (_, false) => Part::Last,
    };
    Continue((part, Place { id, start: start as u16, end: end as u16 }))
}

#[inline(never)]
fn examine_transport<P: Packet, T: Tables>(
    packet: &P,
    node: &Node<'_, T>,
    layout: &Layout,
    seen: &mut Seen,
    segment: &mut Segment,
) -> Option<Reason> {
    let datagram = Datagram::<0> {
        source: seen.source,
        destination: seen.destination,
        protocol: layout.protocol,
        hop_limit: layout.hop_limit,
        length: layout.length,
        part: seen.part,
        router_alert: layout.router_alert,
    };
    let payload = Far { packet, from: layout.transport };
    let reason = if seen.part.is_later() {
        examine_later(&datagram, node.sender, seen, segment).break_value()
    } else {
        examine_ip(&payload, node, &datagram, seen, segment).break_value()
    };
    match reason {
        // The lengths agree with the frame, so what is missing is in another fragment (RFC 1858, RFC 7112).
        Some(Reason::Truncated) if seen.part.is_first() => Some(Reason::FragmentTiny),
        // Nobody but group membership, which is decided by now, may ask every router to look.
        None if layout.router_alert == RouterAlert::Present => Some(Reason::Extension),
        reason => reason,
    }
}

/// A fragment without the transport header: only its addresses can be checked.
#[inline(always)]
fn examine_later(
    datagram: &Datagram<0>,
    sender: Sender,
    seen: &mut Seen,
    segment: &mut Segment,
) -> ControlFlow<Reason> {
    seen.protocol = datagram.protocol;
    datagram.check_addresses()?;
    datagram.check_unicast(sender)?;
    *segment = Segment::without_header(datagram);
    Continue(())
}
