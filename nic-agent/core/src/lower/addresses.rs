//! Addresses: host prefixes to the exact tables, the others to those of prefixes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use selvedge_abi::{Address, AddressEntry, AddressKey, PrefixKey};
use selvedge_topology::plan::{Plan, PlanAddress};

use crate::machine::{IfIndex, Machine};
use crate::tables::{Slot, SlotTables};

/// Whether a prefix is one address.
pub(super) fn is_host(prefix: &IpNet) -> bool {
    prefix.prefix_len() == prefix.max_prefix_len()
}

/// An address as the tables have it.
pub(crate) fn table_address(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => Address::from_ipv4(v4.octets()),
        IpAddr::V6(v6) => Address(v6.octets()),
    }
}

/// Enters every address of `plan`. Those of workloads behind this node carry their port's index.
pub(super) fn lower(plan: &Plan, machine: &Machine, slot: Slot, tables: &mut SlotTables) {
    let local = local(plan, machine);
    for PlanAddress { prefix, identity, class } in &plan.addresses {
        let entry = |index: IfIndex| AddressEntry { identity: identity.0, class: class.0, ifindex: index.0 };
        let address = table_address(prefix.network());
        if is_host(prefix) {
            let key = AddressKey { slot: slot.number(), address };
            let index = local.get(&prefix.network()).copied().unwrap_or(ELSEWHERE);
            tables.addresses.insert(key, entry(index));
        } else {
            let mapped = if prefix.network().is_ipv4() { PrefixKey::MAPPED_BITS } else { 0 };
            let length = mapped + u32::from(prefix.prefix_len());
            tables.prefixes.insert(PrefixKey { slot: slot.number(), length, address }, entry(ELSEWHERE));
        }
    }
}

/// What the tables call a place that is not behind this node.
pub(super) const ELSEWHERE: IfIndex = IfIndex(0);

/// The addresses behind this node and the interface of each.
pub(super) fn local(plan: &Plan, machine: &Machine) -> BTreeMap<IpAddr, IfIndex> {
    let workloads = plan.workloads.iter().map(|workload| {
        let index = machine.port(&workload.port).map_or(IfIndex::GONE, |interface| interface.index);
        (workload, index)
    });
    workloads
        .flat_map(|(workload, index)| workload.addresses.iter().map(move |address| (*address, index)))
        .collect()
}
