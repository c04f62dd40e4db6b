//! SCTP INITs, sent raw: many kernels have no SCTP, and whether the packet arrives is all that is asked.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

use super::ask::Question;
use super::{Arrival, Seen};

/// Lowest source port; each flow has its own.
const FIRST_PORT: u16 = 20_000;
const PORTS: usize = 40_000;

/// Sends one INIT. The answer, if any kernel gives one, is left to the kernel; the arrival is noted where it happens.
pub(super) async fn init(question: &Question, port: u16) -> io::Result<(Seen, Arrival)> {
    let domain = if question.from.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(Protocol::from(SCTP)))?;
    socket.bind(&SocketAddr::new(question.from, 0).into())?;
    let from_port = FIRST_PORT + (question.number % PORTS) as u16;
    socket.send_to(&packet(from_port, port), &SocketAddr::new(question.to, 0).into())?;
    // Nothing says that it has arrived but the other end's note, which is read when this round is over.
    tokio::time::sleep(question.patience).await;
    Ok((Seen::Silence, question.trace(from_port)))
}

const SCTP: i32 = 132;

/// An INIT chunk behind a common header (RFC 9260 §3.1, §3.3.2).
fn packet(from_port: u16, to_port: u16) -> Vec<u8> {
    let mut packet = Vec::with_capacity(32);
    packet.extend(from_port.to_be_bytes());
    packet.extend(to_port.to_be_bytes());
    packet.extend([0; 4]); // verification tag: 0 in an INIT
    packet.extend([0; 4]); // checksum, below
    packet.extend([1, 0, 0, 20]); // INIT, no flags, length
    packet.extend(1_u32.to_be_bytes()); // initiate tag
    packet.extend(65_536_u32.to_be_bytes()); // receiver window
    packet.extend([0, 1, 0, 1]); // one stream each way
    packet.extend(1_u32.to_be_bytes()); // initial TSN
    let checksum = crc32c(&packet);
    packet[8..12].copy_from_slice(&checksum.to_le_bytes());
    packet
}

/// CRC-32C, as RFC 9260 appendix A has it.
fn crc32c(bytes: &[u8]) -> u32 {
    const REFLECTED: u32 = 0x82f6_3b78;
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { REFLECTED } else { 0 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_rfcs() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa); // RFC 3720 B.4
    }
}
