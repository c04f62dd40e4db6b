//! The plan: what one node needs of one generation, complete, with nothing left to choose.

mod blocks;
mod capacity;
mod index;
mod joined;
mod runs;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::demands::Demands;
use crate::identity::{Class, Identity};
use crate::l4::L4Key;
use crate::labels::Labels;
use crate::model::{Action, Direction, Established, NodeRole, PortRole, RuleId};
use crate::names::{NodeName, PortName, TierName, WorkloadName};
use crate::timeouts::Timeouts;

pub use blocks::{Block, BlockPlan};
pub(crate) use capacity::in_array;
pub use capacity::{CapacityError, Needs, Table};
pub use index::{PlanIndex, PolicyIndex};
pub use joined::Joined;
pub use runs::{Editing, Iter, Keyed, Runs};

/// A fabric-wide, monotonic number of one complete desired state. The first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

/// What one node enforces. It does not say its generation: equal plans of two generations are equal bytes.
///
/// All lists are sorted by their first field and without duplicates, so that equal meaning is equal content. The long ones are in runs,
/// which the plans of a node share as far as they say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The node.
    pub node: NodeName,
    /// What kind of machine it is.
    pub role: NodeRole,
    /// How long silent connections count.
    pub timeouts: Timeouts,
    /// The ports it enforces at; management ports are not among them.
    pub ports: Vec<PlanPort>,
    /// What is demanded of their modes.
    pub demands: Demands,
    /// The workloads it enforces for.
    pub workloads: Vec<PlanWorkload>,
    /// What the fabric knows of addresses; the longest prefix that holds an address decides. No prefix: world.
    pub addresses: Runs<PlanAddress>,
    /// Policy of every identity among `workloads`, by subject and direction; exactly one row for each.
    pub rows: Runs<PlanRow>,
    /// The decision lists that rows name.
    pub sets: Runs<PlanSet>,
    /// The rules that decisions name.
    pub rules: Runs<PlanRule>,
    /// The labels of the identities that `addresses` name, for display.
    pub identities: Runs<PlanIdentity>,
}

/// A port to enforce at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanPort {
    /// The interface's name.
    pub name: PortName,
    /// What it faces; never management.
    pub role: PortRole,
}

/// A workload to enforce for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanWorkload {
    /// Its name.
    pub name: WorkloadName,
    /// Its identity: the subject of its rows.
    pub identity: Identity,
    /// The port behind which it is.
    pub port: PortName,
    /// Its addresses, each also in [`Plan::addresses`] as a host prefix.
    pub addresses: BTreeSet<IpAddr>,
}

/// What the fabric knows of the addresses in a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanAddress {
    /// The prefix, host bits zero.
    pub prefix: IpNet,
    /// Who it is.
    pub identity: Identity,
    /// What policy looks it up by.
    pub class: Class,
}

/// The policy of one subject in one direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanRow {
    /// Identity of the workloads it is for.
    pub subject: Identity,
    /// Seen from them.
    pub direction: Direction,
    /// The decisions for every class that `peers` does not name.
    pub default: SetId,
    /// The decisions for the classes that differ from the default, sorted by class.
    pub peers: Vec<(Class, SetId)>,
}

/// A decision list's number: from its content, so that it is the same in every plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SetId(pub u64);

/// A decision list: what happens to every layer-4 key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanSet {
    /// Its number.
    pub id: SetId,
    /// Intervals by first key. The first begins at [`L4Key::FIRST`], each reaches to the next, the last to
    /// [`L4Key::LAST`], and neighbours differ in their decision.
    pub intervals: Vec<PlanInterval>,
}

impl PlanSet {
    /// The decision for `key`.
    pub fn decide(&self, key: L4Key) -> Option<Decision> {
        let index = self.intervals.partition_point(|interval| interval.first <= key).checked_sub(1)?;
        Some(self.intervals[index].decision)
    }
}

/// A run of layer-4 keys with one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanInterval {
    /// Its first key.
    pub first: L4Key,
    /// What happens to its keys.
    pub decision: Decision,
}

/// What happens to a new connection, and which rule says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision {
    /// What happens.
    pub outcome: Outcome,
    /// The rule, or default, that decides.
    pub rule: RuleId,
    /// Whether the rule wants it logged.
    pub logged: bool,
}

/// What happens to a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Denied, and what is established is cut.
    Denied,
    /// Allowed and tracked.
    Allowed,
    /// Allowed packet by packet, without tracking.
    AllowedStateless,
    /// Denied, but what is established goes on until it ends.
    DeniedDraining,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Denied => "denied",
            Self::DeniedDraining => "denied, draining",
            Self::Allowed => "allowed",
            Self::AllowedStateless => "allowed, stateless",
        })
    }
}

impl Outcome {
    /// Denied, with what is said of established connections.
    pub fn denied(established: Established) -> Self {
        match established {
            Established::Cut => Self::Denied,
            Established::Drain => Self::DeniedDraining,
        }
    }

    /// Whether it passes.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed | Self::AllowedStateless)
    }
}

/// A rule, or default, that decisions name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanRule {
    /// Its number.
    pub id: RuleId,
    /// As users see it: `policy/ingress/<name or number>`, `tier/<name>/default/ingress`, `fabric/default/ingress`.
    pub display: String,
    /// Its tier; none for the fabric's default.
    pub tier: Option<TierName>,
    /// Its direction.
    pub direction: Direction,
    /// What it does.
    pub action: Action,
}

/// The labels of an identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanIdentity {
    /// The identity.
    pub identity: Identity,
    /// Its security labels.
    pub labels: Labels,
}

impl Plan {
    /// What the plan says of `address`: world where no prefix holds it.
    pub fn address(&self, address: IpAddr) -> (Identity, Class) {
        let holding = self.addresses.iter().filter(|entry| entry.prefix.contains(&address));
        holding
            .max_by_key(|entry| entry.prefix.prefix_len())
            .map_or((Identity::WORLD, Identity::WORLD.into()), |entry| (entry.identity, entry.class))
    }

    /// What is said of `prefix` itself, whatever else holds its addresses. [`Plan::addresses`] are sorted.
    pub fn entry(&self, prefix: &IpNet) -> Option<&PlanAddress> {
        self.addresses.with_key(prefix)
    }

    /// What the tables say of a new connection between a `subject` and a `peer`: the plan's own reading, to be
    /// compared with the oracle. `None` where the plan has no row, which every data path denies.
    pub fn decide(
        &self,
        subject: Identity,
        direction: Direction,
        peer: Class,
        key: L4Key,
    ) -> Option<Decision> {
        let row = self.rows.iter().find(|row| row.subject == subject && row.direction == direction)?;
        let set = row.peers.iter().find(|(class, _)| *class == peer).map_or(row.default, |(_, set)| *set);
        self.sets.iter().find(|candidate| candidate.id == set)?.decide(key)
    }
}
