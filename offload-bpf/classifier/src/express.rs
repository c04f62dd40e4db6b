//! The first look at a packet: one whose like was judged a moment ago needs no other.
//!
//! Only plain packets are looked at: an Ethernet frame for one station, IPv4 without options or IPv6 without extension
//! headers, no fragment, TCP or UDP. What could differ between two packets of one note is checked here (lengths, flags); what
//! they share (addresses, ports, protocol, the port they came to) was checked when the note was written. Whatever is not as it is most of the time is
//! for the long way, which sees the packet from its first byte.

use selvedge_abi::{Address, Config, Flow, Passage, Reason};

use crate::{
    link,
    network::{IPV4_HEADER, IPV4_PAYLOAD, IPV6_PAYLOAD},
    packet::{Head, Packet},
    tables::Tables,
    transport::{ACK, FIN, RST, SYN, TCP, TCP_HEADER, UDP, UDP_HEADER, URG},
};

/// What the packet means to its flow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Means {
    /// One more of many.
    GoesOn,
    /// The first of a connection.
    Opens,
}

/// What was seen of a packet.
struct Glimpse {
    flow: Flow,
    means: Means,
}

/// The verdict on a packet whose like was judged a moment ago. It is counted.
#[inline(always)]
pub fn judge<P: Packet, T: Tables>(packet: &P, ifindex: u32, tables: &T) -> Option<Reason> {
    match packet.head::<{ link::HEADER }>()?.u16::<ETHER_TYPE>() {
        link::ETHER_TYPE_IPV4 => judge_v4(packet, ifindex, tables),
        link::ETHER_TYPE_IPV6 => judge_v6(packet, ifindex, tables),
        _ => None,
    }
}

/// With a stack frame of its own (see `lib.rs`), as the next.
#[inline(never)]
fn judge_v4<P: Packet, T: Tables>(packet: &P, ifindex: u32, tables: &T) -> Option<Reason> {
    recall(&glimpse_v4(packet)?, packet.length(), ifindex, tables)
}

#[inline(never)]
fn judge_v6<P: Packet, T: Tables>(packet: &P, ifindex: u32, tables: &T) -> Option<Reason> {
    recall(&glimpse_v6(packet)?, packet.length(), ifindex, tables)
}

const ETHER_TYPE: usize = link::HEADER - 2;

#[inline(always)]
fn recall<T: Tables>(glimpse: &Glimpse, length: u32, ifindex: u32, tables: &T) -> Option<Reason> {
    let Config { generation, slot, ports, .. } = tables.config();
    let passage = |flow| Passage { flow, ifindex, ports, generation, slot };
    let flow = glimpse.flow;
    match glimpse.means {
        Means::GoesOn if tables.passed(&passage(flow)) => {
            tables.count_near(ifindex, Reason::Established, length);
            Some(Reason::Established)
        }
        Means::GoesOn => None,
        Means::Opens => {
            let rule = tables.denied(&passage(Flow { ports: flow.ports & 0xffff, ..flow }))?;
            // More has to be known for an event.
            if !tables.skip_event() {
                return None;
            }
            tables.count_rule(rule, length);
            tables.count_near(ifindex, Reason::PolicyDeny, length);
            Some(Reason::PolicyDeny)
        }
    }
}

const IP: usize = link::HEADER;
/// Bytes of a transport header that are looked at.
const TRANSPORT: usize = 14;

#[inline(always)]
fn glimpse_v4(packet: &impl Packet) -> Option<Glimpse> {
    const AT: usize = IPV4_PAYLOAD;
    /// All but "don't fragment".
    const FRAGMENTATION: u16 = 0xbfff;
    let head = packet.head::<{ AT + TRANSPORT }>()?;
    let total = head.u16::<{ IP + 2 }>() as u32;
    let is_plain = head.u8::<IP>() == 0x45 && head.u16::<{ IP + 6 }>() & FRAGMENTATION == 0;
    if !is_plain || !is_for_one(head) || IP as u32 + total > packet.length() {
        return None;
    }
    let transport = Transport {
        protocol: head.u8::<{ IP + 9 }>(),
        ports: head.u32::<AT>(),
        datagram: head.u16::<{ AT + 4 }>() as u32,
        header: head.u8::<{ AT + 12 }>(),
        flags: head.u8::<{ AT + 13 }>(),
        length: total.checked_sub(IPV4_HEADER as u32)?,
    };
    let means = transport.means()?;
    let flow = Flow {
        source: Address::from_ipv4_number(head.u32::<{ IP + 12 }>()),
        destination: Address::from_ipv4_number(head.u32::<{ IP + 16 }>()),
        ports: transport.ports,
        protocol: transport.protocol as u32,
    };
    Some(Glimpse { flow, means })
}

#[inline(always)]
fn glimpse_v6(packet: &impl Packet) -> Option<Glimpse> {
    const AT: usize = IPV6_PAYLOAD;
    let head = packet.head::<{ AT + TRANSPORT }>()?;
    let length = head.u16::<{ IP + 4 }>() as u32;
    if head.u8::<IP>() >> 4 != 6 || !is_for_one(head) || AT as u32 + length > packet.length() {
        return None;
    }
    let transport = Transport {
        protocol: head.u8::<{ IP + 6 }>(),
        ports: head.u32::<AT>(),
        datagram: head.u16::<{ AT + 4 }>() as u32,
        header: head.u8::<{ AT + 12 }>(),
        flags: head.u8::<{ AT + 13 }>(),
        length,
    };
    if transport.protocol == UDP && head.u16::<{ AT + 6 }>() == 0 {
        return None; // without a checksum
    }
    let means = transport.means()?;
    let flow = Flow {
        source: Address::from_halves(head.u64::<{ IP + 8 }>(), head.u64::<{ IP + 16 }>()),
        destination: Address::from_halves(head.u64::<{ IP + 24 }>(), head.u64::<{ IP + 32 }>()),
        ports: transport.ports,
        protocol: transport.protocol as u32 | Flow::IPV6,
    };
    Some(Glimpse { flow, means })
}

/// Neither to a group of stations, nor from one.
#[inline(always)]
fn is_for_one(head: impl Head) -> bool {
    (head.u8::<0>() | head.u8::<6>()) & 1 == 0
}

/// A transport header, read as if it were both.
struct Transport {
    protocol: u8,
    ports: u32,
    /// UDP: its length field.
    datagram: u32,
    /// TCP: the byte with the length of the header.
    header: u8,
    /// TCP: flags.
    flags: u8,
    /// Bytes from the header on, by the IP header.
    length: u32,
}

impl Transport {
    #[inline(always)]
    fn means(&self) -> Option<Means> {
        match self.protocol {
            TCP => {
                let header = (self.header >> 4) as u32 * 4;
                if header < TCP_HEADER || header > self.length {
                    return None;
                }
                let opens = self.flags & (FIN | SYN | RST | ACK | URG) == SYN && self.ports >> 16 != 0;
                match self.flags & (FIN | SYN | RST | ACK) {
                    ACK => Some(Means::GoesOn),
                    _ if opens => Some(Means::Opens),
                    _ => None,
                }
            }
            UDP if self.length >= UDP_HEADER && self.datagram == self.length => Some(Means::GoesOn),
            _ => None,
        }
    }
}
