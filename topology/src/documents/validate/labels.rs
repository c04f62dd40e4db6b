//! The fabric's rules for labels, and what workloads claim against them.

use std::collections::BTreeMap;

use super::super::codes::Code;
use super::super::decode::{Field, Located};
use super::super::kinds::{FabricSpec, LabelRuleSpec, SettersSpec};
use super::super::scalars::LabelMap;
use super::super::sink::{Sink, suggestion};
use super::super::tree::Span;
use super::Names;
use crate::claims::{LabelRule, LabelRules, LabelScope, Setters, Unlisted, Values};
use crate::labels::{LabelKey, LabelValue};

/// The rules, and where they are written.
#[derive(Debug)]
pub(crate) struct LabelBook {
    rules: LabelRules,
    places: BTreeMap<LabelScope, Span>,
    unlisted: Unlisting,
}

/// What becomes of a label that no rule is about.
#[derive(Debug)]
enum Unlisting {
    /// It may be claimed; or a rule is wrong, and may have been about it.
    Allowed,
    /// It is refused, as it is said here.
    Refused(Span),
}

impl LabelBook {
    /// Reads the rules. What is wrong in them is reported, and refuses no workload's labels.
    pub(super) fn of(spec: &FabricSpec, sink: &mut Sink<'_>) -> Self {
        let mut names: Names<LabelScope> = Names::new("rule for label");
        let (mut rules, mut places) = (BTreeMap::new(), BTreeMap::new());
        let mut unlisted = match spec.unlisted_labels.given() {
            Some(Located { value: Unlisted::Refuse, span }) => Unlisting::Refused(*span),
            _ => Unlisting::Allowed,
        };
        for Located { value: rule, span } in spec.labels.value().into_iter().flat_map(|rules| &rules.0) {
            let Some(scope) = rule.key.given() else {
                unlisted = Unlisting::Allowed;
                continue;
            };
            if names.claim(scope, sink) && alone(scope, &places, sink) {
                says_something(rule, *span, &unlisted, sink);
                places.insert(scope.value.clone(), scope.span);
                rules.insert(scope.value.clone(), label_rule(rule));
            }
        }
        let default = spec.unlisted_labels.value().copied().unwrap_or_default();
        Self { rules: LabelRules::new(rules, default), places, unlisted }
    }

    pub(super) fn rules(&self) -> &LabelRules {
        &self.rules
    }

    /// Reports every label that a workload claims against the rules.
    pub(super) fn check(&self, labels: &LabelMap, sink: &mut Sink<'_>) {
        for (key, label) in &labels.0 {
            match (self.rules.of(key), &self.unlisted) {
                (Some((scope, rule)), _) => {
                    self.check_value(key, scope, rule, &label.value, sink);
                }
                (None, Unlisting::Allowed) => {}
                (None, Unlisting::Refused(place)) => {
                    let message =
                        format!("no rule of the fabric is about label `{key}`, so it can't be claimed");
                    let known = self.places.keys().map(LabelScope::as_str);
                    let known = suggestion(key.as_str(), known).map(|known| format!("{known}; "));
                    let place = sink.place(*place);
                    let help = format!("{}`unlistedLabels: refuse` is at {place}", known.unwrap_or_default());
                    sink.error(Code::LabelRefused, label.key, message, help);
                }
            }
        }
    }

    fn check_value(
        &self,
        key: &LabelKey,
        scope: &LabelScope,
        rule: &LabelRule,
        value: &Located<LabelValue>,
        sink: &mut Sink<'_>,
    ) {
        let Values::OneOf(values) = &rule.values else { return };
        if !values.contains(&value.value) {
            let message = format!("`{}` is no value that label `{key}` may have", value.value);
            let known = suggestion(value.value.as_str(), values.iter().map(LabelValue::as_str));
            let rule = self.places.get(scope).map(|place| format!("the rule is at {}", sink.place(*place)));
            let help: Vec<String> = known.into_iter().chain(rule).collect();
            sink.error(Code::LabelRefused, value.span, message, help.join("; "));
        }
    }
}

/// Reports a rule for what another is about already: one label, one rule.
fn alone(scope: &Located<LabelScope>, others: &BTreeMap<LabelScope, Span>, sink: &mut Sink<'_>) -> bool {
    let overlapping = others.iter().find(|(other, _)| other.overlaps(&scope.value));
    let Some((other, place)) = overlapping else { return true };
    let message = format!("rules for labels `{other}` and `{}` are about the same labels", scope.value);
    let help = format!("the first is at {}; leave out one of them", sink.place(*place));
    sink.error(Code::ConflictingFields, scope.span, message, help);
    false
}

/// Warns of a rule that refuses nobody anything.
fn says_something(rule: &LabelRuleSpec, span: Span, unlisted: &Unlisting, sink: &mut Sink<'_>) {
    if rule.values.is_absent() && rule.set_by.is_absent() && matches!(unlisted, Unlisting::Allowed) {
        let message = "a rule without `values` and `setBy` changes nothing".to_owned();
        let help = "say which values or who, or write `unlistedLabels: refuse` beside `labels`".to_owned();
        sink.warning(Code::NoEffect, span, message, help);
    }
}

fn label_rule(LabelRuleSpec { key: _, values, set_by }: &LabelRuleSpec) -> LabelRule {
    let values = values.value().map_or(Values::Any, |values| {
        Values::OneOf(values.0.iter().map(|value| value.value.clone()).collect())
    });
    LabelRule { values, set_by: setters(set_by) }
}

/// Who may set a label. What is written wrongly lets in nobody, and there is no model then.
fn setters(spec: &Field<SettersSpec>) -> Setters {
    if spec.is_absent() {
        return Setters::Appliers;
    }
    let Some(SettersSpec { role, operators }) = spec.value() else { return Setters::nobody() };
    let operators = operators.value().into_iter().flat_map(|operators| &operators.0);
    Setters::Only {
        role: role.value().copied(),
        operators: operators.map(|operator| operator.value.clone()).collect(),
    }
}
