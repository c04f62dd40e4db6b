//! Flows, the frames they consist of, and the records by which the feeder turns one frame into the next.

use std::net::IpAddr;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// One direction of a TCP connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
}

impl Flow {
    pub(crate) fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }
}

/// What a frame is to its connection. Sequence numbers fit together, so that every tracker takes a handshake of
/// the three, and after it `Ack` any number of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Syn,
    SynAck,
    Ack,
}

/// Hardware address of the receiving port, so that the stack takes the frames for its own.
pub(crate) const RECEIVER: [u8; 6] = [2, 0, 0, 0, 0, 0xb];
const SENDER: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
const ETHERNET: usize = 14;
const TCP: u8 = 6;
/// The shortest Ethernet frame, without its checksum.
const SHORTEST: usize = 60;

/// The bytes of a frame.
pub(crate) fn frame(flow: &Flow, segment: Segment) -> Vec<u8> {
    let tcp = tcp(flow, segment);
    let mut frame = [RECEIVER, SENDER].concat();
    match (flow.source, flow.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let length = (20 + tcp.len()) as u16;
            frame.extend([0x08, 0x00, 0x45, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([0, 1, 0x40, 0, 64, TCP, 0, 0]); // don't fragment, 64 hops
            frame.extend(source.octets());
            frame.extend(destination.octets());
            let checksum = checksum(&[&frame[ETHERNET..]]);
            frame[24..26].copy_from_slice(&checksum);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((tcp.len() as u16).to_be_bytes());
            frame.extend([TCP, 64]);
            frame.extend(source.octets());
            frame.extend(destination.octets());
        }
        _ => panic!("a flow is of one family: {flow:?}"),
    }
    frame.extend(tcp);
    frame.resize(frame.len().max(SHORTEST), 0);
    frame
}

fn tcp(flow: &Flow, segment: Segment) -> Vec<u8> {
    const OPENER: u32 = 1_000;
    const ANSWERER: u32 = 5_000;
    let (sequence, acknowledged, flags): (u32, u32, u8) = match segment {
        Segment::Syn => (OPENER, 0, 0x02),
        Segment::SynAck => (ANSWERER, OPENER + 1, 0x12),
        Segment::Ack => (OPENER + 1, ANSWERER + 1, 0x10),
    };
    let mut tcp = Vec::with_capacity(20);
    tcp.extend(flow.source_port.to_be_bytes());
    tcp.extend(flow.destination_port.to_be_bytes());
    tcp.extend(sequence.to_be_bytes());
    tcp.extend(acknowledged.to_be_bytes());
    tcp.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    let pseudo = [octets(flow.source), octets(flow.destination), vec![0, TCP, 0, tcp.len() as u8]].concat();
    let checksum = checksum(&[&pseudo, &tcp]);
    tcp[16..18].copy_from_slice(&checksum);
    tcp
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The Internet checksum (RFC 1071) over parts of even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// A run of bytes that differs from frame to frame of a family: where it is in the record, and in the frame.
#[derive(Clone, Copy)]
pub(crate) struct Varying {
    pub(crate) record: i16,
    pub(crate) frame: i16,
    pub(crate) bytes: i16,
}

/// How a family's records are laid out. Small records, read in order, keep the feeder's own cost low.
pub(crate) struct RecordLayout {
    pub(crate) bytes: usize,
    pub(crate) varying: &'static [Varying],
}

/// Addresses and ports (one run), and the checksums.
pub(crate) fn layout(family: Family) -> RecordLayout {
    match family {
        Family::V4 => RecordLayout {
            bytes: 16,
            varying: &[
                Varying { record: 0, frame: 26, bytes: 12 },
                Varying { record: 12, frame: 24, bytes: 2 },
                Varying { record: 14, frame: 50, bytes: 2 },
            ],
        },
        Family::V6 => RecordLayout {
            bytes: 40,
            varying: &[
                Varying { record: 0, frame: 22, bytes: 36 },
                Varying { record: 36, frame: 70, bytes: 2 },
            ],
        },
    }
}

/// The record of a frame.
pub(crate) fn record(family: Family, frame: &[u8]) -> Vec<u8> {
    let layout = layout(family);
    let mut record = vec![0; layout.bytes];
    for Varying { record: to, frame: from, bytes } in layout.varying {
        let (to, from, bytes) = (*to as usize, *from as usize, *bytes as usize);
        record[to..to + bytes].copy_from_slice(&frame[from..from + bytes]);
    }
    record
}
