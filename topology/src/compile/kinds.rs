//! Kinds of workloads: one for each identity that a workload has, and which of them a selector selects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::identity::Identity;
use crate::labels::{LabelKey, LabelValue, Requirement, Selector};
use crate::model::{Attachment, Workload};
use crate::names::PolicyName;

/// All workloads of one identity. Policy can't tell them apart but by their addresses.
#[derive(Debug)]
pub(super) struct Kind {
    /// One of them, or one that was.
    pub(super) example: Arc<Workload>,
    /// How many there are.
    count: usize,
    /// The policies that select them.
    pub(super) policies: BTreeSet<PolicyName>,
}

impl Kind {
    /// Whether policy is made for them: nodes enforce for them.
    pub(super) fn is_subject(&self) -> bool {
        matches!(self.example.attachment, Attachment::Managed(_))
    }
}

/// Kinds by identity, and identities by label.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    kinds: BTreeMap<Identity, Kind>,
    holders: HashMap<LabelKey, HashMap<LabelValue, BTreeSet<Identity>>>,
}

impl Kinds {
    pub(super) fn get(&self, identity: Identity) -> Option<&Kind> {
        self.kinds.get(&identity)
    }

    pub(super) fn get_mut(&mut self, identity: Identity) -> Option<&mut Kind> {
        self.kinds.get_mut(&identity)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Identity, &Kind)> {
        self.kinds.iter().map(|(identity, kind)| (*identity, kind))
    }

    /// Enters a workload; whether it is the first of its kind.
    pub(super) fn enter(&mut self, identity: Identity, workload: &Workload) -> bool {
        if let Some(kind) = self.kinds.get_mut(&identity) {
            kind.count += 1;
            return false;
        }
        for (key, value) in &workload.labels.0 {
            let values = self.holders.entry(key.clone()).or_default();
            values.entry(value.clone()).or_default().insert(identity);
        }
        let example = Arc::new(workload.clone());
        self.kinds.insert(identity, Kind { example, count: 1, policies: BTreeSet::new() });
        true
    }

    /// Takes a workload out. A kind of which none is left stays until [`Kinds::drop_empty`].
    pub(super) fn leave(&mut self, identity: Identity) {
        if let Some(kind) = self.kinds.get_mut(&identity) {
            kind.count -= 1;
        }
    }

    /// Whether there is no workload of the kind of `identity`.
    pub(super) fn is_empty(&self, identity: Identity) -> bool {
        self.kinds.get(&identity).is_none_or(|kind| kind.count == 0)
    }

    /// Drops the kind of `identity` where there is no workload of it any more.
    pub(super) fn drop_empty(&mut self, identity: Identity) {
        if !self.is_empty(identity) {
            return;
        }
        let Some(kind) = self.kinds.remove(&identity) else { return };
        for (key, value) in &kind.example.labels.0 {
            let Some(values) = self.holders.get_mut(key) else { continue };
            if let Some(holders) = values.get_mut(value) {
                holders.remove(&identity);
                if holders.is_empty() {
                    values.remove(value);
                }
            }
        }
    }

    /// The identities of the workloads that `selector` selects: only those are looked at that hold a label which it demands.
    pub(super) fn select(&self, selector: &Selector) -> Vec<Identity> {
        let matches = |identity: &Identity| {
            self.kinds.get(identity).is_some_and(|kind| selector.matches(&kind.example.labels))
        };
        let demanded = selector.0.iter().filter_map(|requirement| self.holders_of(requirement));
        match demanded.min_by_key(|sets| sets.iter().map(|set| set.len()).sum::<usize>()) {
            Some(sets) => sets.into_iter().flatten().copied().filter(matches).collect(),
            None => self.kinds.keys().copied().filter(matches).collect(),
        }
    }

    /// Who can meet `requirement`, where that is told by labels that are there.
    fn holders_of(&self, requirement: &Requirement) -> Option<Vec<&BTreeSet<Identity>>> {
        match requirement {
            Requirement::In(key, values) => {
                let held = self.holders.get(key);
                Some(values.iter().filter_map(|value| held?.get(value)).collect())
            }
            Requirement::Exists(key) => {
                Some(self.holders.get(key).into_iter().flat_map(HashMap::values).collect())
            }
            Requirement::NotIn(..) | Requirement::DoesNotExist(_) => None,
        }
    }
}
