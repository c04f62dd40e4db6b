//! Addresses that nobody has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Bound;

use ipnet::IpNet;

/// For documentation (RFC 5737, RFC 3849): the first choice for an address that stands for the world.
const EXAMPLES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// Which addresses are taken, and which CIDRs part the rest.
pub(super) struct Free<'a> {
    regions: &'a BTreeSet<IpNet>,
    /// Sorted.
    taken: &'a [IpAddr],
}

impl<'a> Free<'a> {
    /// `taken` is sorted.
    pub(super) fn new(regions: &'a BTreeSet<IpNet>, taken: &'a [IpAddr]) -> Self {
        Self { regions, taken }
    }

    /// Of each region, an address that nobody has and that is in no narrower region; likewise of what is in none, IPv4 and IPv6.
    pub(super) fn one_of_each(&self) -> Vec<IpAddr> {
        let whole = [IpNet::from(EXAMPLES[0]), IpNet::from(EXAMPLES[1])]
            .map(|example| IpNet::new(example.addr(), 0).map_or(example, |all| all.trunc()));
        let all: BTreeSet<IpNet> = self.regions.iter().copied().chain(whole).collect();
        all.iter().filter_map(|region| self.one_of(region)).collect()
    }

    fn one_of(&self, region: &IpNet) -> Option<IpAddr> {
        let narrower = self.narrower(region);
        let example = EXAMPLES.into_iter().find(|example| region.contains(example));
        let is_free = |address: &IpAddr| {
            holding(&narrower, *address).is_none() && self.taken.binary_search(address).is_err()
        };
        if let Some(example) = example.filter(is_free) {
            return Some(example);
        }
        // The network's own address last: it stands for the network.
        let first = following(region.network()).filter(|first| region.contains(first));
        let beyond_the_first = first.and_then(|first| self.from(first, region, &narrower));
        beyond_the_first.or_else(|| Some(region.network()).filter(is_free))
    }

    /// The first free address of `region` from `address` on. Each step passes a narrower region or an address that is taken.
    fn from(
        &self,
        mut address: IpAddr,
        region: &IpNet,
        narrower: &BTreeMap<IpAddr, IpNet>,
    ) -> Option<IpAddr> {
        while region.contains(&address) {
            address = match holding(narrower, address) {
                Some(inner) => following(inner.broadcast())?,
                None if self.taken.binary_search(&address).is_ok() => following(address)?,
                None => return Some(address),
            };
        }
        None
    }

    /// The widest regions inside `region`, by their first addresses.
    fn narrower(&self, region: &IpNet) -> BTreeMap<IpAddr, IpNet> {
        let mut widest: BTreeMap<IpAddr, IpNet> = BTreeMap::new();
        let after = self.regions.range((Bound::Excluded(region), Bound::Unbounded));
        for inner in after.take_while(|inner| region.contains(*inner)) {
            if widest.values().next_back().is_none_or(|last| !last.contains(inner)) {
                widest.insert(inner.network(), *inner);
            }
        }
        widest
    }
}

/// Which of `networks`, that do not overlap, holds `address`.
fn holding(networks: &BTreeMap<IpAddr, IpNet>, address: IpAddr) -> Option<&IpNet> {
    networks
        .range(..=address)
        .next_back()
        .map(|(_, network)| network)
        .filter(|network| network.contains(&address))
}

fn following(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(address) => u128::from(address).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}
