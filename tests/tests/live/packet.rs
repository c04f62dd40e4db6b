//! What of a packet is written down.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use super::flows::{Carrier, Ends, PORTS};

/// Which end a packet goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Toward {
    Server,
    Client,
}

/// A packet of a flow. Equal packets are the same one, or copies: everything from the layer-4 header on is in `digest`, which
/// holds TCP's sequence number or the number in our datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Packet {
    pub(crate) ends: Ends,
    pub(crate) client_port: u16,
    pub(crate) toward: Toward,
    /// A SYN without ACK.
    pub(crate) opens: bool,
    pub(crate) digest: u64,
}

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

impl Packet {
    /// Whose packet it is.
    pub(crate) fn source(&self) -> IpAddr {
        match self.toward {
            Toward::Server => self.ends.client,
            Toward::Client => self.ends.server.ip(),
        }
    }

    /// Who it is for.
    pub(crate) fn destination(&self) -> IpAddr {
        match self.toward {
            Toward::Server => self.ends.server.ip(),
            Toward::Client => self.ends.client,
        }
    }

    /// Reads what begins with an IP header; `None` if it is no packet of a flow of ours.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (protocol, source, destination, segment) = network(bytes)?;
        let (carrier, checksum) = match protocol {
            6 => (Carrier::Tcp, 16),
            17 => (Carrier::Udp, 6),
            _ => return None,
        };
        let half = |at: usize| Some(u16::from_be_bytes(*segment.get(at..)?.first_chunk()?));
        let (from_port, to_port) = (half(0)?, half(2)?);
        let (toward, client, client_port, server, port) = if PORTS.contains(&to_port) {
            (Toward::Server, source, from_port, destination, to_port)
        } else if PORTS.contains(&from_port) {
            (Toward::Client, destination, to_port, source, from_port)
        } else {
            return None;
        };
        let opens = carrier == Carrier::Tcp && segment.get(13)? & (SYN | ACK) == SYN;
        let ends = Ends { client, server: SocketAddr::new(server, port), carrier };
        Some(Self { ends, client_port, toward, opens, digest: digest(segment, checksum)? })
    }
}

/// Protocol, source, destination, and the rest. Ours have no extension headers and no fragments.
fn network(bytes: &[u8]) -> Option<(u8, IpAddr, IpAddr, &[u8])> {
    match bytes.first()? >> 4 {
        4 => {
            let address = |at: usize| Some(IpAddr::from(*bytes.get(at..)?.first_chunk::<4>()?));
            let header = usize::from(bytes[0] & 0xf) * 4;
            Some((*bytes.get(9)?, address(12)?, address(16)?, bytes.get(header..)?))
        }
        6 => {
            let address = |at: usize| Some(IpAddr::from(*bytes.get(at..)?.first_chunk::<16>()?));
            Some((*bytes.get(6)?, address(8)?, address(24)?, bytes.get(40..)?))
        }
        _ => None,
    }
}

/// Without the checksum: where it leaves, a packet may not have one yet (checksum offload).
fn digest(segment: &[u8], checksum: usize) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    segment.get(..checksum)?.hash(&mut hasher);
    segment.get(checksum + 2..)?.hash(&mut hasher);
    Some(hasher.finish())
}
