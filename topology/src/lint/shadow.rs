//! Rules that never decide, because another rule always decides before.

use std::collections::HashMap;

use super::coverage::{peers_cover, ports_cover, selector_covers};
use super::selection::Selection;
use super::{Marked, Warnings};
use crate::documents::codes::Code;
use crate::labels::{LabelKey, LabelValue, Requirement, Selector};
use crate::model::{Action, Direction, Model, Policy, Rule};

/// Pairs of peers or ports that are compared before the search ends: some seconds at the worst.
const BUDGET: usize = 20_000_000;

pub(super) fn shadowed_rules(model: &Model, _: &mut Selection<'_>, warnings: &mut Warnings) {
    let mut budget = BUDGET;
    for direction in Direction::BOTH {
        let deciders = Deciders::new(model, direction);
        for policy in model.policies.values() {
            for rule in policy.rules(direction).unwrap_or_default() {
                let candidate = Placed { policy, rule };
                if let Some(other) = deciders.before(&candidate, model, &mut budget) {
                    report(&candidate, &other, model, warnings);
                }
            }
        }
    }
}

fn report(shadowed: &Placed<'_>, other: &Placed<'_>, model: &Model, warnings: &mut Warnings) {
    let Placed { policy, rule } = other;
    let message = || {
        let tier = model.fabric.tiers.get(policy.tier).map_or("", |tier| tier.name.as_str());
        let name = rule.name.as_ref().map_or_else(|| rule.id.to_string(), ToString::to_string);
        let when =
            if policy.tier == shadowed.policy.tier { "in the same tier" } else { "in an earlier tier" };
        format!(
            "this rule never decides: rule `{name}` of policy `{}` ({} at {}) matches all of it {when}, `{tier}`",
            policy.name, rule.action, rule.place
        )
    };
    let help = "narrow the other rule, or leave this one out";
    warnings.add(Code::Shadowed, Marked::Line(&shadowed.rule.place), message, help);
}

/// A rule and its policy.
#[derive(Clone, Copy)]
struct Placed<'m> {
    policy: &'m Policy,
    rule: &'m Rule,
}

impl Placed<'_> {
    /// Whether this rule, where it matches, decides before `other` can.
    fn comes_before(&self, other: &Self) -> bool {
        if self.policy.tier != other.policy.tier {
            return self.policy.tier < other.policy.tier;
        }
        matches!(
            (self.rule.action, other.rule.action),
            (Action::Deny, Action::Allow | Action::Pass) | (Action::Allow, Action::Pass)
        )
    }
}

/// Something that labels must have to be selected. A selector can only be covered by one that asks for less, so
/// only those that ask for nothing, or for something that it asks for too, are looked at.
#[derive(PartialEq, Eq, Hash)]
enum Handle<'m> {
    Nothing,
    Value(&'m LabelKey, &'m LabelValue),
    Key(&'m LabelKey),
}

/// The rules that decide, allow or deny, by what their policies ask for first.
struct Deciders<'m>(HashMap<Handle<'m>, Vec<Placed<'m>>>);

impl<'m> Deciders<'m> {
    fn new(model: &'m Model, direction: Direction) -> Self {
        let mut deciders: HashMap<Handle<'m>, Vec<Placed<'m>>> = HashMap::new();
        for policy in model.policies.values() {
            for rule in policy.rules(direction).unwrap_or_default() {
                if rule.action != Action::Pass {
                    for handle in filed_under(&policy.selector) {
                        deciders.entry(handle).or_default().push(Placed { policy, rule });
                    }
                }
            }
        }
        Self(deciders)
    }

    /// A rule that always decides before `rule`.
    fn before(&self, rule: &Placed<'m>, model: &Model, budget: &mut usize) -> Option<Placed<'m>> {
        let found =
            looked_up_under(&rule.policy.selector).into_iter().filter_map(|handle| self.0.get(&handle));
        found.flatten().copied().find(|other| {
            let cost = 1 + other.rule.peers.len() * rule.rule.peers.len() + other.rule.ports.len();
            *budget = budget.saturating_sub(cost);
            *budget > 0
                && other.comes_before(rule)
                && ports_cover(&other.rule.ports, &rule.rule.ports)
                && selector_covers(&other.policy.selector, &rule.policy.selector)
                && peers_cover(other.rule, rule.rule, model)
        })
    }
}

/// Where a selector is filed: under its first requirement.
fn filed_under(selector: &Selector) -> Vec<Handle<'_>> {
    match selector.0.first() {
        None => vec![Handle::Nothing],
        Some(Requirement::In(key, values)) => values.iter().map(|value| Handle::Value(key, value)).collect(),
        Some(Requirement::NotIn(key, _) | Requirement::Exists(key) | Requirement::DoesNotExist(key)) => {
            vec![Handle::Key(key)]
        }
    }
}

/// Where selectors that cover `selector` are filed.
fn looked_up_under(selector: &Selector) -> Vec<Handle<'_>> {
    let mut handles = vec![Handle::Nothing];
    for requirement in &selector.0 {
        let key = match requirement {
            Requirement::In(key, values) => {
                // A wider one lists every value that is listed here, so any of them finds it.
                handles.extend(values.first().map(|value| Handle::Value(key, value)));
                key
            }
            Requirement::NotIn(key, _) | Requirement::Exists(key) | Requirement::DoesNotExist(key) => key,
        };
        if !handles.contains(&Handle::Key(key)) {
            handles.push(Handle::Key(key));
        }
    }
    handles
}
