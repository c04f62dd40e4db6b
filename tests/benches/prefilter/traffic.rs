//! The flood: openings to a port that nobody may reach, from everywhere, and among them some to the service.
//!
//! Frames of a list differ in addresses and ports only, so those that are allowed are openings as well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::frames::{Family, Flow, Segment, frame};
use crate::stage::SERVICE;

/// Of so many packets one is allowed.
pub(crate) const ALLOWED_ONE_IN: u32 = 100;
/// A port that no policy allows.
const DENIED_PORT: u16 = 22;
/// Frames in the list that is sent round and round: a divisor of what is sent in a run.
const FRAMES: u32 = 10_000;

/// Who sends what.
pub(crate) struct Traffic {
    pub(crate) family: Family,
    pub(crate) workload: IpAddr,
    pub(crate) peers: u32,
}

impl Traffic {
    pub(crate) fn new(family: Family, peers: u32) -> Self {
        let workload = match family {
            Family::V4 => Ipv4Addr::new(10, 1, 0, 1).into(),
            Family::V6 => Ipv6Addr::from_bits((0xfd00_0001 << 96) + 1).into(),
        };
        Self { family, workload, peers }
    }

    /// The address of a peer; neighbours are far apart, so no two are one run.
    pub(crate) fn peer(&self, index: u32) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::from_bits(0x0a40_0000 | index << 4).into(),
            Family::V6 => Ipv6Addr::from_bits((0xfd00_0064 << 96) | u128::from(index) << 4).into(),
        }
    }

    /// An address that nobody has.
    fn stranger(&self, index: u32) -> IpAddr {
        match self.family {
            Family::V4 => Ipv4Addr::from_bits(0xc633_0000 | index & 0xffff).into(),
            Family::V6 => Ipv6Addr::from_bits((0x2001_0db8 << 96) | u128::from(index)).into(),
        }
    }

    /// An allowed connection.
    pub(crate) fn connection(&self, index: u32) -> Flow {
        let source_port = 20_000 + (index / self.peers) as u16;
        let source = self.peer(index % self.peers);
        Flow { source, destination: self.workload, source_port, destination_port: SERVICE }
    }

    /// All of them.
    pub(crate) fn connections(&self) -> impl Iterator<Item = Flow> {
        (0..FRAMES / ALLOWED_ONE_IN).map(|index| self.connection(index))
    }

    /// A packet of an established one.
    pub(crate) fn established(&self) -> Vec<u8> {
        frame(&self.connection(0), Segment::Ack)
    }

    /// A packet of the flood.
    pub(crate) fn denied(&self, index: u32) -> Vec<u8> {
        // Half of the flood from peers, who may open connections to another port.
        let source =
            if index.is_multiple_of(2) { self.peer(index % self.peers) } else { self.stranger(index) };
        let source_port = 1_024 + (index % 60_000) as u16;
        let flow = Flow { source, destination: self.workload, source_port, destination_port: DENIED_PORT };
        frame(&flow, Segment::Syn)
    }

    /// What is sent.
    pub(crate) fn frames(&self) -> Vec<Vec<u8>> {
        let one = |index: u32| match index % ALLOWED_ONE_IN {
            0 => frame(&self.connection(index / ALLOWED_ONE_IN), Segment::Syn),
            _ => self.denied(index),
        };
        (0..FRAMES).map(one).collect()
    }
}
