//! What is there already, and stays, where some documents only are judged.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::Key;
use super::super::kinds::Kind;
use super::Held;
use super::addresses::Claim;
use super::fabric::Frame;
use super::workloads::Machine;
use crate::model::Model;
use crate::names::{GroupName, NodeName};

/// Documents that are replaced or removed.
pub(crate) type Going = BTreeSet<Key>;

/// The documents that those to be judged stand beside.
#[derive(Clone, Copy)]
pub(crate) enum Rest<'r> {
    /// None: everything is read.
    Nothing,
    /// All of `model` but what is going.
    Staying { model: &'r Model, held: &'r Held, going: &'r Going },
}

impl<'r> Rest<'r> {
    pub(super) fn frame(self) -> Option<Frame<'r>> {
        match self {
            Self::Nothing => None,
            Self::Staying { model, held, .. } => {
                Some(Frame { fabric: &model.fabric, labels: &held.labels, wires: &held.wires })
            }
        }
    }

    /// How many documents of a kind there are.
    pub(super) fn count(self, kind: Kind) -> usize {
        let Self::Staying { model, going, .. } = self else { return 0 };
        let all = match kind {
            Kind::Fabric => 1,
            Kind::Workload => model.workloads.len(),
            Kind::SegmentationPolicy => model.policies.len(),
            Kind::CidrGroup => model.cidr_groups.len(),
        };
        // What is going is there, or an error says that it is not.
        all.saturating_sub(going.iter().filter(|key| key.kind == kind).count())
    }

    /// Who has an address.
    pub(super) fn claim(self, address: &IpAddr) -> Option<&'r Claim> {
        let Self::Staying { held, going, .. } = self else { return None };
        let stays = |claim: &&Claim| {
            claim.owner.kind != "workload" || !going.contains(&Key::new(Kind::Workload, &claim.owner.name))
        };
        held.claims.get(address).filter(stays)
    }

    /// The workload that a node is.
    pub(super) fn machine(self, node: &NodeName) -> Option<&'r Machine> {
        let Self::Staying { held, going, .. } = self else { return None };
        let stays =
            |machine: &&Machine| !going.contains(&Key::new(Kind::Workload, machine.workload.as_str()));
        held.machines.get(node).filter(stays)
    }

    fn groups(self) -> impl Iterator<Item = &'r GroupName> {
        let staying = match self {
            Self::Nothing => None,
            Self::Staying { model, going, .. } => Some((model, going)),
        };
        staying.into_iter().flat_map(|(model, going)| {
            let stays = |name: &&GroupName| !going.contains(&Key::new(Kind::CidrGroup, name.as_str()));
            model.cidr_groups.keys().filter(stays)
        })
    }

    fn has_group(self, name: &GroupName) -> bool {
        let Self::Staying { model, going, .. } = self else { return false };
        model.cidr_groups.contains_key(name) && !going.contains(&Key::new(Kind::CidrGroup, name.as_str()))
    }
}

/// The CIDR groups that policies may name.
pub(crate) struct Groups<'r> {
    pub(crate) names: BTreeSet<GroupName>,
    pub(crate) rest: Rest<'r>,
}

impl Groups<'_> {
    pub(super) fn contains(&self, name: &GroupName) -> bool {
        self.names.contains(name) || self.rest.has_group(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().chain(self.rest.groups()).map(GroupName::as_str)
    }
}
