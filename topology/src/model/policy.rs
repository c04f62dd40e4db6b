//! Policies and their rules.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Established;
use crate::l4::L4Match;
use crate::labels::Selector;
use crate::names::{GroupName, PolicyName, RuleName};

/// A segmentation policy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// Its name.
    pub name: PolicyName,
    /// What it is for, in its author's words; empty where there are none.
    pub description: String,
    /// Its tier: an index into [`Fabric::tiers`].
    pub tier: usize,
    /// The workloads it applies to.
    pub selector: Selector,
    /// What becomes of established connections that it denies from now on.
    pub established: Established,
    /// Where the document says so; `None` where it is the default.
    pub established_place: Option<Place>,
    /// Rules on connections to them; `None`: the policy says nothing of ingress.
    pub ingress: Option<Vec<Rule>>,
    /// Rules on connections from them; `None`: the policy says nothing of egress.
    pub egress: Option<Vec<Rule>>,
    /// Where the document names it.
    pub place: Place,
}

impl Policy {
    /// The rules for `direction`; `None` where the policy says nothing of it. `Some` of no rules still isolates.
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }

    /// Its rules for both directions.
    pub fn all_rules(&self) -> impl Iterator<Item = &Rule> {
        self.ingress.iter().chain(&self.egress).flatten()
    }

    /// The CIDR groups that its rules name.
    pub fn groups(&self) -> impl Iterator<Item = &GroupName> {
        self.all_rules().flat_map(|rule| &rule.peers).filter_map(Peer::group)
    }
}

/// Direction of policy, seen from the workload it applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To the workload.
    Ingress,
    /// From the workload.
    Egress,
}

impl Direction {
    /// Both directions.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];
}

/// A rule of a policy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rule {
    /// Its stable number.
    pub id: RuleId,
    /// Its name, where the document gives one.
    pub name: Option<RuleName>,
    /// What it is for; empty where its author says nothing.
    pub description: String,
    /// What it does.
    pub action: Action,
    /// The other ends it matches: any of these.
    pub peers: BTreeSet<Peer>,
    /// The layer-4 keys it matches: any of these.
    pub ports: BTreeSet<L4Match>,
    /// Whether decisions are logged.
    pub log: Logging,
    /// Whether what it allows is tracked.
    pub tracking: Tracking,
    /// Where the document says it.
    pub place: Place,
}

/// A rule's number: from its policy's name, its direction and its content, so that no edit elsewhere changes it.
/// Also the number of a tier's or the fabric's default. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(pub u32);

impl fmt::Display for RuleId {
    /// Eight hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:08x}", self.0))
    }
}

/// Where something stands in the documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The file as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Allows it, unless a rule of the same tier denies it.
    Allow,
    /// Denies it.
    Deny,
    /// Leaves it to the next tier, unless a rule of the same tier allows or denies it.
    Pass,
}

/// Whether a rule's decisions are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Logging {
    /// As every other.
    Default,
    /// Each decision makes an event.
    Logged,
}

/// Whether an allowed connection gets an entry in the connection table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tracking {
    /// Tracked: replies pass.
    Stateful,
    /// Judged packet by packet: replies need a rule of their own.
    Stateless,
}

/// What a rule matches of the other end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Workloads by label.
    Selector(Selector),
    /// A kind of peer.
    Entity(Entity),
    /// Addresses, whoever has them.
    Cidr(CidrBlock),
    /// Addresses of a group, whoever has them.
    Group(GroupName),
}

impl Peer {
    /// The group that it names, where it names one.
    pub fn group(&self) -> Option<&GroupName> {
        match self {
            Self::Group(name) => Some(name),
            Self::Selector(_) | Self::Entity(_) | Self::Cidr(_) => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Selector(selector) => write!(f, "{selector}"),
            Self::Entity(entity) => write!(f, "entity:{entity}"),
            Self::Cidr(block) => write!(f, "{block}"),
            Self::Group(group) => write!(f, "group:{group}"),
        }
    }
}

/// A kind of peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entity {
    /// Addresses of no workload and no node.
    World,
    /// The node that enforces for the workload.
    Host,
    /// Every other node.
    RemoteNode,
    /// Workloads that no node enforces for.
    Unmanaged,
    /// Everyone.
    Any,
}

/// Addresses inside `cidr` and outside every one of `except`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct CidrBlock {
    /// The block, host bits zero.
    pub cidr: IpNet,
    /// Holes in it, each inside `cidr`.
    pub except: BTreeSet<IpNet>,
}

impl CidrBlock {
    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address) && !self.except.iter().any(|hole| hole.contains(&address))
    }
}

impl fmt::Display for CidrBlock {
    /// `10.0.0.0/8 except 10.1.0.0/16`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cidr)?;
        if !self.except.is_empty() {
            let holes: Vec<String> = self.except.iter().map(ToString::to_string).collect();
            write!(f, " except {}", holes.join(","))?;
        }
        Ok(())
    }
}
