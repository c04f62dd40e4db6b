//! Whether a plan fits. Two generations share every table while one replaces the other, so each may have half.

use std::collections::BTreeSet;
use std::fmt;

use ipnet::IpNet;
use selvedge_abi::{
    AddressEntry, End, INTERVALS_PER_SLOT, MAX_ENDS, MAX_IPV4, MAX_IPV6, MAX_POLICIES, MAX_PORTS,
    MAX_PREFIX_LENGTHS, MAX_PREFIXES, MAX_RULES, SLOTS,
};
use selvedge_topology::plan::Plan;

use super::addresses::is_host;

/// A table that a plan can be too large for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
    /// IPv4 prefixes.
    Ipv4Prefixes,
    /// IPv6 prefixes.
    Ipv6Prefixes,
    /// Distinct lengths of IPv6 prefixes.
    PrefixLengths,
    /// What addresses and prefixes stand for, where it isn't an identity elsewhere: each place and class once.
    Ends,
    /// Policy: one entry for each row, and one for each class that differs from the row's default.
    Policies,
    /// Intervals of decision lists.
    Intervals,
    /// Rule counters.
    Rules,
    /// Ports.
    Ports,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ipv4 => "IPv4 addresses",
            Self::Ipv6 => "IPv6 addresses",
            Self::Ipv4Prefixes => "IPv4 prefixes",
            Self::Ipv6Prefixes => "IPv6 prefixes",
            Self::PrefixLengths => "lengths of IPv6 prefixes",
            Self::Ends => "classes of addresses",
            Self::Policies => "policies",
            Self::Intervals => "intervals",
            Self::Rules => "rules",
            Self::Ports => "ports",
        })
    }
}

/// A plan larger than a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan needs {wanted} entries of the table of {table}, which has room for {limit} a generation")]
pub struct CapacityError {
    /// The table.
    pub table: Table,
    /// Entries the plan needs.
    pub wanted: usize,
    /// Entries a generation may have.
    pub limit: usize,
}

/// Whether `plan` fits every table.
pub(super) fn check(plan: &Plan) -> Result<(), CapacityError> {
    let count = |what: fn(&IpNet) -> bool| plan.addresses.iter().filter(|entry| what(&entry.prefix)).count();
    let lengths = plan.addresses.iter().map(|entry| entry.prefix).filter(|prefix| !is_host(prefix));
    let lengths: BTreeSet<u8> =
        lengths.filter(|prefix| prefix.network().is_ipv6()).map(|prefix| prefix.prefix_len()).collect();
    let wanted = [
        (Table::Ipv4, count(|prefix| is_host(prefix) && prefix.network().is_ipv4()), MAX_IPV4),
        (Table::Ipv6, count(|prefix| is_host(prefix) && prefix.network().is_ipv6()), MAX_IPV6),
        (Table::Ipv4Prefixes, count(|prefix| !is_host(prefix) && prefix.network().is_ipv4()), MAX_PREFIXES),
        (Table::Ipv6Prefixes, count(|prefix| !is_host(prefix) && prefix.network().is_ipv6()), MAX_PREFIXES),
        (Table::PrefixLengths, lengths.len(), MAX_PREFIX_LENGTHS as u32),
        (Table::Ends, ends(plan), MAX_ENDS / 2),
        (Table::Policies, plan.rows.iter().map(|row| 1 + row.peers.len()).sum(), MAX_POLICIES / SLOTS),
        (Table::Intervals, plan.sets.iter().map(|set| set.intervals.len()).sum(), INTERVALS_PER_SLOT),
        (Table::Rules, plan.rules.len(), MAX_RULES / SLOTS),
        (Table::Ports, plan.ports.len(), MAX_PORTS / SLOTS),
    ];
    for (table, wanted, limit) in wanted {
        let limit = limit as usize;
        if wanted > limit {
            return Err(CapacityError { table, wanted, limit });
        }
    }
    Ok(())
}

/// Entries that addresses share at most: one for each pair of identity and class that differ, and for each workload.
fn ends(plan: &Plan) -> usize {
    let pairs = plan.addresses.iter().map(|entry| AddressEntry {
        identity: entry.identity.0,
        class: entry.class.0,
        ifindex: 0,
    });
    let shared: BTreeSet<AddressEntry> = pairs.filter(|entry| End::elsewhere(entry).is_none()).collect();
    let local = plan.workloads.iter().map(|workload| workload.addresses.len());
    shared.len() + local.sum::<usize>()
}
