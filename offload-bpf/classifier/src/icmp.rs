//! ICMP and ICMPv6: echo, errors with the packet they quote, and the rest.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::Reason;

use crate::{
    ip::Ip,
    network::Datagram,
    packet::Packet,
    report::Seen,
    transport::{ICMP, ICMPV6, SCTP, Segment, Stage, TCP, Tuple, UDP},
};

pub(crate) const ECHO_REPLY_V4: u8 = 0;
pub(crate) const ECHO_REQUEST_V4: u8 = 8;
pub(crate) const ECHO_REQUEST_V6: u8 = 128;
pub(crate) const ECHO_REPLY_V6: u8 = 129;

/// Bytes before the body, where an error quotes the packet it is about.
const HEADER: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

enum Kind {
    Request,
    Reply,
    Error,
    /// Source quench (RFC 6633).
    Withdrawn,
    Other,
}

impl Family {
    #[inline(always)]
    fn kind(self, icmp_type: u8) -> Kind {
        match (self, icmp_type) {
            (Family::V4, ECHO_REQUEST_V4) | (Family::V6, ECHO_REQUEST_V6) => Kind::Request,
            (Family::V4, ECHO_REPLY_V4) | (Family::V6, ECHO_REPLY_V6) => Kind::Reply,
            // Destination unreachable, time exceeded, parameter problem; packet too big.
            (Family::V4, 4) => Kind::Withdrawn,
            (Family::V4, 3 | 11 | 12) | (Family::V6, 1..=4) => Kind::Error,
            _ => Kind::Other,
        }
    }
}

#[inline(always)]
pub(crate) fn parse<const AT: usize>(
    packet: &impl Packet,
    datagram: &Datagram<AT>,
    seen: &mut Seen,
    family: Family,
) -> ControlFlow<Reason, Segment> {
    if datagram.length < HEADER as u32 {
        return Break(Reason::Truncated);
    }
    let [icmp_type, code, _, _, i0, i1] = packet.need::<6>(AT)?;
    seen.source_port = icmp_type as u16;
    seen.destination_port = code as u16;
    let identifier = u16::from_be_bytes([i0, i1]);
    let mut tuple = Tuple {
        source: datagram.source,
        destination: datagram.destination,
        source_port: identifier,
        destination_port: identifier,
        protocol: datagram.protocol,
        answers_echo: false,
    };
    let stage = match family.kind(icmp_type) {
        Kind::Request | Kind::Reply if code != 0 => return Break(Reason::Malformed),
        Kind::Request => Stage::Opens,
        Kind::Reply => {
            tuple.answers_echo = true;
            Stage::Continues
        }
        Kind::Error => match quoted(packet, datagram, family) {
            Some(original) => {
                tuple = original;
                Stage::Quotes
            }
            None => Stage::Alone,
        },
        Kind::Withdrawn => return Break(Reason::Deprecated),
        Kind::Other => Stage::Alone,
    };
    let service = (icmp_type as u16) << 8 | code as u16;
    Continue(Segment { protocol: datagram.protocol, tuple, stage, service })
}

/// The tuple of the packet that an error quotes, turned round so that it runs as the error does: the quoted
/// packet's sender is who the error is for. `None` where it isn't, or where the quotation can't be read.
#[inline(always)]
fn quoted<const AT: usize>(packet: &impl Packet, datagram: &Datagram<AT>, family: Family) -> Option<Tuple> {
    let at = AT + HEADER;
    let (protocol, sender, receiver, transport) = match family {
        Family::V4 => {
            let [version] = packet.load(at)?;
            let [_, fragment] = packet.load::<2>(at + 6)?;
            let [high] = packet.load(at + 6)?;
            if version != 0x45 || high & 0x3f != 0 || fragment != 0 {
                return None;
            }
            let [protocol] = packet.load(at + 9)?;
            (protocol, Ip::from_v4(packet.load(at + 12)?), Ip::from_v4(packet.load(at + 16)?), at + 20)
        }
        Family::V6 => {
            let [version] = packet.load(at)?;
            if version >> 4 != 6 {
                return None;
            }
            let [protocol] = packet.load(at + 6)?;
            let sender = Ip::from_halves(packet.load_u64(at + 8)?, packet.load_u64(at + 16)?);
            let receiver = Ip::from_halves(packet.load_u64(at + 24)?, packet.load_u64(at + 32)?);
            (protocol, sender, receiver, at + 40)
        }
    };
    // Eight bytes of the transport header are quoted at least (RFC 792); they must be within the packet.
    let quotes = (transport - AT) as u32 + 8;
    if datagram.length < quotes || sender != datagram.destination {
        return None;
    }
    let [a, b, c, d, e, f, ..] = packet.load::<8>(transport)?;
    let (sender_port, receiver_port, answers_echo) = match (protocol, family, a) {
        (TCP | UDP | SCTP, ..) => (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]), false),
        // The quoted request runs against the error; seen from the error's side it answers.
        (ICMP, Family::V4, ECHO_REQUEST_V4) | (ICMPV6, Family::V6, ECHO_REQUEST_V6) => {
            (u16::from_be_bytes([e, f]), u16::from_be_bytes([e, f]), true)
        }
        _ => return None,
    };
    Some(Tuple {
        source: receiver,
        destination: sender,
        source_port: receiver_port,
        destination_port: sender_port,
        protocol,
        answers_echo,
    })
}
