//! What a change replaced, which is also how to take it back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::str::FromStr;

use super::super::kinds::Kind;
use super::super::validate::{Claim, Machine, Valid};
use super::super::{Document, Key};
use super::{Entry, Registry};
use crate::claims::Claims;
use crate::compile::Before;
use crate::model::{Attachment, CidrBlock, Policy, RuleId, Workload};
use crate::names::{GroupName, NodeName, PolicyName, WorkloadName};
use crate::rules::{Exchange, Numbers, ids};

/// A change that was made: what there was before.
#[derive(Debug)]
pub struct Changed(pub(super) Undo);

#[derive(Debug)]
pub(super) enum Undo {
    Documents(Replaced),
    /// The whole that there was.
    Everything(Box<Registry>),
}

/// What was there before, `None` where there was nothing.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    pub(super) documents: BTreeMap<Key, Option<Entry>>,
    workloads: BTreeMap<WorkloadName, Option<Workload>>,
    policies: BTreeMap<PolicyName, Option<Policy>>,
    groups: BTreeMap<GroupName, Option<BTreeSet<CidrBlock>>>,
    claims: BTreeMap<IpAddr, Option<Claim>>,
    machines: BTreeMap<NodeName, Option<Machine>>,
}

impl Changed {
    /// The documents that were written or removed; `None` where all were read again.
    pub fn keys(&self) -> Option<impl ExactSizeIterator<Item = &Key>> {
        match &self.0 {
            Undo::Documents(replaced) => Some(replaced.documents.keys()),
            Undo::Everything(_) => None,
        }
    }
}

impl Registry {
    /// The documents that `changed` changed, as the model had them, and the policies of which a rule got another number; not
    /// all of those that only stand elsewhere in their files. `None` where the fabric itself is another: nothing is known to be as
    /// it was.
    pub fn before<'r>(&'r self, changed: &'r Changed) -> Option<Before<'r>> {
        match &changed.0 {
            Undo::Documents(replaced) => Some(Before {
                workloads: replaced.workloads.iter().map(|(name, was)| (name, was.as_ref())).collect(),
                policies: replaced.policies.iter().map(|(name, was)| (name, was.as_ref())).collect(),
                groups: replaced.groups.iter().map(|(name, was)| (name, was.as_ref())).collect(),
            }),
            Undo::Everything(old) => self.before_all(old),
        }
    }

    /// What was claimed of labels, before `changed`, by the workloads that it changed; by all where all were read again.
    pub fn claims_before(&self, changed: &Changed) -> Claims {
        match &changed.0 {
            Undo::Documents(replaced) => {
                Claims::among(&self.model.fabric.label_rules, replaced.workloads.values().flatten())
            }
            Undo::Everything(old) => Claims::of(&old.model),
        }
    }

    /// What is not as it was in `old`, which another reading of all documents replaced.
    fn before_all<'r>(&'r self, old: &'r Self) -> Option<Before<'r>> {
        let mut before = Before::default();
        let (were, are) = (&old.model, &self.model);
        for key in old.differing_keys(self).chain(self.differing_keys(old)) {
            let name = &*key.name;
            match key.kind {
                Kind::Fabric => return None,
                Kind::Workload => before.workloads.extend(side(&were.workloads, &are.workloads, name)),
                Kind::SegmentationPolicy => before.policies.extend(side(&were.policies, &are.policies, name)),
                Kind::CidrGroup => before.groups.extend(side(&were.cidr_groups, &are.cidr_groups, name)),
            }
        }
        let renumbered = are.policies.iter().filter_map(|(name, policy)| {
            let was = were.policies.get(name).filter(|was| !ids(was).eq(ids(policy)))?;
            Some((name, Some(was)))
        });
        before.policies.extend(renumbered);
        Some(before)
    }

    /// The documents whose content `changed` changed: as they were, and as they are.
    pub fn changes(&self, changed: &Changed) -> (Vec<Document>, Vec<Document>) {
        let replaced = match &changed.0 {
            Undo::Documents(replaced) => replaced,
            Undo::Everything(old) => return old.differing(self),
        };
        let (mut were, mut are) = (Vec::new(), Vec::new());
        for (key, was) in &replaced.documents {
            let is = self.documents.get(key);
            if was.as_ref().map(|entry| entry.digest) != is.map(|entry| entry.digest) {
                were.extend(was.as_ref().and_then(Entry::document));
                are.extend(is.and_then(Entry::document));
            }
        }
        (were, are)
    }

    /// Takes back the last change: everything is exactly as it was.
    pub fn undo(&mut self, changed: Changed) {
        match changed.0 {
            Undo::Documents(replaced) => replaced.put_back(self),
            Undo::Everything(old) => *self = *old,
        }
    }
}

/// One document, as it was.
fn side<'r, N: Ord + FromStr, T>(
    were: &'r BTreeMap<N, T>,
    are: &'r BTreeMap<N, T>,
    name: &str,
) -> Option<(&'r N, Option<&'r T>)> {
    let name = name.parse().ok()?;
    match were.get_key_value(&name) {
        Some((name, was)) => Some((name, Some(was))),
        None => are.get_key_value(&name).map(|(name, _)| (name, None)),
    }
}

