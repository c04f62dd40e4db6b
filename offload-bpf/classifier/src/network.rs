//! IPv4 and IPv6 headers.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::Reason;

use crate::{ip::Ip, link, packet::Packet};

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// Offset of what an IPv4 header carries; there are no options.
pub(crate) const IPV4_PAYLOAD: usize = link::HEADER + IPV4_HEADER;
/// Offset of what an IPv6 header carries; there are no extension headers.
pub(crate) const IPV6_PAYLOAD: usize = link::HEADER + IPV6_HEADER;

/// An IP packet without options, extension headers or fragmentation. `PAYLOAD` is the offset of what it carries: a
/// constant of the type, so that every load of a transport header has a constant offset too.
pub(crate) struct Datagram<const PAYLOAD: usize> {
    pub(crate) source: Ip,
    pub(crate) destination: Ip,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    /// Bytes of payload by the IP header; the frame has at least as many.
    pub(crate) length: u32,
}

impl Datagram<IPV4_PAYLOAD> {
    #[inline(always)]
    pub(crate) fn parse_v4(packet: &impl Packet) -> ControlFlow<Reason, Self> {
        let bytes = packet.need::<IPV4_HEADER>(link::HEADER)?;
        let [
            version,
            _,
            length_high,
            length_low,
            _,
            _,
            fragment_high,
            fragment_low,
            hop_limit,
            protocol,
            _,
            _,
            addresses @ ..,
        ] = bytes;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
        match version {
            0x45 => {}
            0x46..=0x4f => return Break(Reason::Extension),
            _ => return Break(Reason::Malformed),
        }
        let total = u16::from_be_bytes([length_high, length_low]) as u32;
        if total < IPV4_HEADER as u32 || link::HEADER as u32 + total > packet.length() {
            return Break(Reason::Truncated);
        }
        match u16::from_be_bytes([fragment_high, fragment_low]) & !0x4000 {
            0 => {} // whole, whether "don't fragment" is set or not
            reserved if reserved & 0x8000 != 0 => return Break(Reason::Malformed),
            _ => return Break(Reason::Fragment),
        }
        Continue(Self {
            source: Ip::from_v4([s0, s1, s2, s3]),
            destination: Ip::from_v4([d0, d1, d2, d3]),
            protocol,
            hop_limit,
            length: total - IPV4_HEADER as u32,
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
        match protocol {
            44 => return Break(Reason::Fragment),
            // Hop-by-hop, routing, ESP, AH, destination options, mobility, HIP, shim6, experiments (RFC 7045).
            0 | 43 | 50 | 51 | 60 | 135 | 139 | 140 | 253 | 254 => return Break(Reason::Extension),
            _ => {}
        }
        Continue(Self { source, destination, protocol, hop_limit, length })
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

    /// What remains to be a packet between two ends, once control traffic has been told apart.
    #[inline(always)]
    pub(crate) fn check_unicast(&self) -> ControlFlow<Reason> {
        if self.source.is_unspecified() || self.source == self.destination {
            return Break(Reason::Martian);
        }
        if self.destination.is_multicast() { Break(Reason::Multicast) } else { Continue(()) }
    }
}
