//! Frames, built field by field and right unless a test breaks them.

use std::{net::IpAddr, vec, vec::Vec};

/// TCP flag.
pub const FIN: u8 = 0x01;
/// TCP flag.
pub const SYN: u8 = 0x02;
/// TCP flag.
pub const RST: u8 = 0x04;
/// TCP flag.
pub const PSH: u8 = 0x08;
/// TCP flag.
pub const ACK: u8 = 0x10;
/// TCP flag.
pub const URG: u8 = 0x20;

/// Offset of the IP header.
pub const IP: usize = 14;
/// Offset of the transport header over IPv4.
pub const OVER_V4: usize = 34;
/// Offset of the transport header over IPv6.
pub const OVER_V6: usize = 54;

const DESTINATION_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const SOURCE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// A transport header with payload.
#[derive(Clone, Debug)]
pub struct Transport {
    /// Protocol over IPv4, and over IPv6.
    protocol: [u8; 2],
    bytes: Vec<u8>,
}

/// An Ethernet frame.
pub fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    to(DESTINATION_MAC, ether_type, payload)
}

/// An Ethernet frame to a MAC address of choice.
pub fn to(destination: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&destination[..], &SOURCE_MAC, &ether_type.to_be_bytes(), payload].concat()
}

/// An IP packet in a frame, in the family of its addresses.
///
/// # Panics
/// If an address can't be read or the families differ.
pub fn packet(source: &str, destination: &str, transport: Transport) -> Vec<u8> {
    let ip = datagram(source, destination, transport);
    ethernet(if ip[0] >> 4 == 4 { 0x0800 } else { 0x86dd }, &ip)
}

/// An IP packet without a frame.
///
/// # Panics
/// If an address can't be read or the families differ.
pub fn datagram(source: &str, destination: &str, transport: Transport) -> Vec<u8> {
    let Transport { protocol: [v4, v6], bytes } = transport;
    let length = u16::try_from(bytes.len()).expect("fits a packet");
    match (source.parse().expect(source), destination.parse().expect(destination)) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, v4, 0, 0];
            header[2..4].copy_from_slice(&(length + 20).to_be_bytes());
            [&header[..], &source.octets(), &destination.octets(), &bytes].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let [high, low] = length.to_be_bytes();
            [&[0x60, 0, 0, 0, high, low, v6, 64][..], &source.octets(), &destination.octets(), &bytes]
                .concat()
        }
        (source, destination) => panic!("{source} and {destination} are of two families"),
    }
}

/// TCP.
pub fn tcp(source: u16, destination: u16, flags: u8) -> Transport {
    let mut bytes = vec![0; 20];
    bytes[..4].copy_from_slice(&ports(source, destination));
    bytes[12..14].copy_from_slice(&[0x50, flags]);
    Transport { protocol: [6, 6], bytes }
}

/// UDP with four bytes.
pub fn udp(source: u16, destination: u16) -> Transport {
    let bytes = [&ports(source, destination)[..], &[0, 12, 0x12, 0x34], b"data"].concat();
    Transport { protocol: [17, 17], bytes }
}

/// UDP with `length` bytes of data.
pub fn long_udp(source: u16, destination: u16, length: u16) -> Transport {
    let [high, low] = (length + 8).to_be_bytes();
    let header = [&ports(source, destination)[..], &[high, low, 0x12, 0x34]].concat();
    Transport { protocol: [17, 17], bytes: [header, vec![b'x'; length.into()]].concat() }
}

/// SCTP with one chunk, of 20 bytes; the verification tag is zero for an INIT.
pub fn sctp(source: u16, destination: u16, chunk: u8) -> Transport {
    let tag = if chunk == 1 { [0; 4] } else { [0, 0, 0, 9] };
    let bytes = [&ports(source, destination)[..], &tag, &[0; 4], &[chunk, 0, 0, 20], &[0; 16]].concat();
    Transport { protocol: [132, 132], bytes }
}

/// ICMP or ICMPv6, by the packet's family; `body` follows the checksum.
pub fn icmp(icmp_type: u8, code: u8, body: &[u8]) -> Transport {
    Transport { protocol: [1, 58], bytes: [&[icmp_type, code, 0, 0][..], body].concat() }
}

/// An echo request or reply: `icmp_type` with an identifier.
pub fn echo(icmp_type: u8, identifier: u16) -> Transport {
    icmp(icmp_type, 0, &[&identifier.to_be_bytes()[..], &[0, 1], b"ping"].concat())
}

/// An ICMP error that quotes `about`, an IP packet.
pub fn error(icmp_type: u8, code: u8, about: &[u8]) -> Transport {
    icmp(icmp_type, code, &[&[0; 4][..], about].concat())
}

/// Neighbour discovery that names `target`.
///
/// # Panics
/// If the target is no IPv6 address.
pub fn neighbour(icmp_type: u8, target: &str) -> Transport {
    let target: std::net::Ipv6Addr = target.parse().expect(target);
    icmp(icmp_type, 0, &[&[0; 4][..], &target.octets()].concat())
}

/// Any other protocol.
pub fn other(protocol: u8) -> Transport {
    Transport { protocol: [protocol; 2], bytes: vec![0; 24] }
}

