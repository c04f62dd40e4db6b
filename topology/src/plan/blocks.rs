//! A plan in parts: what is the node's own, and blocks that it shares with other nodes.
//!
//! A change of one block is made, encoded and stored once, however many nodes have it.

use std::sync::Arc;

use super::{Plan, PlanAddress, PlanIdentity, PlanRow, PlanRule, PlanSet};
use crate::identity::Identity;

/// Lists of a plan, in part. Sorted as those of a plan are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// A part of [`Plan::addresses`].
    pub addresses: Vec<PlanAddress>,
    /// A part of [`Plan::rows`].
    pub rows: Vec<PlanRow>,
    /// Those of [`Plan::sets`] that its rows name; other blocks may have the same.
    pub sets: Vec<PlanSet>,
    /// Those of [`Plan::rules`] that its sets name; other blocks may have the same.
    pub rules: Vec<PlanRule>,
    /// A part of [`Plan::identities`].
    pub identities: Vec<PlanIdentity>,
}

/// A plan in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPlan {
    /// What no other node has.
    pub own: Plan,
    /// What others have, too.
    pub shared: Vec<Arc<Block>>,
}

impl BlockPlan {
    /// All parts together, sorted; what several say in the same words is there once. Of an address, the node's own word counts: to all
    /// others it is a remote node, to itself the host. Then that of a block of workloads or nodes: a rule may name the address as a CIDR.
    pub fn join(&self) -> Plan {
        self.join_with(self.addresses())
    }

    /// As [`BlockPlan::join`], when `before` was joined to have the addresses that it is given with: where these parts have none but the
    /// same, they are taken over.
    pub fn join_after(&self, before: &Self, addresses: &[PlanAddress]) -> Plan {
        let with_addresses = |plan: &Self| {
            let blocks = plan.shared.iter().filter(|block| !block.addresses.is_empty());
            blocks.map(Arc::as_ptr).collect::<Vec<_>>()
        };
        let is_same =
            self.own.addresses == before.own.addresses && with_addresses(self) == with_addresses(before);
        self.join_with(if is_same { addresses.to_vec() } else { self.addresses() })
    }

    /// All but the addresses together.
    fn join_with(&self, addresses: Vec<PlanAddress>) -> Plan {
        let mut plan = Plan { addresses, ..self.own.clone() };
        for block in &self.shared {
            let Block { addresses: _, rows, sets, rules, identities } = &**block;
            plan.rows.extend_from_slice(rows);
            plan.sets.extend_from_slice(sets);
            plan.rules.extend_from_slice(rules);
            plan.identities.extend_from_slice(identities);
        }
        once(&mut plan.rows);
        once(&mut plan.sets);
        once(&mut plan.rules);
        once(&mut plan.identities);
        plan
    }

    fn addresses(&self) -> Vec<PlanAddress> {
        let own = &self.own.addresses;
        let is_others =
            |entry: &&PlanAddress| own.binary_search_by(|own| own.prefix.cmp(&entry.prefix)).is_err();
        let shared = self.shared.iter().flat_map(|block| &block.addresses);
        let mut addresses: Vec<PlanAddress> = own.iter().chain(shared.filter(is_others)).cloned().collect();
        once(&mut addresses);
        addresses.dedup_by(|later, earlier| {
            let is_once = later.prefix == earlier.prefix && is_of_an_end(later) != is_of_an_end(earlier);
            if is_once && is_of_an_end(later) {
                std::mem::swap(later, earlier);
            }
            is_once
        });
        addresses
    }
}

/// Sorts, and leaves each entry once.
fn once<T: Ord>(entries: &mut Vec<T>) {
    // Runs of blocks are sorted already, which this sort makes use of.
    entries.sort();
    entries.dedup();
}

/// Whether it is the address of a workload or node, and no CIDR or network.
fn is_of_an_end(entry: &PlanAddress) -> bool {
    entry.identity < Identity::FIRST_CIDR && entry.identity != Identity::UNKNOWN
}

impl From<Plan> for BlockPlan {
    /// A plan that shares nothing.
    fn from(own: Plan) -> Self {
        Self { own, shared: Vec::new() }
    }
}
