//! TCP, UDP, SCTP and ICMP headers, and protocols without ports: what a packet means to a connection.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::Reason;

use crate::{
    icmp,
    ip::Ip,
    network::{Datagram, Part},
    packet::Packet,
    report::Seen,
};

pub(crate) const ICMP: u8 = 1;
pub(crate) const IGMP: u8 = 2;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const SCTP: u8 = 132;

/// Bytes of a TCP header without options.
pub(crate) const TCP_HEADER: u32 = 20;
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const URG: u8 = 0x20;
/// Bytes of a UDP header.
pub(crate) const UDP_HEADER: u32 = 8;

/// Two ends and what they speak, in the direction of one packet.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tuple {
    pub(crate) source: Ip,
    pub(crate) destination: Ip,
    /// Host byte order; for ICMP echo the identifier, at both ends.
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) protocol: u8,
    /// An ICMP echo reply: the other end asks.
    pub(crate) answers_echo: bool,
}

/// What a packet may do to a connection.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Starts one (SYN, INIT, echo request).
    Opens,
    /// Starts one or belongs to one (UDP, and protocols of which nothing is read).
    Any,
    /// Belongs to one.
    Continues,
    /// Belongs to one and ends it (FIN, SHUTDOWN).
    Closes,
    /// Belongs to one and breaks it off (RST, ABORT).
    Resets,
    /// Belongs to none (ICMP other than echo).
    #[default]
    Alone,
    /// An ICMP error. Its tuple is that of the packet it quotes, turned round: the connection it is about.
    Quotes,
}

/// A packet with a sound transport header.
#[derive(Clone, Copy, Default)]
pub(crate) struct Segment {
    /// The packet's own protocol; the tuple's is another where an ICMP error quotes.
    pub(crate) protocol: u8,
    pub(crate) tuple: Tuple,
    pub(crate) stage: Stage,
    /// The low half of the layer-4 key by which policy judges the packet itself: destination port, or ICMP type
    /// and code.
    pub(crate) service: u16,
}

impl Segment {
    #[inline(always)]
    pub(crate) fn parse<const AT: usize>(
        packet: &impl Packet,
        datagram: &Datagram<AT>,
        seen: &mut Seen,
    ) -> ControlFlow<Reason, Self> {
        match (datagram.protocol, datagram.source.is_v4()) {
            (TCP, _) => tcp(packet, datagram, seen),
            (UDP, _) => udp(packet, datagram, seen),
            (SCTP, _) => sctp(packet, datagram, seen),
            (ICMP, true) => icmp::parse(packet, datagram, seen, icmp::Family::V4),
            (ICMPV6, false) => icmp::parse(packet, datagram, seen, icmp::Family::V6),
            (IGMP, true) => igmp(packet, datagram),
            // The other family's control protocols, and extension headers of IPv6 over IPv4.
            (ICMP | IGMP, false) | (ICMPV6 | 0 | 43 | 44 | 59 | 60, true) => Break(Reason::UnknownProtocol),
            _ => Continue(Self { stage: Stage::Any, ..Self::without_header(datagram) }),
        }
    }

    /// A packet of whose transport header nothing is known.
    #[inline(always)]
    pub(crate) fn without_header<const AT: usize>(datagram: &Datagram<AT>) -> Self {
        let Datagram { source, destination, protocol, .. } = *datagram;
        let tuple = Tuple { source, destination, protocol, ..Tuple::default() };
        Self { protocol, tuple, stage: Stage::Alone, service: 0 }
    }

    /// The layer-4 key by which policy judges the connection's opener. `answer`: this packet is of the other end.
    #[inline(always)]
    pub(crate) fn forward_key(&self, answer: bool) -> u32 {
        let low = match (answer, self.protocol) {
            (false, _) => self.service,
            (true, ICMP) => (icmp::ECHO_REQUEST_V4 as u16) << 8,
            (true, ICMPV6) => (icmp::ECHO_REQUEST_V6 as u16) << 8,
            (true, _) => self.tuple.source_port,
        };
        (self.protocol as u32) << 16 | low as u32
    }

    #[inline(always)]
    fn between<const AT: usize>(
        datagram: &Datagram<AT>,
        ports: [u8; 4],
        stage: Stage,
        seen: &mut Seen,
    ) -> ControlFlow<Reason, Self> {
        let [s0, s1, d0, d1] = ports;
        let (source_port, destination_port) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        seen.source_port = source_port;
        seen.destination_port = destination_port;
        if source_port == 0 || destination_port == 0 {
            return Break(Reason::Malformed);
        }
        let tuple = Tuple {
            source: datagram.source,
            destination: datagram.destination,
            source_port,
            destination_port,
            protocol: datagram.protocol,
            answers_echo: false,
        };
        Continue(Self { protocol: datagram.protocol, tuple, stage, service: destination_port })
    }
}

