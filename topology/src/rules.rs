//! Numbers for rules: the same rule keeps its number, whatever is edited around it.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::model::{DefaultRules, Direction, Fabric, Policy, Rule, RuleId};
use crate::names::{PolicyName, TierName};

/// Sorts every policy's rules by content, drops those that say the same twice, and numbers rules and defaults.
///
/// A rule with a name is numbered by policy, direction and name, so its counters survive an edit; one
/// without by its content. Where two numbers collide, the later in sorted order takes the next free one.
pub(crate) fn number(fabric: &mut Fabric, policies: &mut BTreeMap<PolicyName, Policy>) {
    let mut taken = BTreeSet::from([RuleId(0)]);
    let mut take = |key: String| {
        let digest = Sha256::digest(key.as_bytes());
        let mut id = RuleId(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]));
        while !taken.insert(id) {
            id = RuleId(id.0.wrapping_add(1));
        }
        id
    };
    let mut defaults = |what: &str| DefaultRules {
        ingress: take(format!("default/{what}/ingress")),
        egress: take(format!("default/{what}/egress")),
    };
    fabric.default_rules = defaults("fabric");
    // By name, not by position: moving a tier renumbers nothing.
    let mut tiers: Vec<_> = fabric.tiers.iter_mut().collect();
    tiers.sort_by(|a, b| a.name.cmp(&b.name));
    for tier in tiers {
        tier.default_rules = defaults(&format!("tier/{}", tier.name));
    }
    for (name, policy) in policies {
        for (direction, rules) in
            [(Direction::Ingress, &mut policy.ingress), (Direction::Egress, &mut policy.egress)]
        {
            let Some(rules) = rules else { continue };
            rules.sort_by_cached_key(|rule| (content(rule), rule.place.clone()));
            rules.dedup_by_key(|rule| content(rule));
            for rule in rules {
                rule.id = take(format!("{name}/{direction}/{}", key(rule)));
            }
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