/// IGMP with a group.
///
/// # Panics
/// If the group is no IPv4 address.
pub fn igmp(igmp_type: u8, group: &str) -> Transport {
    let group: std::net::Ipv4Addr = group.parse().expect(group);
    Transport { protocol: [2, 2], bytes: [&[igmp_type, 0, 0, 0][..], &group.octets()].concat() }
}

/// An ARP request (1) or reply (2).
///
/// # Panics
/// If an address is no IPv4 address.
pub fn arp(operation: u8, sender: &str, target: &str) -> Vec<u8> {
    let v4 = |text: &str| text.parse::<std::net::Ipv4Addr>().expect(text).octets();
    let fixed = [0, 1, 8, 0, 6, 4, 0, operation];
    let payload = [&fixed[..], &SOURCE_MAC, &v4(sender), &[0; 6], &v4(target)].concat();
    to([0xff; 6], 0x0806, &payload)
}

/// The frame with `bytes` written at `offset`.
pub fn patched(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

/// The first `length` bytes of the frame.
pub fn cut(mut frame: Vec<u8>, length: usize) -> Vec<u8> {
    frame.truncate(length);
    frame
}

/// An IPv6 packet with hop limit 255, as neighbour discovery demands.
pub fn on_link(frame: Vec<u8>) -> Vec<u8> {
    patched(frame, IP + 7, &[255])
}

fn ports(source: u16, destination: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (source.to_be_bytes(), destination.to_be_bytes());
    [a, b, c, d]
}

/// The frame with VLAN tags, outermost first: Ethernet type of the tag, and its control information.
pub fn tagged(mut frame: Vec<u8>, tags: &[(u16, u16)]) -> Vec<u8> {
    let tags = tags.iter().flat_map(|(kind, control)| [kind.to_be_bytes(), control.to_be_bytes()].concat());
    frame.splice(12..12, tags.collect::<Vec<_>>());
    frame
}

/// The IPv4 packet with options, a multiple of four bytes.
pub fn with_options(mut frame: Vec<u8>, options: &[u8]) -> Vec<u8> {
    let total = u16::from_be_bytes([frame[IP + 2], frame[IP + 3]]) + options.len() as u16;
    frame[IP] += (options.len() / 4) as u8;
    frame[IP + 2..IP + 4].copy_from_slice(&total.to_be_bytes());
    frame.splice(OVER_V4..OVER_V4, options.iter().copied());
    frame
}

/// The IPv6 packet with extension headers, outermost first: the number of each, and its bytes without the first,
/// which says what follows.
pub fn with_extensions(mut frame: Vec<u8>, headers: &[(u8, &[u8])]) -> Vec<u8> {
    let transport = frame[IP + 6];
    let following = headers.iter().skip(1).map(|(number, _)| *number).chain([transport]);
    let chain = headers.iter().zip(following).flat_map(|((_, bytes), next)| [&[next], *bytes].concat());
    let chain: Vec<u8> = chain.collect();
    let length = u16::from_be_bytes([frame[IP + 4], frame[IP + 5]]) + chain.len() as u16;
    frame[IP + 4..IP + 6].copy_from_slice(&length.to_be_bytes());
    frame[IP + 6] = headers.first().map_or(transport, |(number, _)| *number);
    frame.splice(OVER_V6..OVER_V6, chain);
    frame
}

/// Which part of a datagram a fragment is.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// The identification.
    pub id: u16,
    /// Offset in bytes, a multiple of 8.
    pub start: u16,
    /// The last one.
    pub last: bool,
}

/// A fragment of an IPv4 or IPv6 packet without options or extensions: `length` bytes of its payload from the cut's
/// start on, filled up with zeroes where the packet is shorter.
pub fn fragment(frame: &[u8], cut: Cut, length: usize) -> Vec<u8> {
    let v4 = frame[IP] >> 4 == 4;
    let header = if v4 { OVER_V4 } else { OVER_V6 };
    let mut payload: Vec<u8> = frame[header..].iter().copied().skip(cut.start.into()).take(length).collect();
    payload.resize(length, 0);
    let mut fixed = frame[..header].to_vec();
    let more = u16::from(!cut.last);
    if v4 {
        fixed[IP + 2..IP + 4].copy_from_slice(&(length as u16 + 20).to_be_bytes());
        fixed[IP + 4..IP + 6].copy_from_slice(&cut.id.to_be_bytes());
        fixed[IP + 6..IP + 8].copy_from_slice(&((more << 13) | (cut.start / 8)).to_be_bytes());
        return [fixed, payload].concat();
    }
    fixed[IP + 4..IP + 6].copy_from_slice(&(length as u16).to_be_bytes());
    let header = fragment_header(cut);
    with_extensions([fixed, payload].concat(), &[(44, &header)])
}

/// The fragment header of IPv6 without its first byte.
pub fn fragment_header(cut: Cut) -> [u8; 7] {
    let ([o0, o1], [i0, i1]) = ((cut.start | u16::from(!cut.last)).to_be_bytes(), cut.id.to_be_bytes());
    [0, o0, o1, 0, 0, i0, i1]
}
