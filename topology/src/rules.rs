//! Numbers for rules: the same rule keeps its number, whatever is edited around it.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest, Sha256};

use crate::model::{DefaultRules, Direction, Fabric, Policy, Rule, RuleId};
use crate::names::{PolicyName, TierName};

/// Every number that is given.
#[derive(Debug)]
pub(crate) struct Numbers(HashSet<RuleId>);

/// What becomes of numbers when some policies change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// All others keep theirs.
    Done,
    /// Numbers collide, and which is free depends on all policies: all have to be given anew.
    Crowded,
}

impl Numbers {
    /// Sorts every policy's rules by content, drops those that say the same twice, and numbers rules and defaults.
    ///
    /// A rule with a name is numbered by policy, direction and name, so its counters survive an edit; one
    /// without by its content. Where two numbers collide, the later in sorted order takes the next free one.
    pub(crate) fn give(fabric: &mut Fabric, policies: &mut BTreeMap<PolicyName, Policy>) -> Self {
        let mut numbers = Self(HashSet::from([RuleId(0)]));
        let mut defaults = |what: &str| DefaultRules {
            ingress: numbers.take(&format!("default/{what}/ingress")),
            egress: numbers.take(&format!("default/{what}/egress")),
        };
        fabric.default_rules = defaults("fabric");
        // By name, not by position: moving a tier renumbers nothing.
        let mut tiers: Vec<_> = fabric.tiers.iter_mut().collect();
        tiers.sort_by(|a, b| a.name.cmp(&b.name));
        for tier in tiers {
            tier.default_rules = defaults(&format!("tier/{}", tier.name));
        }
        for policy in policies.values_mut() {
            settle(policy);
            each_rule(policy, |rule, key| rule.id = numbers.take(&key));
        }
        numbers
    }

    fn take(&mut self, key: &str) -> RuleId {
        let mut id = wanted(key);
        while !self.0.insert(id) {
            id = following(id);
        }
        id
    }

    /// Gives up the numbers of `gone` and numbers `new`, exactly as [`Numbers::give`] would with all others, where that moves
    /// none of the others.
    pub(crate) fn exchange<'p>(
        &mut self,
        gone: impl Iterator<Item = &'p Policy>,
        new: impl Iterator<Item = &'p mut Policy>,
    ) -> Exchange {
        let mut exchange = Exchange::Done;
        for id in gone.flat_map(ids) {
            self.0.remove(&id);
            // Whoever found this one taken went on to the next.
            if self.0.contains(&following(id)) {
                exchange = Exchange::Crowded;
            }
        }
        for policy in new {
            settle(policy);
            each_rule(policy, |rule, key| {
                rule.id = wanted(&key);
                if !self.0.insert(rule.id) {
                    exchange = Exchange::Crowded;
                }
            });
        }
        exchange
    }

    /// Gives up the numbers of policies as they are, for those that they had before.
    pub(crate) fn restore<'p>(
        &mut self,
        are: impl Iterator<Item = &'p Policy>,
        were: impl Iterator<Item = &'p Policy>,
    ) {
        for id in are.flat_map(ids) {
            self.0.remove(&id);
        }
        self.0.extend(were.flat_map(ids));
    }
}

/// The number that a rule has unless another has it.
fn wanted(key: &str) -> RuleId {
    let digest = Sha256::digest(key.as_bytes());
    RuleId(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
}

fn following(id: RuleId) -> RuleId {
    RuleId(id.0.wrapping_add(1))
}

/// The numbers of a policy's rules.
pub(crate) fn ids(policy: &Policy) -> impl Iterator<Item = RuleId> {
    policy.ingress.iter().chain(&policy.egress).flatten().map(|rule| rule.id)
}

/// Sorts rules by content and drops those that say the same twice.
fn settle(policy: &mut Policy) {
    for rules in [&mut policy.ingress, &mut policy.egress].into_iter().flatten() {
        rules.sort_by_cached_key(|rule| (content(rule), rule.place.clone()));
        rules.dedup_by_key(|rule| content(rule));
    }
}

/// Calls `number` with every rule, in order, and what it is numbered by.
fn each_rule(policy: &mut Policy, mut number: impl FnMut(&mut Rule, String)) {
    let Policy { name, ingress, egress, .. } = policy;
    for (direction, rules) in [(Direction::Ingress, ingress), (Direction::Egress, egress)] {
        for rule in rules.iter_mut().flatten() {
            let key = format!("{name}/{direction}/{}", key(rule));
            number(rule, key);
        }
    }
}

fn key(rule: &Rule) -> String {
    rule.name.as_ref().map_or_else(|| content(rule), |name| format!("name:{name}"))
}

/// All that a rule means, in a fixed order; not its description and not its place.
fn content(rule: &Rule) -> String {
    let Rule { id: _, name, description: _, action, peers, ports, log, tracking, place: _ } = rule;
    let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let name = name.as_ref().map_or("", |name| name.as_str());
    format!("{name}|{action}|{}|{}|{log:?}|{tracking:?}", peers.join(" or "), ports.join(","))
}

/// A rule as users see it: `policy/ingress/<name or number>`.
pub(crate) fn display(policy: &PolicyName, direction: Direction, rule: &Rule) -> String {
    match &rule.name {
        Some(name) => format!("{policy}/{direction}/{name}"),
        None => format!("{policy}/{direction}/{}", rule.id),
    }
}

/// A tier's default deny as users see it.
pub(crate) fn display_tier_default(tier: &TierName, direction: Direction) -> String {
    format!("{tier}/default-deny/{direction}")
}

/// The fabric's default as users see it.
pub(crate) fn display_fabric_default(direction: Direction) -> String {
    format!("fabric/default/{direction}")
}
