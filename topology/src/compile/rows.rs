//! Rows: for each subject and direction, which decision list each class of peers gets.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::CompileError;
use super::kinds::Kind;
use super::peers::{Matching, Peers, has_service};
use super::sets::{Candidate, Stage, fold};
use crate::identity::{Class, Identity, SecurityLabels};
use crate::model::{
    Action, DefaultAction, Direction, Established, Fabric, Isolation, Model, Peer, Policy, Rule, RuleId,
    Workload,
};
use crate::plan::{Block, PlanIdentity, PlanRow, PlanRule, PlanSet, SetId};
use crate::rules::{display, display_fabric_default, display_tier_default};

/// A rule that applies to a subject, and its tier.
struct Applying<'m> {
    tier: usize,
    rule: &'m Rule,
    policy: &'m Policy,
}

/// What one kind of workloads does with all others.
#[derive(Debug)]
pub(super) struct Subject {
    /// Its rows, the decision lists that they name, and the rules that those name.
    pub(super) block: Arc<Block>,
    /// The classes that its rows name.
    pub(super) named: BTreeSet<Class>,
}

/// Makes rows, one subject after another.
pub(super) struct Rows<'m> {
    model: &'m Model,
    peers: &'m Peers,
    matching: BTreeMap<&'m Peer, Arc<Matching>>,
}

impl<'m> Rows<'m> {
    pub(super) fn new(model: &'m Model, peers: &'m Peers) -> Self {
        Self { model, peers, matching: BTreeMap::new() }
    }

    /// Both rows of `subject`.
    pub(super) fn subject(&mut self, subject: Identity, kind: &'m Kind) -> Result<Subject, CompileError> {
        let mut sets = BTreeMap::new();
        let mut rows = Vec::new();
        for direction in Direction::BOTH {
            rows.push(self.row(subject, kind, direction, &mut sets)?);
        }
        let sets: Vec<PlanSet> = sets.into_values().collect();
        let decisions = sets.iter().flat_map(|set| &set.intervals).map(|interval| interval.decision.rule);
        let rules = self.rules(kind, &decisions.collect());
        let labels = SecurityLabels::of(&kind.example).labels().clone();
        let identities = vec![PlanIdentity { identity: subject, labels }];
        let named = rows.iter().flat_map(|row| row.peers.iter().map(|(class, _)| *class)).collect();
        let block = Block { addresses: Vec::new(), rows, sets, rules, identities };
        Ok(Subject { block: Arc::new(block), named })
    }

    fn row(
        &mut self,
        subject: Identity,
        kind: &'m Kind,
        direction: Direction,
        sets: &mut BTreeMap<SetId, PlanSet>,
    ) -> Result<PlanRow, CompileError> {
        let (model, peers, example) = (self.model, self.peers, &*kind.example);
        let policies = kind.policies.iter().filter_map(|name| model.policies.get(name));
        let policies: Vec<(&Policy, &[Rule])> =
            policies.filter_map(|policy| Some((policy, policy.rules(direction)?))).collect();
        let mut isolating: BTreeMap<usize, Established> = BTreeMap::new();
        for (policy, _) in &policies {
            let strictest = isolating.entry(policy.tier).or_insert(policy.established);
            *strictest = policy.established.min(*strictest);
        }
        let applying: Vec<Applying<'m>> = policies
            .iter()
            .flat_map(|(policy, rules)| rules.iter().map(|rule| Applying { tier: policy.tier, rule, policy }))
            .collect();
        let (every, by_class) = self.match_classes(&applying, direction);
        let stages = |rules: &[usize], peer: Option<&Workload>| {
            let destination = match direction {
                Direction::Ingress => Some(example),
                Direction::Egress => peer,
            };
            stages(model, direction, &isolating, &applying, rules, destination)
        };
        let default = enter(fold(&stages(&every, None)), sets)?;
        let mut made: BTreeMap<(Vec<usize>, Option<Identity>), SetId> = BTreeMap::new();
        let mut differing = Vec::new();
        for (class, rules) in by_class {
            let Some(identity) = peers.classes.get(&class).map(|class| class.identity) else { continue };
            // Service names resolve at the peer, so what they mean is the same for one identity only.
            let names_services =
                direction == Direction::Egress && rules.iter().any(|i| has_service(applying[*i].rule));
            let key = (rules, names_services.then_some(identity));
            let set = match made.get(&key) {
                Some(set) => *set,
                None => {
                    let peer = peers.kinds.get(identity).map(|kind| &*kind.example);
                    let set = enter(fold(&stages(&key.0, peer)), sets)?;
                    *made.entry(key).or_insert(set)
                }
            };
            if set != default {
                differing.push((class, set));
            }
        }
        Ok(PlanRow { subject, direction, default, peers: differing })
    }

