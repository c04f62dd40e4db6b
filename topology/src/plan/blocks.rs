//! A plan in parts: what is the node's own, and blocks that it shares with other nodes.
//!
//! A change of one block is made, encoded and stored once, however many nodes have it.

use std::sync::Arc;

use super::{Joined, Plan, PlanAddress, PlanIdentity, PlanRow, PlanRule, PlanSet};

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
        Joined::new(self.clone()).into_plan()
    }
}

impl From<Plan> for BlockPlan {
    /// A plan that shares nothing.
    fn from(own: Plan) -> Self {
        Self { own, shared: Vec::new() }
    }
}
