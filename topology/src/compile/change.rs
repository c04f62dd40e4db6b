//! From what documents changed to what that touches: classes, rows, nodes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::cidrs::Cidrs;
use super::nodes::{NodePart, enforced_at};
use super::peers::{Edit, Edited, Member};
use super::rows::{Rows, Subject};
use super::{CompileError, Compiler, Halt};
use crate::identity::{Identity, IdentityKey, IdentityTable, cidrs_of};
use crate::model::{CidrBlock, Model, Policy, Workload};
use crate::names::{GroupName, NodeName, PolicyName, WorkloadName};

/// The documents that changed, as they were; `None`: they are new.
#[derive(Clone, Debug, Default)]
pub struct Before<'a> {
    /// Workloads.
    pub workloads: BTreeMap<&'a WorkloadName, Option<&'a Workload>>,
    /// Policies; also those whose rules have other numbers now.
    pub policies: BTreeMap<&'a PolicyName, Option<&'a Policy>>,
    /// CIDR groups.
    pub groups: BTreeMap<&'a GroupName, Option<&'a BTreeSet<CidrBlock>>>,
}

impl Before<'_> {
    /// What the documents that changed need numbers for, as they are in `model`.
    pub fn identity_keys(&self, model: &Model) -> BTreeSet<IdentityKey> {
        let workloads = self.workloads.keys().filter_map(|name| model.workloads.get(*name));
        let policies = concerned(model, self).filter_map(|(_, policy)| policy);
        let cidrs = policies.flat_map(|policy| cidrs_of(policy, |name| model.cidr_groups.get(name)));
        workloads.filter_map(IdentityKey::of_workload).chain(cidrs.map(IdentityKey::Cidr)).collect()
    }
}

/// What is to be made anew.
#[derive(Default)]
struct Touched {
    subjects: BTreeSet<Identity>,
    /// Nodes of which own workloads or addresses changed.
    nodes: BTreeSet<NodeName>,
}

impl Compiler {
    /// Everything is new.
    pub(super) fn begin(
        &mut self,
        model: &Model,
        identities: &IdentityTable,
        workloads: Vec<&WorkloadName>,
    ) -> Result<(), Halt> {
        let mut edit = Edit::default();
        for address in model.fabric.nodes.values().flat_map(|node| &node.addresses) {
            self.peers.enter((Identity::HOST, Member::Host), *address, &mut edit)?;
            self.peers.enter((Identity::REMOTE_NODE, Member::RemoteNode), *address, &mut edit)?;
        }
        self.peers.end(edit)?;
        let before = Before {
            workloads: workloads.into_iter().map(|name| (name, None)).collect(),
            policies: model.policies.keys().map(|name| (name, None)).collect(),
            groups: BTreeMap::new(),
        };
        self.change(model, identities, &before)?;
        // Nodes without workloads have addresses, too.
        for part in self.nodes.values_mut() {
            part.address(&self.peers);
            part.choose(&self.subjects, &self.peers);
        }
        Ok(())
    }

    /// Takes over what changed in `model`, and says which nodes have another plan now.
    pub(super) fn change(
        &mut self,
        model: &Model,
        identities: &IdentityTable,
        before: &Before<'_>,
    ) -> Result<BTreeSet<NodeName>, Halt> {
        let mut edit = Edit::default();
        let mut touched = Touched::default();
        self.change_cidrs(model, identities, before, &mut edit, &mut touched)?;
        let kinds = self.change_workloads(model, identities, before, &mut edit, &mut touched)?;
        self.change_selections(model, before, &kinds, &mut touched);
        let edited = self.peers.end(edit)?;
        self.notice_classes(model, before, &edited, &mut touched);
        kinds.iter().for_each(|identity| self.peers.kinds.drop_empty(*identity));
        touched.subjects.extend(&kinds);
        let (changed, renamed) = self.change_subjects(model, &touched.subjects)?;
        Ok(self.change_nodes(&touched.nodes, &edited, &changed, &renamed))
    }

    /// CIDRs are as often there as policies name them, by themselves or in a group.
    fn change_cidrs(
        &mut self,
        model: &Model,
        identities: &IdentityTable,
        before: &Before<'_>,
        edit: &mut Edit,
        touched: &mut Touched,
    ) -> Result<(), Halt> {
        let old_group = |name: &GroupName| match before.groups.get(name) {
            Some(was) => *was,
            None => model.cidr_groups.get(name),
        };
        let (mut named, mut forgotten) = (Vec::new(), Vec::new());
        for (name, policy) in concerned(model, before) {
            let was = match before.policies.get(name) {
                Some(was) => *was,
                None => policy,
            };
            let old = was.map(|was| cidrs_of(was, old_group)).unwrap_or_default();
            let new = policy.map(|policy| cidrs_of(policy, |name| model.cidr_groups.get(name)));
            let new = new.unwrap_or_default();
            forgotten.extend(old.difference(&new));
            for cidr in new.difference(&old) {
                let identity = identities.of_cidr(*cidr);
                named.push((*cidr, identity.ok_or(CompileError::NoCidrIdentity { cidr: *cidr })?));
            }
        }
        if named.is_empty() && forgotten.is_empty() {
            return Ok(());
        }
        self.peers.name_cidrs(&named, &forgotten, edit)?;
        let holds = |address: &IpAddr| {
            let mut all = named.iter().map(|(cidr, _)| cidr).chain(&forgotten);
            all.any(|cidr| cidr.contains(address))
        };
        let nodes = self
            .nodes
            .iter()
            .filter(|(_, part)| part.own.addresses.iter().any(|entry| holds(&entry.prefix.addr())));
        touched.nodes.extend(nodes.map(|(name, _)| name.clone()));
        Ok(())
    }

