//! Sets: the rules that match one class of peers, folded into one decision list over all layer-4 keys.

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use super::CompileError;
use crate::l4::{L4Key, L4Match, L4Range};
use crate::model::{
    Action, DefaultAction, Direction, Established, Fabric, Logging, Policy, Rule, RuleId, Tracking, Workload,
};
use crate::names::PolicyName;
use crate::plan::{Decision, Outcome, PlanInterval, PlanSet, SetId};

/// A rule with its ports resolved to ranges.
pub(super) struct Candidate {
    action: Action,
    /// The order in which rules with the same action are named as the one that decides. What becomes of established
    /// connections only denials say.
    rank: (Established, Tracking, PolicyName, RuleId),
    log: Logging,
    ranges: Vec<L4Range>,
}

impl Candidate {
    /// `destination`: the workload whose service names count, if the destination is one.
    pub(super) fn new(policy: &Policy, rule: &Rule, destination: Option<&Workload>) -> Self {
        let established = match rule.action {
            Action::Deny => policy.established,
            Action::Allow | Action::Pass => Established::Cut,
        };
        Self {
            action: rule.action,
            rank: (established, rule.tracking, policy.name.clone(), rule.id),
            log: rule.log,
            ranges: rule.ports.iter().filter_map(|port| resolve(port, destination)).collect(),
        }
    }
}

/// One step of the walk through the tiers.
pub(super) struct Stage {
    candidates: Vec<Candidate>,
    /// What happens to keys that no candidate matches; `None`: the next stage.
    rest: Option<Decision>,
}

impl Stage {
    /// A tier, with its default deny where it isolates the subject.
    pub(super) fn tier(candidates: Vec<Candidate>, default_deny: Option<(RuleId, Established)>) -> Self {
        let deny =
            |(rule, established)| Decision { outcome: Outcome::denied(established), rule, logged: false };
        Self { candidates, rest: default_deny.map(deny) }
    }

    /// What comes after the last tier.
    pub(super) fn last(fabric: &Fabric, direction: Direction) -> Self {
        let outcome = match fabric.default_action {
            DefaultAction::Allow => Outcome::Allowed,
            DefaultAction::Deny => Outcome::denied(fabric.established),
        };
        let rule = fabric.default_rules.of(direction);
        Self { candidates: Vec::new(), rest: Some(Decision { outcome, rule, logged: false }) }
    }

    fn decide(&self, key: L4Key) -> Option<Decision> {
        let matching = || self.candidates.iter().filter(|c| c.ranges.iter().any(|range| range.contains(key)));
        let best = |action| matching().filter(|c| c.action == action).min_by_key(|c| &c.rank);
        let Some(winner) = [Action::Deny, Action::Allow, Action::Pass].into_iter().find_map(best) else {
            return self.rest;
        };
        let (established, tracking, _, rule) = &winner.rank;
        let outcome = match (winner.action, tracking) {
            (Action::Pass, _) => return None,
            (Action::Deny, _) => Outcome::denied(*established),
            (Action::Allow, Tracking::Stateful) => Outcome::Allowed,
            (Action::Allow, Tracking::Stateless) => Outcome::AllowedStateless,
        };
        let logged = matching().any(|c| c.action == winner.action && c.log == Logging::Logged);
        Some(Decision { outcome, rule: *rule, logged })
    }
}

/// Folds `stages`, the last of which decides everything, into a decision list.
///
/// The answer can change only where a range begins or where one has ended: deciding once at each such key
/// decides for all.
pub(super) fn fold(stages: &[Stage]) -> PlanSet {
    let ranges = stages.iter().flat_map(|stage| &stage.candidates).flat_map(|candidate| &candidate.ranges);
    let mut keys: BTreeSet<L4Key> = BTreeSet::from([L4Key::FIRST]);
    keys.extend(ranges.flat_map(|range| [Some(range.first), range.last.next()]).flatten());
    let mut intervals: Vec<PlanInterval> = Vec::new();
    for first in keys {
        let Some(decision) = stages.iter().find_map(|stage| stage.decide(first)) else { continue };
        if intervals.last().is_none_or(|last| last.decision != decision) {
            intervals.push(PlanInterval { first, decision });
        }
    }
    PlanSet { id: number(&intervals), intervals }
}

/// The set's number: the first eight bytes of a digest of its content.
fn number(intervals: &[PlanInterval]) -> SetId {
    let mut hash = Sha256::new();
    for PlanInterval { first, decision: Decision { outcome, rule, logged } } in intervals {
        hash.update(first.number().to_be_bytes());
        hash.update(rule.0.to_be_bytes());
        hash.update([*outcome as u8, u8::from(*logged)]);
    }
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    SetId(u64::from_be_bytes(first))
}

/// The keys that `port` matches of those to `destination`, where that is a workload.
pub(crate) fn resolve(port: &L4Match, destination: Option<&Workload>) -> Option<L4Range> {
    match port {
        L4Match::Any => Some(L4Range::ALL),
        L4Match::Ports { protocol, first, last } => Some(L4Range {
            first: L4Key::new((*protocol).into(), *first),
            last: L4Key::new((*protocol).into(), *last),
        }),
        L4Match::Service { protocol, name } => {
            let service = destination?.services.get(name)?;
            let key = L4Key::new(service.protocol.into(), service.port);
            (service.protocol == *protocol).then_some(L4Range { first: key, last: key })
        }
        L4Match::Icmp { protocol, messages } => {
            let (first, last) = messages.range();
            Some(L4Range {
                first: L4Key::new((*protocol).into(), first),
                last: L4Key::new((*protocol).into(), last),
            })
        }
    }
}

/// Every decision list there is, and how many subjects have it: two that differ and have one number are found out.
#[derive(Debug, Default)]
pub(super) struct Lists(HashMap<SetId, (PlanSet, usize)>);

impl Lists {
    /// Takes up the lists of a subject.
    pub(super) fn enter(&mut self, sets: &[PlanSet]) -> Result<(), CompileError> {
        for set in sets {
            let (held, subjects) = self.0.entry(set.id).or_insert_with(|| (set.clone(), 0));
            if held != set {
                return Err(CompileError::SetCollision { id: set.id });
            }
            *subjects += 1;
        }
        Ok(())
    }

    /// Gives up the lists of a subject.
    pub(super) fn leave(&mut self, sets: &[PlanSet]) {
        for set in sets {
            if let Some((_, subjects)) = self.0.get_mut(&set.id) {
                *subjects -= 1;
                if *subjects == 0 {
                    self.0.remove(&set.id);
                }
            }
        }
    }
}
