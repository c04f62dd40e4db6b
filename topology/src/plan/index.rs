//! A plan's own reading, indexed: the same answers as [`Plan::address`] and [`Plan::decide`], for thousands of questions.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Decision, Plan, PlanAddress, PlanRow, PlanSet};
use crate::identity::{Class, Identity};
use crate::l4::L4Key;
use crate::model::Direction;

/// A plan with its lists indexed.
#[derive(Debug)]
pub struct PlanIndex<'p> {
    policy: PolicyIndex<'p>,
    prefixes: HashMap<IpNet, &'p PlanAddress>,
    /// The lengths of IPv4 and of IPv6 prefixes.
    lengths: [BTreeSet<u8>; 2],
}

impl<'p> PlanIndex<'p> {
    /// Indexes `plan`.
    pub fn new(plan: &'p Plan) -> Self {
        let mut lengths = [BTreeSet::new(), BTreeSet::new()];
        for PlanAddress { prefix, .. } in &plan.addresses {
            lengths[family(prefix.addr())].insert(prefix.prefix_len());
        }
        Self {
            policy: PolicyIndex::new(plan),
            prefixes: plan.addresses.iter().map(|entry| (entry.prefix.trunc(), entry)).collect(),
            lengths,
        }
    }

    /// As [`Plan::address`].
    pub fn address(&self, address: IpAddr) -> (Identity, Class) {
        let holding = self.lengths[family(address)].iter().rev().find_map(|length| {
            let prefix = IpNet::new(address, *length).ok()?.trunc();
            self.prefixes.get(&prefix)
        });
        holding.map_or((Identity::WORLD, Identity::WORLD.into()), |entry| (entry.identity, entry.class))
    }

    /// As [`Plan::decide`].
    pub fn decide(
        &self,
        subject: Identity,
        direction: Direction,
        peer: Class,
        key: L4Key,
    ) -> Option<Decision> {
        self.policy.decide(subject, direction, peer, key)
    }
}

/// The policy of a plan, whose lists are sorted: that is index enough.
#[derive(Clone, Copy, Debug)]
pub struct PolicyIndex<'p> {
    plan: &'p Plan,
}

impl<'p> PolicyIndex<'p> {
    /// That of `plan`.
    pub fn new(plan: &'p Plan) -> Self {
        Self { plan }
    }

    /// The place in [`Plan::rows`] of the policy of a `subject`.
    pub fn row(self, subject: Identity, direction: Direction) -> Option<usize> {
        self.plan.rows.place_of(&(subject, direction))
    }

    /// The decision list of a `row` of the plan for a `peer`.
    pub fn set(self, row: &PlanRow, peer: Class) -> Option<&'p PlanSet> {
        let named = row.peers.binary_search_by_key(&peer, |(class, _)| *class);
        self.plan.sets.with_key(&named.map_or(row.default, |place| row.peers[place].1))
    }

    /// As [`Plan::decide`].
    pub fn decide(
        self,
        subject: Identity,
        direction: Direction,
        peer: Class,
        key: L4Key,
    ) -> Option<Decision> {
        self.set(self.plan.rows.with_key(&(subject, direction))?, peer)?.decide(key)
    }
}

fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}