    /// Takes workloads out as they were, and enters them as they are. Says which kinds have their first or have lost their last.
    fn change_workloads(
        &mut self,
        model: &Model,
        identities: &IdentityTable,
        before: &Before<'_>,
        edit: &mut Edit,
        touched: &mut Touched,
    ) -> Result<BTreeSet<Identity>, Halt> {
        let (mut kinds, mut left) = (BTreeSet::new(), BTreeSet::new());
        for (name, was) in &before.workloads {
            if let Some(was) = was {
                let identity = number(was, identities)?;
                left.insert(identity);
                self.peers.kinds.leave(identity);
                was.addresses.iter().for_each(|address| self.peers.leave(identity, *address, edit));
                if let Some((at, part)) =
                    enforced_at(was).and_then(|at| Some((at, self.nodes.get_mut(&at.node)?)))
                {
                    part.leave(was, identity);
                    touched.nodes.insert(at.node.clone());
                }
            }
            if let Some(is) = model.workloads.get(*name) {
                let identity = number(is, identities)?;
                if self.peers.kinds.enter(identity, is) {
                    kinds.insert(identity);
                }
                for address in &is.addresses {
                    self.peers.enter((identity, Member::Workload), *address, edit)?;
                }
                if let Some((at, part)) =
                    enforced_at(is).and_then(|at| Some((at, self.nodes.get_mut(&at.node)?)))
                {
                    part.enter(is, at, identity);
                    touched.nodes.insert(at.node.clone());
                }
            }
        }
        kinds.extend(left.into_iter().filter(|identity| self.peers.kinds.is_empty(*identity)));
        Ok(kinds)
    }

    /// Which policies select which kinds.
    fn change_selections(
        &mut self,
        model: &Model,
        before: &Before<'_>,
        kinds: &BTreeSet<Identity>,
        touched: &mut Touched,
    ) {
        let all = &mut self.peers.kinds;
        for (name, policy) in concerned(model, before) {
            let was = before.policies.get(name).copied().flatten();
            for identity in was.map(|was| all.select(&was.selector)).unwrap_or_default() {
                touched.subjects.insert(identity);
                if let Some(kind) = all.get_mut(identity) {
                    kind.policies.remove(name);
                }
            }
            for identity in policy.map(|policy| all.select(&policy.selector)).unwrap_or_default() {
                touched.subjects.insert(identity);
                if let Some(kind) = all.get_mut(identity) {
                    kind.policies.insert(name.clone());
                }
            }
        }
        let is_done: BTreeSet<&PolicyName> = concerned(model, before).map(|(name, _)| name).collect();
        let others: Vec<&Policy> =
            model.policies.values().filter(|policy| !is_done.contains(&policy.name)).collect();
        for identity in kinds {
            let Some(kind) = all.get_mut(*identity) else { continue };
            let selecting = others.iter().filter(|policy| policy.selector.matches(&kind.example.labels));
            kind.policies.extend(selecting.map(|policy| policy.name.clone()));
        }
    }

    /// A class that comes or goes touches those whose rules tell it from others.
    fn notice_classes(&self, model: &Model, before: &Before<'_>, edited: &Edited, touched: &mut Touched) {
        if edited.events.is_empty() {
            return;
        }
        for policy in model.policies.values().filter(|policy| !before.policies.contains_key(&policy.name)) {
            let mut rules = policy.all_rules();
            if rules.any(|rule| edited.events.iter().any(|class| self.peers.notices(model, rule, class))) {
                touched.subjects.extend(self.peers.kinds.select(&policy.selector));
            }
        }
    }

