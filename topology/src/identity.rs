//! Identities: one number for each set of security labels, and one for each CIDR that a rule names.
//!
//! Numbers are allocated once and kept: the table only grows, so that no edit renumbers what it does not
//! touch. Which keys need a number is pure ([`IdentityTable::missing`]); handing numbers out without a race is
//! the store's work.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::l4::Protocol;
use crate::labels::{LabelKey, LabelValue, Labels};
use crate::model::{Attachment, CidrBlock, Model, Peer, Policy, Workload};
use crate::names::GroupName;

/// The number of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(pub u32);

impl Identity {
    /// An address of which nothing is known.
    pub const UNKNOWN: Self = Self(0);
    /// The enforcing node's own addresses.
    pub const HOST: Self = Self(1);
    /// Addresses of no workload and no node.
    pub const WORLD: Self = Self(2);
    /// Unmanaged workloads without labels.
    pub const UNMANAGED: Self = Self(3);
    /// Health checks.
    pub const HEALTH: Self = Self(4);
    /// Other nodes' addresses.
    pub const REMOTE_NODE: Self = Self(6);
    /// The first number for a set of labels.
    pub const FIRST_LABELS: Self = Self(256);
    /// The first number for a CIDR; numbers for labels end before it.
    pub const FIRST_CIDR: Self = Self(0x0100_0000);
    /// Where [`Class`] numbers of their own begin; numbers for CIDRs end before it.
    pub const END: Self = Self(0x8000_0000);

    /// The name of a reserved number.
    pub fn reserved_name(self) -> Option<&'static str> {
        match self {
            Self::UNKNOWN => Some("unknown"),
            Self::HOST => Some("host"),
            Self::WORLD => Some("world"),
            Self::UNMANAGED => Some("unmanaged"),
            Self::HEALTH => Some("health"),
            Self::REMOTE_NODE => Some("remote-node"),
            _ => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

/// What policy of one node looks a peer up by: an identity, refined by the narrowest CIDR that any rule names
/// and that holds the address. Equal to the identity's number where no CIDR does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Class(pub u32);

impl From<Identity> for Class {
    fn from(identity: Identity) -> Self {
        Self(identity.0)
    }
}

/// What decides a workload's identity: its labels, and as labels of Selvedge's own its service ports and
/// whether it is unmanaged. So all that policy can see of a workload, but for its addresses, is in its identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecurityLabels(Labels);

impl SecurityLabels {
    /// The security labels of `workload`.
    pub fn of(workload: &Workload) -> Self {
        let mut labels = workload.labels.clone();
        for (name, service) in &workload.services {
            let protocol = Protocol::from(service.protocol).to_string().to_ascii_lowercase();
            let key = LabelKey::reserved(&format!("service.{name}"));
            labels.0.insert(key, LabelValue::reserved(&format!("{protocol}-{}", service.port)));
        }
        if let Attachment::Unmanaged(_) = workload.attachment {
            labels.0.insert(LabelKey::reserved("unmanaged"), LabelValue::reserved("true"));
        }
        Self(labels)
    }

    /// The labels, Selvedge's own among them.
    pub fn labels(&self) -> &Labels {
        &self.0
    }

    fn is_bare_unmanaged(&self) -> bool {
        self.0.0.len() == 1 && self.0.0.contains_key(&LabelKey::reserved("unmanaged"))
    }
}

/// What a number is allocated for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityKey {
    /// A set of security labels.
    Labels(SecurityLabels),
    /// A CIDR that a rule names, `except`s included.
    Cidr(IpNet),
}

impl IdentityKey {
    /// What `workload` needs a number for; nothing where it has a reserved one.
    pub(crate) fn of_workload(workload: &Workload) -> Option<Self> {
        let labels = SecurityLabels::of(workload);
        (!labels.is_bare_unmanaged()).then_some(Self::Labels(labels))
    }

    /// The numbers that may be allocated for keys of this kind: from, up to but without.
    pub fn range(&self) -> (Identity, Identity) {
        match self {
            Self::Labels(_) => (Identity::FIRST_LABELS, Identity::FIRST_CIDR),
            Self::Cidr(_) => (Identity::FIRST_CIDR, Identity::END),
        }
    }
}

/// A number that can't be entered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Outside the range of its kind.
    #[error("identity {identity} is outside the range for {key:?}")]
    OutOfRange {
        /// The number.
        identity: Identity,
        /// What it was to stand for.
        key: IdentityKey,
    },
    /// Already stands for something else.
    #[error("identity {identity} already stands for {held:?}, not for {key:?}")]
    Taken {
        /// The number.
        identity: Identity,
        /// What it stands for.
        held: IdentityKey,
        /// What it was to stand for.
        key: IdentityKey,
    },
    /// The key already has another number.
    #[error("{key:?} already has identity {held}, not {identity}")]
    Renumbered {
        /// The number offered.
        identity: Identity,
        /// The number it has.
        held: Identity,
        /// The key.
        key: IdentityKey,
    },
    /// No number is left.
    #[error("no identity is left for {key:?}")]
    Exhausted {
        /// What wanted one.
        key: IdentityKey,
    },
}

