//! Packets that open a connection, as bytes, and the layer-4 keys that such packets have.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use selvedge_topology::l4::{L4Key, L4Range, Protocol};

/// Source port, and identifier of echo requests.
const SOURCE_PORT: u16 = 40_000;

/// The first packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Who opens it.
    pub source: IpAddr,
    /// To whom; of the same family.
    pub destination: IpAddr,
    /// The key that policy judges it by; one of [`carried`].
    pub key: L4Key,
}

const fn ports(protocol: Protocol) -> L4Range {
    L4Range { first: L4Key::new(protocol, 1), last: L4Key::new(protocol, u16::MAX) }
}

const fn message(protocol: Protocol, icmp_type: u8) -> L4Range {
    let key = L4Key::icmp(protocol, icmp_type, 0);
    L4Range { first: key, last: key }
}

/// Echo request, timestamp and its reply: the messages that policy alone decides on. Errors go by the connection that they
/// quote, echo replies by the one they belong to.
const V4: [L4Range; 6] = [
    message(Protocol::ICMP, 8),
    message(Protocol::ICMP, 13),
    message(Protocol::ICMP, 14),
    ports(Protocol::TCP),
    ports(Protocol::UDP),
    ports(Protocol::SCTP),
];
/// Likewise echo request, node information query and response.
const V6: [L4Range; 6] = [
    ports(Protocol::TCP),
    ports(Protocol::UDP),
    message(Protocol::ICMPV6, 128),
    message(Protocol::ICMPV6, 139),
    message(Protocol::ICMPV6, 140),
    ports(Protocol::SCTP),
];

/// The family of an address, as an index.
pub(super) fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}

/// The keys of packets of a family (IPv4, IPv6) that open a connection, or belong to none: ascending ranges.
pub(super) fn carried(family: usize) -> &'static [L4Range] {
    if family == 0 { &V4 } else { &V6 }
}

impl Packet {
    /// The packet in an Ethernet frame. Checksums are left out where a program may not look at them: XDP runs before
    /// anything verifies one.
    pub fn frame(&self) -> Vec<u8> {
        let transport = self.transport();
        let protocol = self.key.protocol().0;
        let length = transport.len() as u16; // no transport header here has a hundred bytes
        let mut frame = Vec::with_capacity(54 + transport.len());
        frame.extend([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
        match (self.source, self.destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend(ipv6(source, destination, protocol, length));
            }
            (source, destination) => frame.extend(ipv4(v4(source), v4(destination), protocol, length)),
        }
        frame.extend(transport);
        frame
    }

    fn transport(&self) -> Vec<u8> {
        let low = self.key.low().to_be_bytes();
        let from = SOURCE_PORT.to_be_bytes();
        let ports = [from, low].concat();
        match self.key.protocol() {
            // A SYN with a sequence number and a window.
            Protocol::TCP => {
                [&ports[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]].concat()
            }
            // Any checksum but none at all, which IPv6 forbids.
            Protocol::UDP => [&ports[..], &[0, 12, 0x12, 0x34], b"test"].concat(),
            // An INIT: initiate tag, window, one stream each way, first number (RFC 9260 §3.3.2).
            Protocol::SCTP => {
                let init = [1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0x10, 0, 0, 1, 0, 1, 0, 0, 0, 1];
                [&ports[..], &[0; 8], &init].concat()
            }
            // Type and code, checksum, identifier and sequence number, and what a timestamp or node query holds.
            _ => [&low[..], &[0, 0], &from, &[0, 1], &[0; 16]].concat(),
        }
    }
}

fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: u16) -> Vec<u8> {
    let [high, low] = (20 + payload).to_be_bytes();
    let fixed = [0x08, 0x00, 0x45, 0, high, low, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    [&fixed[..], &source.octets(), &destination.octets()].concat()
}

fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, payload: u16) -> Vec<u8> {
    let [high, low] = payload.to_be_bytes();
    let fixed = [0x86, 0xdd, 0x60, 0, 0, 0, high, low, protocol, 64];
    [&fixed[..], &source.octets(), &destination.octets()].concat()
}

/// The address as IPv4; unspecified, which no data path passes, where it is none.
fn v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} {}", self.source, self.destination, self.key)
    }
}
