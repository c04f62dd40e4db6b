//! Rows: for each subject and direction, which decision list each class of peers gets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::CompileError;
use super::peers::{Matching, Member, Peers};
use super::sets::{Candidate, Stage, fold};
use crate::identity::{Class, Identity};
use crate::l4::L4Match;
use crate::model::{
    Action, DefaultAction, Direction, Established, Isolation, Model, Peer, Policy, Rule, RuleId, Workload,
};
use crate::plan::{PlanRow, PlanRule, PlanSet, SetId};
use crate::rules::{display, display_fabric_default, display_tier_default};

/// A rule that applies to a subject, and its tier.
struct Applying<'m> {
    tier: usize,
    rule: &'m Rule,
    policy: &'m Policy,
}

/// Rows and decision lists made so far, shared by all nodes.
pub(super) struct Rows<'m> {
    model: &'m Model,
    peers: &'m Peers<'m>,
    matching: BTreeMap<&'m Peer, Arc<Matching>>,
    rows: BTreeMap<(Identity, Direction), PlanRow>,
    sets: BTreeMap<SetId, PlanSet>,
    rules: BTreeMap<RuleId, PlanRule>,
}

impl<'m> Rows<'m> {
    pub(super) fn new(model: &'m Model, peers: &'m Peers<'m>) -> Self {
        let rules = all_rules(model);
        Self { model, peers, matching: BTreeMap::new(), rows: BTreeMap::new(), sets: BTreeMap::new(), rules }
    }

    pub(super) fn set(&self, id: SetId) -> Option<&PlanSet> {
        self.sets.get(&id)
    }

    pub(super) fn rule(&self, id: RuleId) -> Option<PlanRule> {
        self.rules.get(&id).cloned()
    }

    /// The row of `subject`, of whom `example` is one.
    pub(super) fn row(
        &mut self,
        subject: Identity,
        example: &Workload,
        direction: Direction,
    ) -> Result<&PlanRow, CompileError> {
        if !self.rows.contains_key(&(subject, direction)) {
            let row = self.make(subject, example, direction)?;
            self.rows.insert((subject, direction), row);
        }
        Ok(&self.rows[&(subject, direction)])
    }

    fn make(
        &mut self,
        subject: Identity,
        example: &Workload,
        direction: Direction,
    ) -> Result<PlanRow, CompileError> {
        let model = self.model;
        let policies = model.policies.values().filter(|policy| policy.selector.matches(&example.labels));
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
        let stages = |rules: &[usize], peer: Option<Member<'_>>| {
            stages(model, direction, &isolating, &applying, rules, example, peer)
        };

        let default = self.fold_set(&stages(&every, None))?;
        let mut made: BTreeMap<(Vec<usize>, Option<Identity>), SetId> = BTreeMap::new();
        let mut peers = Vec::new();
        let all = self.peers;
        for (class, rules) in by_class {
            let Some(peer) = all.classes.get(&class) else { continue };
            // Service names resolve at the peer, so what they mean is the same for one identity only.
            let names_services =
                direction == Direction::Egress && rules.iter().any(|i| has_service(applying[*i].rule));
            let key = (rules, names_services.then_some(peer.identity));
            let set = match made.get(&key) {
                Some(set) => *set,
                None => {
                    let set = self.fold_set(&stages(&key.0, Some(peer.member)))?;
                    *made.entry(key).or_insert(set)
                }
            };
            if set != default {
                peers.push((class, set));
            }
        }
        Ok(PlanRow { subject, direction, default, peers })
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
        let peers = self.peers;
        Arc::clone(self.matching.entry(peer).or_insert_with(|| Arc::new(peers.matching(peer))))
    }

    fn fold_set(&mut self, stages: &[Stage]) -> Result<SetId, CompileError> {
        let set = fold(stages);
        let id = set.id;
        let held = self.sets.entry(id).or_insert_with(|| set.clone());
        if *held == set { Ok(id) } else { Err(CompileError::SetCollision { id }) }
    }
}

fn has_service(rule: &Rule) -> bool {
    rule.ports.iter().any(|port| matches!(port, L4Match::Service { .. }))
}

/// The tiers as [`fold`] wants them: the rules (indexes into `applying`) that match one class, and what each tier
/// does with the rest: `isolating` are those whose default applies, and what it says of established connections. `peer` is who the class is; `None` for the class of nobody in particular.
fn stages(
    model: &Model,
    direction: Direction,
    isolating: &BTreeMap<usize, Established>,
    applying: &[Applying<'_>],
    rules: &[usize],
    subject: &Workload,
    peer: Option<Member<'_>>,
) -> Vec<Stage> {
    let destination = match (direction, peer) {
        (Direction::Ingress, _) => Some(subject),
        (Direction::Egress, Some(Member::Workload(workload))) => Some(workload),
        (Direction::Egress, _) => None,
    };
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

/// Every rule and every default of the model, as plans name them.
fn all_rules(model: &Model) -> BTreeMap<RuleId, PlanRule> {
    let mut rules = BTreeMap::new();
    let mut enter = |rule: PlanRule| rules.insert(rule.id, rule);
    for direction in Direction::BOTH {
        let action = match model.fabric.default_action {
            DefaultAction::Allow => Action::Allow,
            DefaultAction::Deny => Action::Deny,
        };
        let id = model.fabric.default_rules.of(direction);
        enter(PlanRule { id, display: display_fabric_default(direction), tier: None, direction, action });
        for tier in &model.fabric.tiers {
            let id = tier.default_rules.of(direction);
            let display = display_tier_default(&tier.name, direction);
            enter(PlanRule { id, display, tier: Some(tier.name.clone()), direction, action: Action::Deny });
        }
        for policy in model.policies.values() {
            for rule in policy.rules(direction).unwrap_or_default() {
                let tier = model.fabric.tiers.get(policy.tier).map(|tier| tier.name.clone());
                let display = display(&policy.name, direction, rule);
                enter(PlanRule { id: rule.id, display, tier, direction, action: rule.action });
            }
        }
    }
    rules
}