    /// Which of `applying` match every class, and which match each class that any rule tells from the rest.
    fn match_classes(
        &mut self,
        applying: &[Applying<'m>],
        direction: Direction,
    ) -> (Vec<usize>, BTreeMap<Class, Vec<usize>>) {
        let mut every = Vec::new();
        let mut by_class: BTreeMap<Class, BTreeSet<usize>> = BTreeMap::new();
        for (index, candidate) in applying.iter().enumerate() {
            let matching: Vec<Arc<Matching>> =
                candidate.rule.peers.iter().map(|peer| self.matching(peer)).collect();
            if matching.iter().any(|matching| matches!(**matching, Matching::Every)) {
                every.push(index);
                continue;
            }
            for matching in matching {
                let Matching::These(classes) = &*matching else { continue };
                for class in classes {
                    by_class.entry(*class).or_default().insert(index);
                }
            }
        }
        // In egress, a service name in a rule for everyone tells peers apart by the services they have.
        if direction == Direction::Egress && every.iter().any(|index| has_service(applying[*index].rule)) {
            for class in self.peers.classes.keys() {
                by_class.entry(*class).or_default();
            }
        }
        let merged = by_class.into_iter().map(|(class, mut rules)| {
            rules.extend(&every);
            (class, rules.into_iter().collect())
        });
        let merged = merged.collect();
        (every, merged)
    }

    fn matching(&mut self, peer: &'m Peer) -> Arc<Matching> {
        let (model, peers) = (self.model, self.peers);
        Arc::clone(self.matching.entry(peer).or_insert_with(|| Arc::new(peers.matching(model, peer))))
    }

    /// Those of the rules and defaults that decide something for `kind`, as plans name them.
    fn rules(&self, kind: &Kind, deciding: &BTreeSet<RuleId>) -> Vec<PlanRule> {
        let policies = kind.policies.iter().filter_map(|name| self.model.policies.get(name));
        let mut rules: Vec<PlanRule> = defaults(&self.model.fabric)
            .chain(policies.flat_map(|policy| written(policy, &self.model.fabric)))
            .filter(|rule| deciding.contains(&rule.id))
            .collect();
        rules.sort();
        rules
    }
}

/// Enters a decision list under its number.
fn enter(set: PlanSet, sets: &mut BTreeMap<SetId, PlanSet>) -> Result<SetId, CompileError> {
    let id = set.id;
    match sets.entry(id) {
        Entry::Occupied(held) if *held.get() != set => return Err(CompileError::SetCollision { id }),
        Entry::Occupied(_) => {}
        Entry::Vacant(free) => drop(free.insert(set)),
    }
    Ok(id)
}

/// The tiers as [`fold`] wants them: the rules (indexes into `applying`) that match one class, and what each tier
/// does with the rest: `isolating` are those whose default applies, and what it says of established connections. `destination`
/// is whose service names count.
fn stages(
    model: &Model,
    direction: Direction,
    isolating: &BTreeMap<usize, Established>,
    applying: &[Applying<'_>],
    rules: &[usize],
    destination: Option<&Workload>,
) -> Vec<Stage> {
    let tiers = model.fabric.tiers.iter().enumerate().map(|(index, tier)| {
        let candidates = rules.iter().map(|i| &applying[*i]).filter(|candidate| candidate.tier == index);
        let candidates =
            candidates.map(|candidate| Candidate::new(candidate.policy, candidate.rule, destination));
        let established = isolating.get(&index).filter(|_| tier.isolation == Isolation::Isolates);
        let deny = established.map(|established| (tier.default_rules.of(direction), *established));
        Stage::tier(candidates.collect(), deny)
    });
    tiers.chain([Stage::last(&model.fabric, direction)]).collect()
}

/// The defaults of the fabric and of its tiers.
fn defaults(fabric: &Fabric) -> impl Iterator<Item = PlanRule> + '_ {
    let action = match fabric.default_action {
        DefaultAction::Allow => Action::Allow,
        DefaultAction::Deny => Action::Deny,
    };
    Direction::BOTH.into_iter().flat_map(move |direction| {
        let id = fabric.default_rules.of(direction);
        let last = PlanRule { id, display: display_fabric_default(direction), tier: None, direction, action };
        let tiers = fabric.tiers.iter().map(move |tier| {
            let id = tier.default_rules.of(direction);
            let display = display_tier_default(&tier.name, direction);
            PlanRule { id, display, tier: Some(tier.name.clone()), direction, action: Action::Deny }
        });
        tiers.chain([last])
    })
}

/// The rules of `policy`.
fn written<'m>(policy: &'m Policy, fabric: &'m Fabric) -> impl Iterator<Item = PlanRule> + 'm {
    let tier = fabric.tiers.get(policy.tier).map(|tier| tier.name.clone());
    Direction::BOTH.into_iter().flat_map(move |direction| {
        let tier = tier.clone();
        policy.rules(direction).unwrap_or_default().iter().map(move |rule| PlanRule {
            id: rule.id,
            display: display(&policy.name, direction, rule),
            tier: tier.clone(),
            direction,
            action: rule.action,
        })
    })
}
