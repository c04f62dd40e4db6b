//! Whether whoever applies documents may set the labels that they would set.

use std::collections::BTreeSet;

use selvedge_topology::claims::{Claims, Trespass};
use selvedge_topology::model::Model;
use selvedge_topology::names::WorkloadName;
use selvedge_topology::operators::{Asker, Role};

use crate::state::Change;

/// Most labels that are named in a refusal: it travels in the head of an answer.
const NAMED: usize = 40;

/// Why labels are not set as the documents have it.
#[derive(Debug, thiserror::Error)]
pub(in crate::server) enum LabelRefusal {
    #[error("{asker} may not set these labels:{}\n{}", named(trespasses), advice(asker))]
    Set { asker: Asker, trespasses: Vec<Trespass> },
    #[error(
        "{asker} may not change which labels workloads may claim and who may set them (`labels` and `unlistedLabels` of the \
         fabric): only an admin may\n{}",
        advice(asker)
    )]
    Rules { asker: Asker },
    #[error(
        "the documents in force can't be read by this version, nor their rules for labels: only an admin may apply others\n{}",
        advice(asker)
    )]
    Unreadable { asker: Asker },
}

fn named(trespasses: &[Trespass]) -> String {
    let mut lines: String = trespasses.iter().take(NAMED).map(|each| format!("\n  {each}")).collect();
    if trespasses.len() > NAMED {
        lines += &format!("\n  and {} more", trespasses.len() - NAMED);
    }
    lines
}

fn advice(asker: &Asker) -> &'static str {
    match asker {
        Asker::Operator { .. } => {
            "have one of them apply the documents; `selvedge operator list` says who is who"
        }
        Asker::Unknown => {
            "a controller that runs with --insecure knows nobody, so nobody may; start it without, and log in (`selvedge login`)"
        }
    }
}

/// Holds the change from what is in force to `after` against the rules in force; and lets only admins change the rules. `before`
/// is what is claimed under those; `None` where the documents in force can't be read.
pub(super) fn check(
    before: Option<Claims>,
    after: &Model,
    changed: &[Change<'_>],
    asker: &Asker,
) -> Result<(), LabelRefusal> {
    let is_admin = matches!(asker, Asker::Operator { role: Role::Admin, .. });
    let Some(claims) = before else {
        return if is_admin { Ok(()) } else { Err(LabelRefusal::Unreadable { asker: asker.clone() }) };
    };
    if *claims.rules() != after.fabric.label_rules && !is_admin {
        return Err(LabelRefusal::Rules { asker: asker.clone() });
    }
    let workloads = changed.iter().filter(|change| change.kind == "Workload");
    let workloads: BTreeSet<WorkloadName> = workloads.filter_map(|change| change.name.parse().ok()).collect();
    let trespasses = claims.trespasses(after, &workloads, asker);
    if trespasses.is_empty() { Ok(()) } else { Err(LabelRefusal::Set { asker: asker.clone(), trespasses }) }
}
