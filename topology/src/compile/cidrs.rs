//! The CIDRs that rules name, each as often as policies name it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// CIDRs by network, and how many there are of each length: a lookup probes the lengths that are there, longest first.
#[derive(Debug, Default)]
pub(crate) struct Cidrs {
    named: BTreeMap<IpNet, usize>,
    lengths: BTreeMap<(bool, u8), usize>,
}

impl Cidrs {
    /// Counts one more policy that names `cidr`; whether it is the first.
    pub(crate) fn name(&mut self, cidr: IpNet) -> bool {
        let count = self.named.entry(cidr).or_default();
        *count += 1;
        let first = *count == 1;
        if first {
            *self.lengths.entry(length(&cidr)).or_default() += 1;
        }
        first
    }

    /// Counts one policy less; whether it was the last.
    pub(super) fn forget(&mut self, cidr: IpNet) -> bool {
        let Some(count) = self.named.get_mut(&cidr) else { return false };
        *count -= 1;
        if *count > 0 {
            return false;
        }
        self.named.remove(&cidr);
        if let Some(count) = self.lengths.get_mut(&length(&cidr)) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&length(&cidr));
            }
        }
        true
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = IpNet> {
        self.named.keys().copied()
    }

    /// The narrowest that holds `address`.
    pub(crate) fn narrowest(&self, address: IpAddr) -> Option<IpNet> {
        self.holding(address, u8::MAX)
    }

    /// The narrowest that holds all of `network`.
    pub(super) fn at(&self, network: &IpNet) -> Option<IpNet> {
        self.holding(network.addr(), network.prefix_len())
    }

    /// The narrowest that holds all of `cidr` and more.
    pub(super) fn around(&self, cidr: &IpNet) -> Option<IpNet> {
        cidr.prefix_len().checked_sub(1).and_then(|most| self.holding(cidr.addr(), most))
    }

    fn holding(&self, address: IpAddr, most: u8) -> Option<IpNet> {
        let v4 = address.is_ipv4();
        let lengths = self.lengths.range((v4, 0)..=(v4, most)).rev();
        lengths
            .filter_map(|((_, length), _)| IpNet::new(address, *length).ok())
            .map(|cidr| cidr.trunc())
            .find(|cidr| self.named.contains_key(cidr))
    }
}

fn length(cidr: &IpNet) -> (bool, u8) {
    (cidr.addr().is_ipv4(), cidr.prefix_len())
}
