//! A plan's own reading, indexed: the same answers as [`Plan::address`] and [`Plan::decide`], for thousands of questions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Decision, Plan, PlanAddress, PlanRow, PlanSet, SetId};
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

/// A plan with its policy indexed, but not its addresses, which are many more.
#[derive(Debug)]
pub struct PolicyIndex<'p> {
    rows: HashMap<(Identity, Direction), Row<'p>>,
    sets: HashMap<SetId, &'p PlanSet>,
}

#[derive(Debug)]
struct Row<'p> {
    /// Its place in the plan.
    number: usize,
    row: &'p PlanRow,
    peers: BTreeMap<Class, SetId>,
}

impl<'p> PolicyIndex<'p> {
    /// Indexes the policy of `plan`.
    pub fn new(plan: &'p Plan) -> Self {
        let rows = plan.rows.iter().enumerate().map(|(number, row)| {
            let peers = row.peers.iter().copied().collect();
            ((row.subject, row.direction), Row { number, row, peers })
        });
        Self { rows: rows.collect(), sets: plan.sets.iter().map(|set| (set.id, set)).collect() }
    }

    /// The place in [`Plan::rows`] of the policy of a `subject`.
    pub fn row(&self, subject: Identity, direction: Direction) -> Option<usize> {
        self.rows.get(&(subject, direction)).map(|row| row.number)
    }

    /// The decision list for connections between a `subject` and a `peer`.
    pub fn set(&self, subject: Identity, direction: Direction, peer: Class) -> Option<&'p PlanSet> {
        let Row { row, peers, .. } = self.rows.get(&(subject, direction))?;
        self.sets.get(peers.get(&peer).unwrap_or(&row.default)).copied()
    }

    /// As [`Plan::decide`].
    pub fn decide(
        &self,
        subject: Identity,
        direction: Direction,
        peer: Class,
        key: L4Key,
    ) -> Option<Decision> {
        self.set(subject, direction, peer)?.decide(key)
    }
}

fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}
