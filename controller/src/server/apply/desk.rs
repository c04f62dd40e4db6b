//! What was compiled of the newest generation, so that the next one is compiled by what it changes.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use selvedge_topology::compile::Before;
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::{Model, Policy};
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::SeenNode;
use tracing::info;

use super::{ApplyError, blocking};
use crate::state::{Change, Proposal, ProposalError, Workshop};

/// A model and its plans.
pub(super) struct Desk {
    model: Arc<Model>,
    workshop: Workshop,
}

/// Plans that are not published yet, and the way back.
pub(super) struct Draft {
    pub(super) proposal: Proposal,
    desk: Desk,
    /// What was there before, where this is a change of that.
    before: Option<Arc<Model>>,
    changed: Names,
    identities: Arc<IdentityTable>,
}

/// Documents by kind and name.
type Names = Vec<(String, String)>;

impl Desk {
    /// Compiles `model`, which differs from that of `desk` in the documents `changed`. This takes a while.
    pub(super) fn draft(
        desk: Option<Self>,
        model: Arc<Model>,
        changed: Names,
        identities: Arc<IdentityTable>,
        seen: &BTreeMap<NodeName, SeenNode>,
    ) -> Result<Draft, ProposalError> {
        let is_of_the_fabric = changed.iter().any(|(kind, _)| kind == "Fabric");
        let (before, (workshop, new)) = match desk.filter(|_| !is_of_the_fabric) {
            Some(Self { model: before, workshop }) => {
                let update = workshop.update(&model, &identities, &as_it_was(&before, &model, &changed))?;
                (Some(before), update)
            }
            None => (None, Workshop::new(&model, &identities)?),
        };
        let proposal = workshop.proposal(new, &model, seen);
        Ok(Draft { proposal, desk: Self { model, workshop }, before, changed, identities })
    }
}

impl Draft {
    /// It is published.
    pub(super) fn keep(self) -> Desk {
        self.desk
    }

    /// It is not to be: back to what was there before, where that costs no more than coming here did.
    pub(super) fn take_back(self) -> Option<Desk> {
        let Self { desk: Desk { model: after, workshop }, before, changed, identities, .. } = self;
        let model = before?;
        let back = workshop.update(&model, &identities, &as_it_was(&after, &model, &changed));
        match back {
            Ok((workshop, _)) => Some(Desk { model, workshop }),
            Err(error) => {
                info!(%error, "the next application compiles from nothing");
                None
            }
        }
    }
}

/// As [`Desk::draft`], where it holds up nobody.
pub(super) async fn draft(
    desk: Option<Desk>,
    model: &Arc<Model>,
    changed: &[Change<'_>],
    identities: Arc<IdentityTable>,
    seen: &Arc<BTreeMap<NodeName, SeenNode>>,
) -> Result<Draft, ApplyError> {
    let changed = changed.iter().map(|change| (change.kind.to_owned(), change.name.to_owned())).collect();
    let (model, seen) = (Arc::clone(model), Arc::clone(seen));
    Ok(blocking(move || Desk::draft(desk, model, changed, identities, &seen)).await??)
}

/// The documents `changed` as they were in `before`, and policies whose rules have other numbers in `after`.
fn as_it_was<'a>(before: &'a Model, after: &'a Model, changed: &'a [(String, String)]) -> Before<'a> {
    let mut was = Before::default();
    for (kind, name) in changed {
        match kind.as_str() {
            "Workload" => was.workloads.extend(side(&before.workloads, &after.workloads, name)),
            "SegmentationPolicy" => was.policies.extend(side(&before.policies, &after.policies, name)),
            "CidrGroup" => was.groups.extend(side(&before.cidr_groups, &after.cidr_groups, name)),
            _ => {}
        }
    }
    let renumbered = after.policies.iter().filter_map(|(name, policy)| {
        let was = before.policies.get(name)?;
        let ids = |policy: &Policy| policy.all_rules().map(|rule| rule.id).collect::<Vec<_>>();
        (ids(policy) != ids(was)).then_some((name, Some(was)))
    });
    was.policies.extend(renumbered);
    was
}

/// One of them, as it was.
fn side<'a, N: Ord + FromStr, T>(
    before: &'a BTreeMap<N, T>,
    after: &'a BTreeMap<N, T>,
    name: &str,
) -> Option<(&'a N, Option<&'a T>)> {
    let name = name.parse().ok()?;
    match before.get_key_value(&name) {
        Some((name, was)) => Some((name, Some(was))),
        None => after.get_key_value(&name).map(|(name, _)| (name, None)),
    }
}
