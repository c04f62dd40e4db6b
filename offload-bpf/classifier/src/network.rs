//! IPv4 and IPv6 headers.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::Reason;

use crate::{
    ends::Sender,
    ip::Ip,
    link,
    packet::Packet,
    transport::{ICMPV6, SCTP, TCP, UDP},
};

pub(crate) const IPV4_HEADER: usize = 20;
pub(crate) const IPV6_HEADER: usize = 40;
/// The "more fragments" flag and the offset of a fragment, in the seventh and eighth byte of an IPv4 header.
const FRAGMENTATION: u16 = 0x3fff;

/// Offset of what a plain IPv4 header carries.
pub(crate) const IPV4_PAYLOAD: usize = link::HEADER + IPV4_HEADER;
/// Offset of what a plain IPv6 header carries.
pub(crate) const IPV6_PAYLOAD: usize = link::HEADER + IPV6_HEADER;

/// Whether this is IPv4 without options and fragmentation: what [`Datagram::parse_v4`] reads. All else, broken or
/// not, is for [`crate::extended`].
#[inline(always)]
pub(crate) fn is_plain_v4(packet: &impl Packet) -> bool {
    const VERSION_4_FIVE_WORDS: u8 = 0x45;
    packet.load::<8>(link::HEADER).is_some_and(|[version, _, _, _, _, _, high, low]| {
        version == VERSION_4_FIVE_WORDS && u16::from_be_bytes([high, low]) & FRAGMENTATION == 0
    })
}

/// Whether this is IPv6 without extension headers, of a protocol that has a header of its own here: what
/// [`Datagram::parse_v6`] reads.
#[inline(always)]
pub(crate) fn is_plain_v6(packet: &impl Packet) -> bool {
    packet.load::<1>(link::HEADER + 6).is_some_and(|[next]| matches!(next, TCP | UDP | ICMPV6 | SCTP))
}

/// How much of a datagram a packet is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Part {
    #[default]
    Whole,
    /// All of it, behind a fragment header (RFC 6946).
    Atomic,
    /// Its begin, with the transport header.
    First,
    /// A part without the transport header, and not the last.
    Later,
    /// The last part.
    Last,
}

impl Part {
    /// No part, but all of a packet.
    #[inline(always)]
    pub(crate) fn is_whole(self) -> bool {
        matches!(self, Self::Whole | Self::Atomic)
    }

    #[inline(always)]
    pub(crate) fn is_first(self) -> bool {
        self == Self::First
    }

    #[inline(always)]
    pub(crate) fn is_later(self) -> bool {
        matches!(self, Self::Later | Self::Last)
    }
}

/// The place of a fragment in its datagram; all zero where the packet is none. A struct and not the parts' data, because
/// the verifier refuses to copy what a variant leaves undefined.
#[derive(Clone, Copy, Default)]
pub(crate) struct Place {
    pub(crate) id: u32,
    /// Offsets count the bytes of what is fragmented.
    pub(crate) start: u16,
    pub(crate) end: u16,
}

/// Whether an option asks every router on the way to look (RFC 2113, RFC 2711).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum RouterAlert {
    #[default]
    Absent,
    Present,
}

/// An IP packet. `PAYLOAD` is the offset of what it carries: a constant of the type, so that every load of a transport
/// header has a constant offset too.
pub(crate) struct Datagram<const PAYLOAD: usize> {
    pub(crate) source: Ip,
    pub(crate) destination: Ip,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    /// Bytes of payload by the IP header; the frame has at least as many.
    pub(crate) length: u32,
    pub(crate) part: Part,
    pub(crate) router_alert: RouterAlert,
}

impl Datagram<IPV4_PAYLOAD> {
    #[inline(always)]
    pub(crate) fn parse_v4(packet: &impl Packet) -> ControlFlow<Reason, Self> {
        let bytes = packet.need::<IPV4_HEADER>(link::HEADER)?;
        let [_, _, length_high, length_low, _, _, flags, _, hop_limit, protocol, _, _, addresses @ ..] =
            bytes;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
        let total = u16::from_be_bytes([length_high, length_low]) as u32;
        if total < IPV4_HEADER as u32 || link::HEADER as u32 + total > packet.length() {
            return Break(Reason::Truncated);
        }
        if flags & 0x80 != 0 {
            return Break(Reason::Malformed); // reserved (RFC 791 §3.1)
        }
        Continue(Self {
            source: Ip::from_v4([s0, s1, s2, s3]),
            destination: Ip::from_v4([d0, d1, d2, d3]),
            protocol,
            hop_limit,
            length: total - IPV4_HEADER as u32,
            part: Part::Whole,
            router_alert: RouterAlert::Absent,
        })
    }
}

impl Datagram<IPV6_PAYLOAD> {
    #[inline(always)]
    pub(crate) fn parse_v6(packet: &impl Packet) -> ControlFlow<Reason, Self> {
        const SOURCE: usize = link::HEADER + 8;
        let fixed = packet.need::<8>(link::HEADER)?;
        let source = Ip::from_halves(packet.need_u64(SOURCE)?, packet.need_u64(SOURCE + 8)?);
        let destination = Ip::from_halves(packet.need_u64(SOURCE + 16)?, packet.need_u64(SOURCE + 24)?);
        let [version, _, _, _, length_high, length_low, protocol, hop_limit] = fixed;
        if version >> 4 != 6 {
            return Break(Reason::Malformed);
        }
        let length = u16::from_be_bytes([length_high, length_low]) as u32;
        if IPV6_PAYLOAD as u32 + length > packet.length() {
            return Break(Reason::Truncated);
        }
        if source.is_v4() || destination.is_v4() {
            return Break(Reason::Martian); // would be taken for IPv4 in every table
        }
        let (part, router_alert) = (Part::Whole, RouterAlert::Absent);
        Continue(Self { source, destination, protocol, hop_limit, length, part, router_alert })
    }
}

impl<const PAYLOAD: usize> Datagram<PAYLOAD> {
    /// Addresses that no packet may have, not even address configuration and discovery.
    #[inline(always)]
    pub(crate) fn check_addresses(&self) -> ControlFlow<Reason> {
        if self.source.is_multicast()
            || self.source.is_never_on_wire()
            || self.destination.is_never_on_wire()
            || self.destination.is_unspecified()
        {
            return Break(Reason::Martian);
        }
        Continue(())
    }

    /// What remains to be a packet between two ends, once control traffic has been told apart. What the node sends to
    /// groups is decided by who sends it, later.
    #[inline(always)]
    pub(crate) fn check_unicast(&self, sender: Sender) -> ControlFlow<Reason> {
        if self.source.is_unspecified() || self.source == self.destination {
            return Break(Reason::Martian);
        }
        if self.destination.is_multicast() && sender != Sender::Node {
            return Break(Reason::Multicast);
        }
        Continue(())
    }
}
