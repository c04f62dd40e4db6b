//! What is to be enforced, before anyone's rules: workloads, peers, and one of three kinds of policy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::frames::Family;

/// Different identities among the peers of [`Policy::Identities`].
pub(crate) const IDENTITIES: u32 = 250;

/// A node's share of a fabric.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) family: Family,
    /// Addresses of the workloads behind the node, each with an identity of its own.
    pub(crate) subjects: Vec<IpAddr>,
    /// Addresses elsewhere in the fabric.
    pub(crate) peers: Vec<IpAddr>,
    pub(crate) policy: Policy,
    pub(crate) denials: Denials,
}

/// What ours makes of a denial; the others know no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denials {
    /// Its rule is as most are, so what it denies is noted, and the next such packet is denied by the note.
    Noted,
    /// Its rule asks for a log, so each packet goes through all tables, which are what the case is about.
    Logged,
}

/// Who may open connections to the service of a workload. Everything else is denied, but for `Blocked`.
#[derive(Clone, Debug)]
pub(crate) enum Policy {
    /// Every peer has an identity of its own, and every workload a policy entry for each of them: the service allowed.
    Pairs,
    /// Peers share [`IDENTITIES`] identities; the workload has an entry for each: the service allowed.
    Identities,
    /// These are denied everything, everyone else is allowed, and nothing is tracked.
    Blocked(Vec<IpNet>),
}

impl World {
    /// The number of the identity that a peer has, from 0.
    pub(crate) fn peer_identity(&self, peer: usize) -> u32 {
        match self.policy {
            Policy::Identities => peer as u32 % IDENTITIES,
            Policy::Pairs | Policy::Blocked(_) => peer as u32,
        }
    }
}

/// The address of workload `index`.
pub(crate) fn subject(family: Family, index: u32) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(0x0a01_0001 + index).into(),
        Family::V6 => Ipv6Addr::from((0xfd00_0001 << 96) + 1 + u128::from(index)).into(),
    }
}

/// The address of peer `index`: one of 2^22, neighbours far apart, none twice.
pub(crate) fn peer(family: Family, index: u32) -> IpAddr {
    let spread = index.wrapping_mul(0x9e37_79b1) & 0x003f_ffff; // odd factor: a permutation of 22 bits
    match family {
        Family::V4 => Ipv4Addr::from(0x0a40_0000 | spread).into(),
        Family::V6 => Ipv6Addr::from((0xfd00_0064 << 96) | u128::from(spread)).into(),
    }
}

/// The prefix of blocked network `index`: a /24 or a /64.
pub(crate) fn network(family: Family, index: u32) -> IpNet {
    let spread = index.wrapping_mul(0x9e37_79b1) & 0xffff;
    let (address, length) = match family {
        Family::V4 => (IpAddr::from(Ipv4Addr::from(0x0b00_0000 | spread << 8)), 24),
        Family::V6 => (IpAddr::from(Ipv6Addr::from((0x2001_0db8 << 96) | u128::from(spread) << 64)), 64),
    };
    IpNet::new(address, length).expect("a length of the family")
}
