//! How much of a plan the tables of a data path hold.

use selvedge_topology::plan::Plan;

/// Entries one generation may use of each table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Ports of one node.
    pub ports: usize,
    /// Addresses and prefixes.
    pub addresses: usize,
    /// Policy entries: every peer of every row, and every row's default.
    pub policies: usize,
    /// Intervals of all decision lists.
    pub intervals: usize,
    /// Rules that are counted.
    pub rules: usize,
}

impl Capacity {
    /// The XDP program's tables: half of what they hold, since two generations are in them while one replaces
    /// the other.
    pub const XDP: Self =
        Self { ports: 1 << 10, addresses: 1 << 17, policies: 1 << 17, intervals: 1 << 17, rules: 1 << 16 };

    /// Checks that `plan` fits; names the first table that is too small.
    pub fn check(&self, plan: &Plan) -> Result<(), CapacityError> {
        let Self { ports, addresses, policies, intervals, rules } = *self;
        let needs = [
            ("ports", plan.ports.len(), ports),
            ("addresses", plan.addresses.len(), addresses),
            ("policy entries", plan.rows.iter().map(|row| row.peers.len() + 1).sum(), policies),
            ("intervals", plan.sets.iter().map(|set| set.intervals.len()).sum(), intervals),
            ("rules", plan.rules.len(), rules),
        ];
        match needs.into_iter().find(|(_, needed, limit)| needed > limit) {
            Some((table, needed, limit)) => {
                Err(CapacityError { node: plan.node.to_string(), table, needed, limit })
            }
            None => Ok(()),
        }
    }
}

/// A plan that the tables can't hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plan of node {node} needs {needed} {table}, its tables hold {limit}")]
pub struct CapacityError {
    /// The node.
    pub node: String,
    /// What there is too much of.
    pub table: &'static str,
    /// How much is needed.
    pub needed: usize,
    /// How much there is room for.
    pub limit: usize,
}
