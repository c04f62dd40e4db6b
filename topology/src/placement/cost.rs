//! What a workload's policy takes of its node's tables.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::model::Direction;
use crate::names::WorkloadName;
use crate::plan::{Plan, Table, in_array};

/// Entries of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// The table.
    pub table: String,
    /// Entries that this workload and direction need.
    pub entries: usize,
    /// Bytes of memory that are set aside for those, at most.
    pub bytes: usize,
    /// Workloads of the node that need the very same entries, this one included: those of one identity.
    pub shared_by: usize,
    /// What the node has.
    pub budget: Budget,
}

/// How much of a table a node's plan needs, and how much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Entries that the whole plan needs.
    pub needed: usize,
    /// Entries that a generation may have.
    pub room: usize,
    /// Bytes that the table takes, whatever is in it.
    pub bytes: usize,
}

/// The costs of `direction` of `workload` on the node of `plan`: of policy and its intervals, and, where it is looked up, of its
/// addresses.
pub(super) fn of(plan: &Plan, workload: &WorkloadName, direction: Direction) -> Vec<Cost> {
    let Some(subject) = plan.workloads.iter().find(|it| it.name == *workload) else { return Vec::new() };
    let alike = plan.workloads.iter().filter(|it| it.identity == subject.identity).count();
    let row = plan.rows.iter().find(|row| (row.subject, row.direction) == (subject.identity, direction));
    let sets: BTreeSet<_> =
        row.iter().flat_map(|row| row.peers.iter().map(|(_, set)| *set).chain([row.default])).collect();
    let intervals = plan.sets.iter().filter(|set| sets.contains(&set.id)).map(in_array).sum();
    let v4 = subject.addresses.iter().filter(|address| address.is_ipv4()).count();
    let needs = [
        (Table::Policies, row.map_or(0, |row| 1 + row.peers.len()), alike),
        (Table::Intervals, intervals, alike),
        (Table::Ipv4, v4, 1),
        (Table::Ipv6, subject.addresses.len() - v4, 1),
    ];
    let costs = needs.into_iter().filter(|(_, entries, _)| *entries > 0);
    costs.map(|(table, entries, shared_by)| cost(plan, table, entries, shared_by)).collect()
}

fn cost(plan: &Plan, table: Table, entries: usize, shared_by: usize) -> Cost {
    let bytes = |entries: usize| table.entry_bytes().map_or(0, |each| each * entries);
    let room = table.room();
    let budget = Budget { needed: table.needed(plan), room, bytes: bytes(room) };
    Cost { table: table.to_string(), entries, bytes: bytes(entries), shared_by, budget }
}
