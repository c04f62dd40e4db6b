//! `established` where nothing is denied that it could be about.

use std::collections::BTreeMap;

use super::selection::Selection;
use super::{Marked, Warnings};
use crate::documents::codes::Code;
use crate::model::{Action, DefaultAction, Direction, Established, Isolation, Model, Policy};

pub(super) fn settings_without_effect(model: &Model, selection: &mut Selection<'_>, warnings: &mut Warnings) {
    of_the_fabric(model, warnings);
    let cutting = cutting(model, selection);
    for policy in model.policies.values() {
        let Some(place) = &policy.established_place else { continue };
        let Policy { name, established, .. } = policy;
        let said = established.to_string();
        let marked = Marked::Name(place, &said);
        if denies_by_rule(policy) {
            continue;
        }
        if !isolates(model, policy) {
            let message = || {
                format!(
                    "`established: {established}` of policy `{name}` has no effect: the policy denies nothing"
                )
            };
            let help = "leave it out, or write it in the policy whose rules or tier deny";
            warnings.add(Code::NoEffect, marked, message, help);
        } else if *established == Established::Drain
            && let Some(other) = outvoted(policy, &cutting, selection)
        {
            let message = || {
                format!(
                    "`established: drain` of policy `{name}` has no effect: whatever workload it isolates, a policy that cuts \
                     does too, such as `{}` at {}",
                    other.name, other.place
                )
            };
            let help =
                "a tier's default drains only where all policies that isolate the workload say `drain`";
            warnings.add(Code::NoEffect, marked, message, help);
        }
    }
}

fn of_the_fabric(model: &Model, warnings: &mut Warnings) {
    let fabric = &model.fabric;
    let Some(place) = &fabric.established_place else { return };
    if fabric.default_action == DefaultAction::Allow {
        let message = || {
            format!(
                "the fabric's `established: {}` has no effect: its default denies nothing",
                fabric.established
            )
        };
        let help = "leave it out, or write `defaultAction: deny`; what rules and tiers deny, policies say";
        warnings.add(Code::NoEffect, Marked::Name(place, &fabric.established.to_string()), message, help);
    }
}

fn denies_by_rule(policy: &Policy) -> bool {
    let rules = Direction::BOTH.into_iter().flat_map(|direction| policy.rules(direction).unwrap_or_default());
    rules.into_iter().any(|rule| rule.action == Action::Deny)
}

/// Whether its tier's default can be what denies.
fn isolates(model: &Model, policy: &Policy) -> bool {
    let isolates = |tier: &crate::model::Tier| tier.isolation == Isolation::Isolates;
    model.fabric.tiers.get(policy.tier).is_some_and(isolates)
        && Direction::BOTH.into_iter().any(|direction| policy.rules(direction).is_some())
}

/// Of each tier and direction, by class of workloads: a policy that isolates it and cuts.
type Cutting<'m> = BTreeMap<(usize, Direction), Vec<Option<&'m Policy>>>;

fn cutting<'m>(model: &'m Model, selection: &mut Selection<'_>) -> Cutting<'m> {
    let mut cutting = Cutting::new();
    for policy in model.policies.values().filter(|policy| policy.established == Established::Cut) {
        for direction in Direction::BOTH.into_iter().filter(|direction| policy.rules(*direction).is_some()) {
            let classes = selection.classes().len();
            let by_class = cutting.entry((policy.tier, direction)).or_insert_with(|| vec![None; classes]);
            for class in selection.of(&policy.selector).iter() {
                by_class[*class].get_or_insert(policy);
            }
        }
    }
    cutting
}

/// A policy that cuts, where each workload that `policy` isolates is isolated by such a one as well, in the same direction.
fn outvoted<'m>(policy: &Policy, cutting: &Cutting<'m>, selection: &mut Selection<'_>) -> Option<&'m Policy> {
    let selected = selection.of(&policy.selector);
    let managed = selected.iter().filter(|class| selection.classes()[**class].is_managed());
    let mut found = None;
    for class in managed {
        for direction in Direction::BOTH.into_iter().filter(|direction| policy.rules(*direction).is_some()) {
            let other = (*cutting.get(&(policy.tier, direction))?.get(*class)?)?;
            found = found.or(Some(other));
        }
    }
    found
}