#[inline(always)]
fn tcp<const AT: usize>(
    packet: &impl Packet,
    datagram: &Datagram<AT>,
    seen: &mut Seen,
) -> ControlFlow<Reason, Segment> {
    const SYN_ACK: u8 = SYN | ACK;
    const RST_ACK: u8 = RST | ACK;
    const FIN_ACK: u8 = FIN | ACK;

    if datagram.length < TCP_HEADER {
        return Break(Reason::Truncated);
    }
    let [data_offset, flags] = packet.need(AT + 12)?;
    seen.tcp_flags = flags;
    let header = (data_offset >> 4) as u32 * 4;
    if header < TCP_HEADER {
        return Break(Reason::Malformed);
    }
    if header > datagram.length {
        return Break(Reason::Truncated);
    }
    // Any other mix of these four is a scan: null, Xmas, SYN+FIN, SYN+RST, a FIN that acknowledges nothing.
    let stage = match flags & (FIN | SYN | RST | ACK) {
        SYN if flags & URG == 0 => Stage::Opens,
        RST if flags & URG == 0 => Stage::Resets,
        RST_ACK => Stage::Resets,
        FIN_ACK => Stage::Closes,
        ACK | SYN_ACK => Stage::Continues,
        _ => return Break(Reason::Malformed),
    };
    Segment::between(datagram, packet.need(AT)?, stage, seen)
}

#[inline(always)]
fn udp<const AT: usize>(
    packet: &impl Packet,
    datagram: &Datagram<AT>,
    seen: &mut Seen,
) -> ControlFlow<Reason, Segment> {
    if datagram.length < UDP_HEADER {
        return Break(Reason::Truncated);
    }
    let [l0, l1, checksum @ ..] = packet.need::<4>(AT + 4)?;
    let length = u16::from_be_bytes([l0, l1]) as u32;
    // Shorter than what IP carries hides bytes from one reader or the other. No checksum over IPv6: RFC 8200 §8.1.
    let unchecked = !datagram.source.is_v4() && u16::from_be_bytes(checksum) == 0;
    match (datagram.part, length) {
        _ if unchecked => return Break(Reason::Malformed),
        (Part::First, length) if length > datagram.length => {} // the rest is in other fragments
        (Part::First, _) => return Break(Reason::Malformed),
        (_, length) if length > datagram.length => return Break(Reason::Truncated),
        (_, length) if length < datagram.length => return Break(Reason::Malformed),
        _ => {}
    }
    Segment::between(datagram, packet.need(AT)?, Stage::Any, seen)
}

/// RFC 9260: a common header of 12 bytes, then chunks, of which the first decides.
#[inline(always)]
fn sctp<const AT: usize>(
    packet: &impl Packet,
    datagram: &Datagram<AT>,
    seen: &mut Seen,
) -> ControlFlow<Reason, Segment> {
    const COMMON_HEADER: usize = 12;
    const CHUNK_HEADER: u32 = 4;
    const INIT_CHUNK: u32 = 20;
    const INIT: u8 = 1;
    const ABORT: u8 = 6;
    const SHUTDOWN: u8 = 7;
    const SHUTDOWN_ACK: u8 = 8;
    const SHUTDOWN_COMPLETE: u8 = 14;

    if datagram.length < COMMON_HEADER as u32 + CHUNK_HEADER {
        return Break(Reason::Truncated);
    }
    let tag = u32::from_be_bytes(packet.need(AT + 4)?);
    let [chunk, _, l0, l1] = packet.need(AT + COMMON_HEADER)?;
    let length = u16::from_be_bytes([l0, l1]) as u32;
    let chunks = datagram.length - COMMON_HEADER as u32;
    if length > chunks && !datagram.part.is_first() {
        return Break(Reason::Truncated);
    }
    // The verification tag is zero in an INIT and nowhere else (§8.5.1).
    if length < CHUNK_HEADER || (chunk == INIT) != (tag == 0) {
        return Break(Reason::Malformed);
    }
    // An INIT has a header of its own and comes alone (§3.3.2, §6.10): what follows it would pass unread.
    if chunk == INIT && (length < INIT_CHUNK || length.next_multiple_of(4) < chunks) {
        return Break(Reason::Malformed);
    }
    let stage = match chunk {
        INIT => Stage::Opens,
        ABORT => Stage::Resets,
        SHUTDOWN | SHUTDOWN_ACK | SHUTDOWN_COMPLETE => Stage::Closes,
        _ => Stage::Continues,
    };
    Segment::between(datagram, packet.need(AT)?, stage, seen)
}

/// Eight bytes, of which the first is the type; [`crate::group`] says more.
#[inline(always)]
fn igmp<const AT: usize>(packet: &impl Packet, datagram: &Datagram<AT>) -> ControlFlow<Reason, Segment> {
    const HEADER: u32 = 8;
    if datagram.length < HEADER {
        return Break(Reason::Truncated);
    }
    let [igmp_type] = packet.need(AT)?;
    Continue(Segment { service: (igmp_type as u16) << 8, ..Segment::without_header(datagram) })
}