impl Replaced {
    /// Takes a document out of `registry`.
    pub(super) fn take_out(&mut self, key: &Key, registry: &mut Registry) {
        let entry = registry.documents.remove(key);
        registry.bytes -= entry.as_ref().map_or(0, |entry| entry.excerpt.text.len());
        self.documents.insert(key.clone(), entry);
        let model = &mut registry.model;
        let Key { kind, name } = key;
        match kind {
            // The fabric is never replaced alone.
            Kind::Fabric => {}
            Kind::Workload => {
                if let Some((name, workload)) =
                    name.parse().ok().and_then(|name: WorkloadName| model.workloads.remove_entry(&name))
                {
                    self.release(&workload, registry);
                    self.workloads.insert(name, Some(workload));
                }
            }
            Kind::SegmentationPolicy => {
                let removed =
                    name.parse().ok().and_then(|name: PolicyName| model.policies.remove_entry(&name));
                self.policies.extend(removed.map(|(name, policy)| (name, Some(policy))));
            }
            Kind::CidrGroup => {
                let removed =
                    name.parse().ok().and_then(|name: GroupName| model.cidr_groups.remove_entry(&name));
                self.groups.extend(removed.map(|(name, group)| (name, Some(group))));
            }
        }
    }

    /// Gives up what only one workload can have.
    fn release(&mut self, workload: &Workload, registry: &mut Registry) {
        for address in &workload.addresses {
            self.claims.insert(*address, registry.held.claims.remove(address));
        }
        let (Attachment::Managed(end) | Attachment::Unmanaged(Some(end))) = &workload.attachment else {
            return;
        };
        let is_own = |machine: &&Machine| machine.workload == workload.name;
        if registry.held.machines.get(&end.node).filter(is_own).is_some() {
            self.machines.insert(end.node.clone(), registry.held.machines.remove(&end.node));
        }
    }

    /// Puts valid documents into `registry`, from which those that they replace are taken out.
    pub(super) fn put_in(&mut self, valid: Valid, registry: &mut Registry) {
        let Valid { workloads, mut policies, groups, claims, machines } = valid;
        let exchange = registry.numbers.exchange(self.policies.values().flatten(), policies.values_mut());
        fn put<K: Ord + Clone, V>(
            new: impl IntoIterator<Item = (K, V)>,
            mut insert: impl FnMut(K, V) -> Option<V>,
            before: &mut BTreeMap<K, Option<V>>,
        ) {
            for (key, value) in new {
                let was = insert(key.clone(), value);
                before.entry(key).or_insert(was);
            }
        }
        let Registry { model, held, .. } = registry;
        put(workloads, |name, workload| model.workloads.insert(name, workload), &mut self.workloads);
        put(policies, |name, policy| model.policies.insert(name, policy), &mut self.policies);
        put(groups, |name, group| model.cidr_groups.insert(name, group), &mut self.groups);
        put(claims, |address, claim| held.claims.insert(address, claim), &mut self.claims);
        put(machines, |node, machine| held.machines.insert(node, machine), &mut self.machines);
        if exchange == Exchange::Crowded {
            self.number_anew(registry);
        }
    }

    /// Gives every rule its number as if all were read anew; policies of which that changes one are changed as well.
    fn number_anew(&mut self, registry: &mut Registry) {
        let Registry { model, numbers, .. } = registry;
        let had: BTreeMap<PolicyName, Vec<RuleId>> =
            model.policies.iter().map(|(name, policy)| (name.clone(), ids(policy).collect())).collect();
        *numbers = Numbers::give(&mut model.fabric, &mut model.policies);
        for (name, had) in had {
            let Some(policy) = model.policies.get(&name) else { continue };
            if !ids(policy).eq(had.iter().copied()) && !self.policies.contains_key(&name) {
                let mut was = policy.clone();
                let rules = was.ingress.iter_mut().chain(&mut was.egress).flatten();
                rules.zip(had).for_each(|(rule, id)| rule.id = id);
                self.policies.insert(name, Some(was));
            }
        }
    }

    /// Makes `registry` what it was.
    fn put_back(self, registry: &mut Registry) {
        fn back<K: Ord, V>(before: BTreeMap<K, Option<V>>, map: &mut BTreeMap<K, V>) {
            for (key, was) in before {
                match was {
                    Some(was) => map.insert(key, was),
                    None => map.remove(&key),
                };
            }
        }
        let Self { documents, workloads, policies, groups, claims, machines } = self;
        let Registry { model, held, numbers, documents: all, files, bytes, retired } = registry;
        let are = policies.keys().filter_map(|name| model.policies.get(name));
        numbers.restore(are, policies.values().flatten());
        back(workloads, &mut model.workloads);
        back(policies, &mut model.policies);
        back(groups, &mut model.cidr_groups);
        back(machines, &mut held.machines);
        for (address, was) in claims {
            match was {
                Some(was) => held.claims.insert(address, was),
                None => held.claims.remove(&address),
            };
        }
        for entry in documents.keys().filter_map(|key| all.get(key)) {
            *bytes -= entry.excerpt.text.len();
            files.leave(entry.file);
        }
        *bytes += documents.values().flatten().map(|entry| entry.excerpt.text.len()).sum::<usize>();
        back(documents, all);
        // Their files are in use again.
        retired.clear();
    }
}