/// Every number allocated so far, both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityTable {
    by_key: BTreeMap<IdentityKey, Identity>,
    by_number: BTreeMap<Identity, IdentityKey>,
}

impl IdentityTable {
    /// Enters one number. Entering the same pair again changes nothing.
    pub fn insert(&mut self, key: IdentityKey, identity: Identity) -> Result<(), IdentityError> {
        let (first, end) = key.range();
        if identity < first || identity >= end {
            return Err(IdentityError::OutOfRange { identity, key });
        }
        if let Some(&held) = self.by_key.get(&key) {
            return if held == identity {
                Ok(())
            } else {
                Err(IdentityError::Renumbered { identity, held, key })
            };
        }
        if let Some(held) = self.by_number.get(&identity).cloned() {
            return Err(IdentityError::Taken { identity, held, key });
        }
        self.by_key.insert(key.clone(), identity);
        self.by_number.insert(identity, key);
        Ok(())
    }

    /// The keys of `model` that have no number yet, sorted.
    pub fn missing(&self, model: &Model) -> Vec<IdentityKey> {
        self.missing_of(keys(model))
    }

    /// Those of `keys` that have no number yet, sorted.
    pub fn missing_of(&self, keys: BTreeSet<IdentityKey>) -> Vec<IdentityKey> {
        keys.into_iter().filter(|key| !self.by_key.contains_key(key)).collect()
    }

    /// The number to try next for `key`: one above the highest of its kind.
    pub fn next(&self, key: &IdentityKey) -> Result<Identity, IdentityError> {
        let (first, end) = key.range();
        let next =
            self.by_number.range(first..end).next_back().map_or(first, |(last, _)| Identity(last.0 + 1));
        if next < end { Ok(next) } else { Err(IdentityError::Exhausted { key: key.clone() }) }
    }

    /// Numbers everything `model` needs, here and now: for tests, `--dry-run` and tools without a store.
    pub fn allocate(&mut self, model: &Model) -> Result<(), IdentityError> {
        self.number(self.missing(model))
    }

    /// Numbers keys that have no number yet, likewise.
    pub fn number(&mut self, missing: Vec<IdentityKey>) -> Result<(), IdentityError> {
        for key in missing {
            let identity = self.next(&key)?;
            self.insert(key, identity)?;
        }
        Ok(())
    }

    /// The identity of a workload; `None` where it was never numbered.
    pub fn of_workload(&self, workload: &Workload) -> Option<Identity> {
        self.of_labels(&SecurityLabels::of(workload))
    }

    /// The identity of a set of security labels.
    pub fn of_labels(&self, labels: &SecurityLabels) -> Option<Identity> {
        if labels.is_bare_unmanaged() {
            return Some(Identity::UNMANAGED);
        }
        self.by_key.get(&IdentityKey::Labels(labels.clone())).copied()
    }

    /// The identity of a CIDR that rules name.
    pub fn of_cidr(&self, cidr: IpNet) -> Option<Identity> {
        self.by_key.get(&IdentityKey::Cidr(cidr)).copied()
    }

    /// What a number stands for.
    pub fn key(&self, identity: Identity) -> Option<&IdentityKey> {
        self.by_number.get(&identity)
    }

    /// Every number and what it stands for, by number.
    pub fn iter(&self) -> impl Iterator<Item = (Identity, &IdentityKey)> {
        self.by_number.iter().map(|(identity, key)| (*identity, key))
    }
}

/// The keys `model` needs numbers for.
fn keys(model: &Model) -> BTreeSet<IdentityKey> {
    let labels = model.workloads.values().filter_map(IdentityKey::of_workload);
    labels.chain(cidrs(model).into_iter().map(IdentityKey::Cidr)).collect()
}

/// Every CIDR that a rule names: blocks, their holes, and those of the groups that rules name.
fn cidrs(model: &Model) -> BTreeSet<IpNet> {
    model.policies.values().flat_map(|policy| cidrs_of(policy, |name| model.cidr_groups.get(name))).collect()
}

/// Those that rules of `policy` name.
pub(crate) fn cidrs_of<'m>(
    policy: &'m Policy,
    group: impl Fn(&GroupName) -> Option<&'m BTreeSet<CidrBlock>>,
) -> BTreeSet<IpNet> {
    let blocks = policy.all_rules().flat_map(|rule| &rule.peers).flat_map(|peer| match peer {
        Peer::Cidr(block) => vec![block],
        Peer::Group(name) => group(name).into_iter().flatten().collect(),
        Peer::Selector(_) | Peer::Entity(_) => Vec::new(),
    });
    blocks.flat_map(|block| block.except.iter().copied().chain([block.cidr])).collect()
}
