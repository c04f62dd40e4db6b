//! Addresses: host prefixes to the exact tables, the others to those of prefixes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use selvedge_abi::{Address, AddressEntry, AddressKey, PrefixKey};
use selvedge_topology::plan::{Plan, PlanAddress};

use super::Lowered;
use crate::change::{Change, Touched};
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

/// The addresses of `plan` that were touched, and what `found` has of them. Those of workloads behind this node carry their port's
/// index; that may be another at any time, so they count as touched always.
pub(super) fn lower<'f>(
    plan: &Plan,
    machine: &Machine,
    slot: Slot,
    found: &'f SlotTables,
    touched: &Touched,
) -> Lowered<'f> {
    let local = local(plan, machine);
    let mut wanted = SlotTables::default();
    let Touched::Only(Change { addresses, .. }) = touched else {
        plan.addresses.iter().for_each(|entry| enter(entry, &local, slot, &mut wanted));
        return Lowered { found: Cow::Borrowed(found), wanted };
    };
    let here = local.keys().copied().map(IpNet::from);
    let touched: BTreeSet<IpNet> = addresses.iter().copied().chain(here).collect();
    let (policies, intervals) = (found.policies.clone(), found.intervals.clone());
    let mut part = SlotTables { policies, intervals, ..SlotTables::default() };
    for prefix in touched {
        match key(&prefix, slot) {
            TableKey::Address(key) => {
                part.addresses.extend(found.addresses.get(&key).map(|entry| (key, *entry)));
            }
            TableKey::Prefix(key) => {
                part.prefixes.extend(found.prefixes.get(&key).map(|entry| (key, *entry)));
            }
        }
        if let Some(entry) = plan.entry(&prefix) {
            enter(entry, &local, slot, &mut wanted);
        }
    }
    Lowered { found: Cow::Owned(part), wanted }
}

/// Under what the tables have a prefix.
enum TableKey {
    Address(AddressKey),
    Prefix(PrefixKey),
}

fn key(prefix: &IpNet, slot: Slot) -> TableKey {
    let (slot, address) = (slot.number(), table_address(prefix.network()));
    if is_host(prefix) {
        return TableKey::Address(AddressKey { slot, address });
    }
    let mapped = if prefix.network().is_ipv4() { PrefixKey::MAPPED_BITS } else { 0 };
    TableKey::Prefix(PrefixKey { slot, length: mapped + u32::from(prefix.prefix_len()), address })
}

fn enter(address: &PlanAddress, local: &BTreeMap<IpAddr, IfIndex>, slot: Slot, tables: &mut SlotTables) {
    let PlanAddress { prefix, identity, class } = address;
    let entry = |index: IfIndex| AddressEntry { identity: identity.0, class: class.0, ifindex: index.0 };
    match key(prefix, slot) {
        TableKey::Address(key) => {
            let index = local.get(&prefix.network()).copied().unwrap_or(ELSEWHERE);
            tables.addresses.insert(key, entry(index));
        }
        TableKey::Prefix(key) => drop(tables.prefixes.insert(key, entry(ELSEWHERE))),
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
