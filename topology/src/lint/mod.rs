//! Warnings about what is legal and probably wrong. A warning is given only where it is certain to be true; what
//! would take too long to find out is not claimed.

mod coverage;
mod established;
mod reach;
mod selection;
mod shadow;

use crate::documents::codes::Code;
use crate::documents::sink::{Findings, finding};
use crate::documents::{Diagnostic, Severity};
use crate::model::{DefaultAction, Direction, Isolation, Model, Place, Policy};
use coverage::contradiction;
use selection::Selection;

/// The warnings about a model, at most [`crate::documents::limits::FINDINGS`] of each sort and a count of the
/// others. They have no source lines: [`crate::documents::load`], which knows the files, adds them.
pub fn lint(model: &Model) -> Vec<Diagnostic> {
    let mut selection = Selection::new(model);
    let mut all = Vec::new();
    let sorts: [Sort; 5] = [
        policies_that_select_nothing,
        reach::rules_that_match_nothing,
        shadow::shadowed_rules,
        established::settings_without_effect,
        open_workloads,
    ];
    for sort in sorts {
        let mut warnings = Warnings::default();
        sort(model, &mut selection, &mut warnings);
        all.extend(warnings.0.into_vec());
    }
    all
}

/// Finds the warnings of one sort.
type Sort = fn(&Model, &mut Selection<'_>, &mut Warnings);

/// Warnings of one sort.
#[derive(Default)]
struct Warnings(Findings);

/// What a warning marks.
#[derive(Clone, Copy)]
enum Marked<'a> {
    /// A name.
    Name(&'a Place, &'a str),
    /// All from there to the end of the line.
    Line(&'a Place),
}

impl Warnings {
    fn add(&mut self, code: Code, marked: Marked<'_>, message: impl FnOnce() -> String, help: &str) {
        self.0.add(|| {
            let (place, width) = match marked {
                Marked::Name(place, name) => (place, u32::try_from(name.len()).unwrap_or(u32::MAX)),
                Marked::Line(place) => (place, u32::MAX),
            };
            finding(Severity::Warning, code, (place.clone(), width), message(), Some(help.to_owned()))
        });
    }
}

fn policies_that_select_nothing(model: &Model, selection: &mut Selection<'_>, warnings: &mut Warnings) {
    for policy in model.policies.values() {
        let marked = Marked::Name(&policy.place, policy.name.as_str());
        let Policy { name, selector, .. } = policy;
        if let Some(why) = contradiction(selector) {
            let message = || format!("policy `{name}` can select nothing: {why}");
            warnings.add(Code::SelectsNothing, marked, message, "requirements of one selector must all hold");
        } else if selection.of(selector).is_empty() {
            let message = || format!("policy `{name}` selects nothing: no workload matches `{selector}`");
            warnings.add(
                Code::SelectsNothing,
                marked,
                message,
                "compare the selector with the labels of workloads",
            );
        } else if !selection.of(selector).iter().any(|class| selection.classes()[*class].is_managed()) {
            let message = || format!("policy `{name}` selects only workloads that nobody enforces for");
            warnings.add(Code::SelectsNothing, marked, message, "their peers can be policed instead");
        }
    }
}

/// Workloads whose incoming connections are allowed because no policy says anything.
fn open_workloads(model: &Model, selection: &mut Selection<'_>, warnings: &mut Warnings) {
    if model.fabric.default_action == DefaultAction::Deny {
        return;
    }
    let mut isolated = vec![false; selection.classes().len()];
    let isolates = |policy: &&Policy| {
        let tier = model.fabric.tiers.get(policy.tier);
        tier.is_some_and(|tier| tier.isolation == Isolation::Isolates)
            && policy.rules(Direction::Ingress).is_some()
    };
    for policy in model.policies.values().filter(isolates) {
        for class in selection.of(&policy.selector).iter() {
            isolated[*class] = true;
        }
    }
    for (class, isolated) in selection.classes().iter().zip(isolated) {
        let open = if isolated || !class.is_managed() { &[][..] } else { &class.workloads };
        for workload in open {
            let marked = Marked::Name(&workload.place, workload.name.as_str());
            let message = || {
                format!(
                    "workload `{}` is open: no policy of an isolating tier selects it for ingress",
                    workload.name
                )
            };
            let help =
                "select it with a policy that has `ingress` in an isolating tier; `ingress: []` is enough";
            warnings.add(Code::NotIsolated, marked, message, help);
        }
    }
}
