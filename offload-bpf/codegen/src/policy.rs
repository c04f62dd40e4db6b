//! What programs are made from: who is where, and what policy says, at one port.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use selvedge_abi::{
    Address, AddressEntry, FailsafeKey, IDENTITY_HOST, IDENTITY_WORLD, Interval, NodeRole, PortRole,
};

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: Address,
    length: u8,
}

impl Prefix {
    /// The prefix of `length` bits that holds `address`; of IPv4 0 to 32, of IPv6 0 to 128. `None` where it is longer.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let (bits, address) = match address {
            IpAddr::V4(v4) => (length.checked_add(MAPPED).filter(|_| length <= 32)?, v4.to_ipv6_mapped()),
            IpAddr::V6(v6) => (Some(length).filter(|length| *length <= 128)?, v6),
        };
        let network = address.to_bits() & mask(bits);
        Some(Self { address: Address(network.to_be_bytes()), length: bits })
    }

    /// The family of its addresses.
    pub(crate) fn family(self) -> Family {
        if self.length >= MAPPED && self.address.ipv4().is_some() { Family::V4 } else { Family::V6 }
    }

    /// The first address as a number of its family, and the bits that all have in common.
    pub(crate) fn bits(self) -> (u128, u8) {
        let number = u128::from_be_bytes(self.address.0);
        match self.family() {
            Family::V4 => (number & u128::from(u32::MAX), self.length - MAPPED),
            Family::V6 => (number, self.length),
        }
    }
}

/// Bits before the IPv4 address in its v4-mapped form.
const MAPPED: u8 = 96;

fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Bits of an address.
    pub(crate) const fn width(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The highest address.
    pub(crate) const fn last(self) -> u128 {
        u128::MAX >> (128 - self.width() as u32)
    }

    /// A prefix of the family, as people write it.
    pub(crate) fn show(self, network: u128, length: u8) -> String {
        match self {
            Self::V4 => format!("{}/{length}", Ipv4Addr::from_bits(network as u32)),
            Self::V6 => format!("{}/{length}", Ipv6Addr::from_bits(network)),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A decision list: intervals by their first layer-4 key, the first from 0 on.
pub type List = Arc<[Interval]>;

/// What a workload's policy says in one direction. Where it says nothing, it denies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// To all classes that `peers` does not name.
    pub default: Option<List>,
    /// By the class of the other end.
    pub peers: BTreeMap<u32, List>,
}

impl Row {
    fn list(&self, class: u32) -> Option<&List> {
        self.peers.get(&class).or(self.default.as_ref())
    }
}

/// What the policy of one identity says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Of what comes to it.
    pub ingress: Row,
    /// Of what it sends.
    pub egress: Row,
}

/// All that decides, at one port, on packets that it receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortPolicy {
    /// What the port faces.
    pub port: PortRole,
    /// Its interface index, which the entries of addresses behind it have.
    pub ifindex: u32,
    /// What kind of machine the node is.
    pub node: NodeRole,
    /// What is known of addresses; the longest prefix that holds one decides. No prefix: world.
    pub addresses: BTreeMap<Prefix, AddressEntry>,
    /// Policy of the identities behind this node, and of the node where it is a workload itself.
    pub subjects: BTreeMap<u32, Subject>,
    /// What the node can't live without, from the fabric.
    pub failsafe: BTreeSet<FailsafeKey>,
    /// Rules as users see them, for whoever reads the program.
    pub rules: BTreeMap<u32, String>,
}

/// What policy needs to know of an end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Party {
    /// What the other end's policy calls it.
    pub(crate) class: u32,
    /// Whose policy is asked, where this node enforces for it.
    pub(crate) subject: Option<u32>,
}

/// Who an address is, to packets that the port receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Who {
    /// Policy has a say, if of the other end as well.
    Party(Party),
    /// The node itself.
    Host,
    /// Somebody of whom no packet is decided by policy here: as a source one that can't send from there.
    Nobody,
}

/// What is known of an address that the tables don't hold.
pub(crate) const WORLD: AddressEntry =
    AddressEntry { identity: IDENTITY_WORLD, class: IDENTITY_WORLD, ifindex: 0 };

impl PortPolicy {
    pub(crate) fn is_workload_port(&self) -> bool {
        matches!(self.port, PortRole::Workload)
    }

    /// Who sends packets with a source of which `entry` is known: as [`PortRole::Workload`] whoever is behind this very port,
    /// else whoever is neither behind the node nor the node.
    pub(crate) fn source(&self, entry: &AddressEntry) -> Who {
        let AddressEntry { identity, class, ifindex } = *entry;
        match (self.is_workload_port(), ifindex) {
            (true, here) if here == self.ifindex => Who::Party(Party { class, subject: Some(identity) }),
            (false, 0) if identity != IDENTITY_HOST => Who::Party(Party { class, subject: None }),
            _ => Who::Nobody,
        }
    }

    /// Who packets with a destination of which `entry` is known are for. From the fabric, only to whom the node enforces for is
    /// decided by policy.
    pub(crate) fn destination(&self, entry: &AddressEntry) -> Who {
        let AddressEntry { identity, class, ifindex } = *entry;
        match (self.is_workload_port(), ifindex) {
            (true, 0) => Who::Party(Party { class, subject: None }),
            (_, 1..) => Who::Party(Party { class, subject: Some(identity) }),
            (false, 0) if identity == IDENTITY_HOST => Who::Host,
            (false, 0) => Who::Nobody,
        }
    }

    /// What is asked of a connection from `source` to `destination`: egress policy of the one, ingress policy of the other,
    /// where this node enforces for them. `None` in the list is a policy that says nothing.
    pub(crate) fn asked(&self, source: Party, destination: Party) -> Vec<Option<&List>> {
        let row = |subject: u32, class, of: fn(&Subject) -> &Row| {
            self.subjects.get(&subject).and_then(|subject| of(subject).list(class))
        };
        let egress = source.subject.map(|subject| row(subject, destination.class, |subject| &subject.egress));
        let ingress =
            destination.subject.map(|subject| row(subject, source.class, |subject| &subject.ingress));
        egress.into_iter().chain(ingress).collect()
    }

    /// The classes that some row names. All others are alike to policy.
    pub(crate) fn named_classes(&self) -> BTreeSet<u32> {
        let rows = self.subjects.values().flat_map(|subject| [&subject.ingress, &subject.egress]);
        rows.flat_map(|row| row.peers.keys().copied()).collect()
    }

    /// All that the policy decides.
    pub(crate) fn intervals(&self) -> impl Iterator<Item = &Interval> {
        let rows = self.subjects.values().flat_map(|subject| [&subject.ingress, &subject.egress]);
        rows.flat_map(|row| row.default.iter().chain(row.peers.values())).flat_map(|list| list.iter())
    }

    /// The rule, as users see it where that is known.
    pub(crate) fn rule_name(&self, rule: u32) -> String {
        match self.rules.get(&rule) {
            Some(name) => format!("rule {rule} ({name})"),
            None => format!("rule {rule}"),
        }
    }
}
