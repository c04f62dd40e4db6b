//! Whether a plan fits. Two generations share every table while one replaces the other, so each may have half.

use std::fmt;

use selvedge_abi::{INTERVALS_PER_SLOT, MAX_ADDRESSES, MAX_POLICIES, MAX_PORTS, MAX_RULES, SLOTS};
use selvedge_topology::plan::Plan;

use super::addresses::is_host;

/// A table that a plan can be too large for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Exact addresses.
    Addresses,
    /// Prefixes.
    Prefixes,
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
            Self::Addresses => "addresses",
            Self::Prefixes => "prefixes",
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
    let hosts = plan.addresses.iter().filter(|entry| is_host(&entry.prefix)).count();
    let wanted = [
        (Table::Addresses, hosts, MAX_ADDRESSES / SLOTS),
        // One more: what holds IPv4 addresses that no prefix does.
        (Table::Prefixes, plan.addresses.len() - hosts + 1, MAX_ADDRESSES / SLOTS),
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