    /// Makes the rows of `subjects` anew. Says whose came out otherwise, and whose name other classes.
    fn change_subjects(
        &mut self,
        model: &Model,
        subjects: &BTreeSet<Identity>,
    ) -> Result<(BTreeSet<Identity>, BTreeSet<Identity>), Halt> {
        let (mut changed, mut renamed) = (BTreeSet::new(), BTreeSet::new());
        let mut rows = Rows::new(model, &self.peers);
        for identity in subjects {
            let kind = self.peers.kinds.get(*identity).filter(|kind| kind.is_subject());
            let new = kind.map(|kind| rows.subject(*identity, kind)).transpose()?;
            let old = self.subjects.get(identity);
            let block = |subject: Option<&Subject>| subject.map(|subject| subject.block.clone());
            if block(old) == block(new.as_ref()) {
                continue;
            }
            changed.insert(*identity);
            if old.map(|old| &old.named) != new.as_ref().map(|new| &new.named) {
                renamed.insert(*identity);
            }
            if let Some(new) = &new {
                self.lists.enter(&new.block.sets)?;
            }
            let old = match new {
                Some(new) => self.subjects.insert(*identity, new),
                None => self.subjects.remove(identity),
            };
            if let Some(old) = old {
                self.lists.leave(&old.block.sets);
            }
        }
        Ok((changed, renamed))
    }

    /// Brings nodes up to date, and says which of them have another plan now.
    fn change_nodes(
        &mut self,
        touched: &BTreeSet<NodeName>,
        edited: &Edited,
        changed: &BTreeSet<Identity>,
        renamed: &BTreeSet<Identity>,
    ) -> BTreeSet<NodeName> {
        let mut differing = BTreeSet::new();
        for (name, part) in &mut self.nodes {
            let is_touched = touched.contains(name);
            if is_touched {
                part.address(&self.peers);
            }
            let has = |part: &NodePart, of: &BTreeSet<Identity>| meet(of, &part.subjects);
            let chooses = is_touched || has(part, renamed) || part.names_any(&edited.retold);
            let others = chooses && part.choose(&self.subjects, &self.peers);
            let shared = has(part, changed)
                || edited.blocks.iter().any(|block| part.peers.binary_search(block).is_ok());
            if is_touched || others || shared {
                differing.insert(name.clone());
            }
        }
        differing
    }
}

/// Whether some of `few` are among `many`.
fn meet(few: &BTreeSet<Identity>, many: &BTreeMap<Identity, usize>) -> bool {
    if few.len() < many.len() {
        few.iter().any(|identity| many.contains_key(identity))
    } else {
        many.keys().any(|identity| few.contains(identity))
    }
}

/// The policies that changed, and those that name a group that did; as they are.
fn concerned<'m>(
    model: &'m Model,
    before: &'m Before<'m>,
) -> impl Iterator<Item = (&'m PolicyName, Option<&'m Policy>)> + 'm {
    let changed = before.policies.keys().map(|name| (*name, model.policies.get(*name)));
    let groups = &before.groups;
    let naming = model.policies.values().filter(move |policy| {
        !groups.is_empty()
            && !before.policies.contains_key(&policy.name)
            && policy.groups().any(|name| groups.contains_key(name))
    });
    changed.chain(naming.map(|policy| (&policy.name, Some(policy))))
}

fn number(workload: &Workload, identities: &IdentityTable) -> Result<Identity, CompileError> {
    let identity = identities.of_workload(workload);
    identity.ok_or_else(|| CompileError::NoIdentity { workload: workload.name.clone() })
}

/// Workloads enough that every pair of an identity and a narrowest CIDR is an address of some.
pub(super) fn one_of_each<'m>(
    model: &'m Model,
    identities: &IdentityTable,
) -> Result<Vec<&'m WorkloadName>, CompileError> {
    let cidrs = named_cidrs(model);
    let mut pairs = HashSet::new();
    let mut telling = Vec::new();
    for workload in model.workloads.values() {
        let identity = number(workload, identities)?;
        // No short cut: each address is to be entered.
        let new =
            workload.addresses.iter().filter(|address| pairs.insert((identity, cidrs.narrowest(**address))));
        if new.count() > 0 {
            telling.push(&workload.name);
        }
    }
    Ok(telling)
}

/// The CIDRs that rules name.
pub(crate) fn named_cidrs(model: &Model) -> Cidrs {
    let mut cidrs = Cidrs::default();
    for policy in model.policies.values() {
        for cidr in cidrs_of(policy, |name| model.cidr_groups.get(name)) {
            cidrs.name(cidr);
        }
    }
    cidrs
}

/// All pairs of an identity and the narrowest CIDR that holds some of its addresses.
pub(super) fn pairs(
    model: &Model,
    identities: &IdentityTable,
) -> Result<BTreeSet<(Identity, IpNet)>, CompileError> {
    let cidrs = named_cidrs(model);
    let mut pairs = BTreeSet::new();
    let nodes = model.fabric.nodes.values().flat_map(|node| &node.addresses);
    for cidr in nodes.filter_map(|address| cidrs.narrowest(*address)) {
        pairs.extend([(Identity::HOST, cidr), (Identity::REMOTE_NODE, cidr)]);
    }
    for workload in model.workloads.values() {
        let identity = number(workload, identities)?;
        let narrowest = workload.addresses.iter().filter_map(|address| cidrs.narrowest(*address));
        pairs.extend(narrowest.map(|cidr| (identity, cidr)));
    }
    Ok(pairs)
}
