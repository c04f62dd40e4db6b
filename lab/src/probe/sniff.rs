//! Noting every first packet that reaches a namespace, answered or not.

use std::io;
use std::net::IpAddr;

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use selvedge_topology::l4::{L4Key, Protocol};
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;

use super::station::Lookout;

/// Bytes of packets kept while the thread is busy.
const BUFFER: usize = 8 << 20;
/// Bytes of a packet that are looked at: the longest IP header and the first of layer 4.
const SNAP: usize = 128;

/// The first packet of a flow, where it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Arrival {
    /// What policy decides on.
    pub key: L4Key,
    /// From.
    pub from: IpAddr,
    /// To.
    pub to: IpAddr,
    /// Source port, or identifier of an echo request.
    pub from_port: u16,
}

/// A packet socket.
pub(super) struct Sniffer(UdpSocket);

impl Sniffer {
    /// Opens one in the thread's namespace.
    pub(super) fn open() -> io::Result<Self> {
        let protocol = i32::from((libc::ETH_P_ALL as u16).to_be());
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), Some(protocol.into()))?;
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
        // Of all the ways to wait for a socket that is read by recv(2), this one needs no unsafe code.
        Ok(Self(UdpSocket::from_std(socket.into())?))
    }

    /// Notes what arrives for `addresses`, for as long as the runtime lives.
    pub(super) async fn run(self, addresses: Vec<IpAddr>, lookout: Lookout) {
        let mut packet = [0; SNAP];
        loop {
            // An error is of an interface that goes away (packet(7)).
            let Some(arrival) =
                self.0.recv(&mut packet).await.ok().and_then(|length| first_packet(&packet[..length]))
            else {
                continue;
            };
            if addresses.contains(&arrival.to) {
                lookout.note(arrival);
            }
        }
    }
}

/// What begins with an IP header, if it is the first packet of a flow that is probed.
fn first_packet(packet: &[u8]) -> Option<Arrival> {
    let (protocol, from, to, payload) = match packet.first()? >> 4 {
        4 => {
            let address = |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<4>()?));
            let header = usize::from(packet[0] & 0xf) * 4;
            (*packet.get(9)?, address(12)?, address(16)?, packet.get(header..)?)
        }
        6 => {
            let address = |at: usize| Some(IpAddr::from(*packet.get(at..)?.first_chunk::<16>()?));
            (*packet.get(6)?, address(8)?, address(24)?, packet.get(40..)?) // ours have no extension headers
        }
        _ => return None,
    };
    let half = |at: usize| Some(u16::from_be_bytes(*payload.get(at..)?.first_chunk()?));
    let (low, from_port) = match Protocol(protocol) {
        Protocol::TCP if payload.get(13)? & (SYN | ACK) == SYN => (half(2)?, half(0)?),
        Protocol::UDP => (half(2)?, half(0)?),
        Protocol::SCTP if *payload.get(12)? == SCTP_INIT => (half(2)?, half(0)?),
        Protocol::ICMP if payload.first()? == &8 => (half(0)?, half(4)?),
        Protocol::ICMPV6 if payload.first()? == &128 => (half(0)?, half(4)?),
        _ => return None,
    };
    Some(Arrival { key: L4Key::new(Protocol(protocol), low), from, to, from_port })
}

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const SCTP_INIT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend(payload);
        packet
    }

    #[test]
    fn a_syn_is_a_first_packet_and_its_answer_is_none() {
        let mut header = [0; 20];
        header[..4].copy_from_slice(&[0x9c, 0x40, 0x01, 0xbb]);
        header[13] = SYN;
        let arrival = first_packet(&ipv4(6, &header)).unwrap();
        assert_eq!((arrival.key, arrival.from_port), (L4Key::new(Protocol::TCP, 443), 40_000));
        assert_eq!(arrival.from, IpAddr::from([10, 0, 0, 1]));
        header[13] = SYN | ACK;
        assert_eq!(first_packet(&ipv4(6, &header)), None);
    }

    #[test]
    fn an_echo_request_is_known_by_its_identifier_and_short_packets_are_passed_over() {
        let arrival = first_packet(&ipv4(1, &[8, 0, 0, 0, 0x12, 0x34, 0, 1])).unwrap();
        assert_eq!((arrival.key, arrival.from_port), (L4Key::icmp(Protocol::ICMP, 8, 0), 0x1234));
        assert_eq!(first_packet(&ipv4(1, &[0, 0, 0, 0, 0x12, 0x34])), None, "a reply");
        for length in 0..28 {
            assert_eq!(first_packet(&ipv4(1, &[8, 0, 0, 0, 0x12, 0x34])[..length.min(25)]), None);
        }
        assert_eq!(first_packet(&[0x60; 39]), None);
    }
}
