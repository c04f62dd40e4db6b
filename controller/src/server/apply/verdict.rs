//! Whether plans may be the next desired state.

use std::collections::BTreeSet;

use selvedge_proto::{Summary, TargetList};
use selvedge_topology::claims::Claims;
use selvedge_topology::failsafe::Lockout;
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::{Hole, Obstacles};
use selvedge_topology::plan::Generation;

use super::desk::Draft;
use super::{ApplyError, Current, End, Gaps, Lockouts, Terms, claims};
use crate::state::{Change, ChangeKind, differing, is_same, summary};

/// What comes of holding plans against what is in force.
pub(super) enum Verdict {
    /// They mean that.
    Same(Generation),
    /// They would be a new generation.
    Next(Step),
}

/// What a new generation changes.
pub(super) struct Step {
    pub(super) summary: Summary,
    changes: Vec<(ChangeKind, String, String)>,
    pub(super) nodes: BTreeSet<NodeName>,
    /// What is known to go unenforced, and allowed to.
    holes: Vec<Hole>,
    /// Who is cut off from what, as it was allowed.
    lockouts: Vec<Lockout>,
}

impl Step {
    pub(super) fn end(self, generation: Option<Generation>) -> End {
        let Self { summary: _, changes, nodes, holes, lockouts } = self;
        End::Changed { generation, changes, nodes, holes, lockouts }
    }
}

/// The number of the generation after `before`.
pub(super) fn next(before: Option<&Current>) -> Generation {
    Generation(before.map_or(0, |current| current.generation.0) + 1)
}

/// Whether `draft`, which changes the documents `changed`, is another desired state than that of `before`, and may be the next.
pub(super) fn judge(
    before: Option<&Current>,
    draft: &Draft,
    changed: &[Change<'_>],
    terms: &Terms<'_>,
) -> Result<Verdict, ApplyError> {
    let (proposal, lockouts) = (&draft.outcome.proposal, &draft.lockouts);
    static NONE: TargetList = TargetList::new();
    let targets = before.map_or(&NONE, |current| &current.targets);
    if let Some(current) = before
        && changed.is_empty()
        && is_same(targets, &proposal.plans)
    {
        return Ok(Verdict::Same(current.generation));
    }
    let claims = match before {
        Some(_) => draft.claims_before(),
        None => Some(Claims::default()),
    };
    claims::check(claims, draft.model(), changed, &terms.asker)?;
    let Obstacles { holes, demands } = proposal.obstacles.clone();
    if !demands.is_empty() {
        return Err(ApplyError::Demands(demands));
    }
    if terms.gaps == Gaps::Refused && !holes.is_empty() {
        return Err(ApplyError::Unenforced(holes));
    }
    if terms.lockouts == Lockouts::Refused && !lockouts.is_empty() {
        return Err(ApplyError::Lockouts(lockouts.clone()));
    }
    let name = |change: &Change<'_>| (change.change(), change.kind.to_owned(), change.name.to_owned());
    let changes = changed.iter().map(name).collect();
    let nodes = differing(targets, &proposal.plans);
    Ok(Verdict::Next(Step { summary: summary(changed), changes, nodes, holes, lockouts: lockouts.clone() }))
}
