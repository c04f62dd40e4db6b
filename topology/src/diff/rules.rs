//! The rules that decisions name, as users know them.

use std::collections::HashMap;

use super::ends::Both;
use crate::model::{Direction, Model, Place, RuleId};
use crate::rules::{display, display_fabric_default, display_tier_default};

/// A rule, or a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// `policy/ingress/<name or number>`, `tier/default-deny/ingress`, `fabric/default/ingress`.
    pub display: String,
    /// Where the documents say it; `None` for a default.
    pub place: Option<Place>,
}

/// Those of two models.
pub(crate) struct Rules(Both<HashMap<RuleId, Named>>);

impl Rules {
    pub(crate) fn of(models: Both<&Model>) -> Self {
        Self(
            models.map(|model| {
                Direction::BOTH.into_iter().flat_map(|direction| named(model, direction)).collect()
            }),
        )
    }

    pub(crate) fn get(&self, side: usize, rule: RuleId) -> Option<&Named> {
        self.0.get(side)?.get(&rule)
    }
}

fn named(model: &Model, direction: Direction) -> impl Iterator<Item = (RuleId, Named)> + '_ {
    let default = |id, display| (id, Named { display, place: None });
    let fabric = default(model.fabric.default_rules.of(direction), display_fabric_default(direction));
    let tiers = model.fabric.tiers.iter().map(move |tier| {
        default(tier.default_rules.of(direction), display_tier_default(&tier.name, direction))
    });
    let written = model.policies.values().flat_map(move |policy| {
        policy.rules(direction).into_iter().flatten().map(move |rule| {
            let display = display(&policy.name, direction, rule);
            (rule.id, Named { display, place: Some(rule.place.clone()) })
        })
    });
    tiers.chain([fabric]).chain(written)
}
