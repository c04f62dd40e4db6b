//! Whether a plan fits the tables that it becomes.

use std::collections::BTreeSet;
use std::iter::Sum;
use std::{array, fmt};

use ipnet::IpNet;

use super::{Block, Plan, PlanAddress, PlanRow, PlanSet};
use crate::names::NodeName;

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
    /// Intervals of decision lists that are longer than the three that a policy entry holds itself.
    Intervals,
    /// Rule counters.
    Rules,
    /// Ports.
    Ports,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 10] = [
        Self::Ipv4,
        Self::Ipv6,
        Self::Ipv4Prefixes,
        Self::Ipv6Prefixes,
        Self::PrefixLengths,
        Self::Ends,
        Self::Policies,
        Self::Intervals,
        Self::Rules,
        Self::Ports,
    ];

    /// Entries that one generation may have: while one replaces another, both are there. What the maps of the XDP program
    /// have room for is the agent's to say, and a test of it holds these numbers to that.
    pub const fn room(self) -> usize {
        match self {
            Self::Ipv4 | Self::Ipv6 => 1 << 20,
            Self::Ipv4Prefixes | Self::Ipv6Prefixes => 1 << 16,
            Self::PrefixLengths => 32,
            Self::Policies | Self::Intervals => 1 << 17,
            Self::Ends | Self::Rules => 1 << 15,
            Self::Ports => 1 << 9,
        }
    }

    /// Bytes of memory that are set aside for one entry, rounded up: in the generation in force and in the one to come, with the room
    /// that buckets need. `None` for what is small, or counted on each CPU. A test of the agent's holds these numbers to its maps.
    pub const fn entry_bytes(self) -> Option<usize> {
        match self {
            Self::Ipv4 | Self::Ipv4Prefixes => Some(24),
            Self::Ipv6 | Self::Ipv6Prefixes => Some(64),
            Self::Ends => Some(48),
            // The entry in its bucket, and the list that it names where no other entry names the same.
            Self::Policies => Some(39 + 48),
            Self::Intervals => Some(24),
            Self::PrefixLengths | Self::Rules | Self::Ports => None,
        }
    }

    /// Entries that `plan` needs.
    pub fn needed(self, plan: &Plan) -> usize {
        plan.needs().of_table(self)
    }
}

/// How many entries of each table a plan needs, or a part of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs([usize; Table::ALL.len()]);

impl Needs {
    /// How many of `table`.
    pub fn of_table(self, table: Table) -> usize {
        self.0[table as usize]
    }

    fn add(&mut self, table: Table, count: usize) {
        self.0[table as usize] += count;
    }

    /// Ends at most: one for each pair of identity and class that differ. What has an entry is told from an identity by the highest
    /// bit, so one with that bit would need an entry too.
    fn add_addresses<'a>(&mut self, addresses: impl IntoIterator<Item = &'a PlanAddress>) {
        const INDEXED: u32 = 1 << 31;
        let (mut lengths, mut ends) = (BTreeSet::new(), BTreeSet::new());
        for PlanAddress { prefix, identity, class } in addresses {
            let table = match (prefix, is_host(prefix)) {
                (IpNet::V4(_), true) => Table::Ipv4,
                (IpNet::V6(_), true) => Table::Ipv6,
                (IpNet::V4(_), false) => Table::Ipv4Prefixes,
                (IpNet::V6(_), false) => Table::Ipv6Prefixes,
            };
            self.add(table, 1);
            if table == Table::Ipv6Prefixes {
                lengths.insert(prefix.prefix_len());
            }
            if identity.0 != class.0 || !(1..INDEXED).contains(&identity.0) {
                ends.insert((identity.0, class.0));
            }
        }
        self.add(Table::PrefixLengths, lengths.len());
        self.add(Table::Ends, ends.len());
    }

    fn add_policy<'a>(
        &mut self,
        rows: impl IntoIterator<Item = &'a PlanRow>,
        sets: impl IntoIterator<Item = &'a PlanSet>,
    ) {
        self.add(Table::Policies, rows.into_iter().map(|row| 1 + row.peers.len()).sum());
        self.add(Table::Intervals, sets.into_iter().map(in_array).sum());
    }

    pub(crate) fn fit(self) -> bool {
        Table::ALL.into_iter().all(|table| self.of_table(table) <= table.room())
    }
}

impl Sum for Needs {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |Self(sum), Self(needs)| Self(array::from_fn(|at| sum[at] + needs[at])))
    }
}

/// Intervals of a list that go into the table of intervals: a short list is in the policy entries that name it.
pub(crate) fn in_array(set: &PlanSet) -> usize {
    const INLINE: usize = 3;
    let count = set.intervals.len();
    if count > INLINE { count } else { 0 }
}

fn is_host(prefix: &IpNet) -> bool {
    prefix.prefix_len() == prefix.max_prefix_len()
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
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plan of node {node} needs {needed} entries of the table of {table}, which has room for {room} a generation"
)]
pub struct CapacityError {
    /// The node.
    pub node: NodeName,
    /// The table.
    pub table: Table,
    /// Entries the plan needs.
    pub needed: usize,
    /// Entries a generation may have.
    pub room: usize,
}

impl Block {
    /// What it needs.
    pub fn needs(&self) -> Needs {
        let Self { addresses, rows, sets, rules, identities: _ } = self;
        let mut needs = Needs::default();
        needs.add_addresses(addresses);
        needs.add_policy(rows, sets);
        needs.add(Table::Rules, rules.len());
        needs
    }
}

impl Plan {
    /// What it needs.
    pub fn needs(&self) -> Needs {
        let Self { addresses, rows, sets, rules, ports, workloads, .. } = self;
        let mut needs = Needs::default();
        needs.add_addresses(addresses);
        needs.add_policy(rows, sets);
        needs.add(Table::Rules, rules.len());
        needs.add(Table::Ports, ports.len());
        // One for each address behind the node.
        needs.add(Table::Ends, workloads.iter().map(|workload| workload.addresses.len()).sum());
        needs
    }

    /// Whether it fits every table; if not, the first that is too small.
    pub fn check_capacity(&self) -> Result<(), CapacityError> {
        let needs = self.needs();
        for table in Table::ALL {
            let (needed, room) = (needs.of_table(table), table.room());
            if needed > room {
                return Err(CapacityError { node: self.node.clone(), table, needed, room });
            }
        }
        Ok(())
    }
}
