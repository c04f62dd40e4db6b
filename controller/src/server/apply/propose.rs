//! From an edit to a verdict; and to the next generation, where that is what was asked for.

use std::mem;
use std::sync::Arc;

use selvedge_proto::{Summary, TargetList};
use selvedge_topology::plan::Generation;
use selvedge_trust::audit::Deed;
use tracing::info;

use super::desk::{Desk, Draft, Drafted, Surroundings};
use super::edit::Edit;
use super::sign::Next;
use super::verdict::{Step, Verdict, judge, next};
use super::{
    Applied, ApplyError, Current, Desired, Documents, End, Intent, Memorized, Newest, Terms, Working,
    blocking, current,
};
use crate::state::{Change, Owners, changes, unified_diff};
use crate::store::Store;

impl Working {
    /// Takes the documents in force; who does not bring them back loses them.
    fn take(&mut self) -> Option<Desk> {
        match mem::replace(&mut self.documents, Documents::Lost) {
            Documents::Here(desk) => desk,
            Documents::Lost => None,
        }
    }

    fn bring_back(&mut self, desk: Option<Desk>) {
        self.documents = Documents::Here(desk);
    }

    /// Takes a draft back.
    async fn drop_draft(&mut self, draft: Box<Draft>) -> Result<(), ApplyError> {
        let desk = blocking(move || draft.take_back()).await?;
        self.bring_back(desk);
        Ok(())
    }
}

/// What came of drafting.
enum Attempt {
    Draft(Box<Draft>),
    Invalid(Applied),
}

impl Desired {
    /// Everything that can be refused is refused before the first write, and leaves no trace.
    pub(super) async fn propose(
        &self,
        store: &Store,
        working: &mut Working,
        edit: Edit,
        terms: Terms<'_>,
    ) -> Result<Applied, ApplyError> {
        let before = self.current();
        let before = before.as_deref();
        let mut draft = match self.draft(working, before, edit, &terms).await? {
            Attempt::Draft(draft) => draft,
            Attempt::Invalid(applied) => return Ok(applied),
        };
        let diagnostics = mem::take(&mut draft.warnings);
        let (were, are) = (mem::take(&mut draft.were), mem::take(&mut draft.are));
        let changed = changes(&were, &are);
        let step = match judge(before, &draft, &changed, &terms) {
            Ok(Verdict::Next(step)) => step,
            Ok(Verdict::Same(generation)) => {
                working.drop_draft(draft).await?;
                return Ok(Applied { diagnostics, end: End::Unchanged(generation) });
            }
            Err(error) => {
                working.drop_draft(draft).await?;
                return Err(error);
            }
        };
        let end = match terms.intent {
            Intent::Apply => {
                let generation = self.publish(store, working, draft, (&changed, &step), terms).await?;
                step.end(Some(generation))
            }
            Intent::DryRun => {
                working.drop_draft(draft).await?;
                step.end(None)
            }
            Intent::Draft => {
                let unnumbered = draft.outcome.unnumbered.clone();
                working.drop_draft(draft).await?;
                working.identities.allocate(store, self.fence, &unnumbered).await?;
                step.end(Some(next(before)))
            }
        };
        Ok(Applied { diagnostics, end })
    }

    async fn draft(
        &self,
        working: &mut Working,
        before: Option<&Current>,
        edit: Edit,
        terms: &Terms<'_>,
    ) -> Result<Attempt, ApplyError> {
        let desk = working.take();
        if desk.is_none()
            && let Edit::Partial { removed, .. } = &edit
        {
            working.bring_back(None);
            if let Some(Current { generation, .. }) = before {
                return Err(ApplyError::Unreadable { generation: *generation });
            }
            if let Some(removal) = removed.first().cloned() {
                return Err(ApplyError::NothingThere { kind: removal.kind, name: removal.name });
            }
        }
        let around = surroundings(working, terms);
        match blocking(move || Desk::draft(desk, edit, &around)).await? {
            Drafted::Draft(draft) => Ok(Attempt::Draft(draft)),
            Drafted::Invalid(desk, diagnostics) => {
                working.bring_back(desk);
                Ok(Attempt::Invalid(Applied { diagnostics, end: End::Invalid }))
            }
            Drafted::Failed(desk, error) => {
                working.bring_back(desk);
                Err(error)
            }
        }
    }

    /// Makes `draft` the next generation; or takes it back.
    async fn publish(
        &self,
        store: &Store,
        working: &mut Working,
        draft: Box<Draft>,
        (changed, step): (&[Change<'_>], &Step),
        terms: Terms<'_>,
    ) -> Result<Generation, ApplyError> {
        let draft = self.numbered(store, working, draft, &terms).await?;
        let (targets, memory) = match self.write(store, working, &draft, (changed, step), terms).await {
            Ok(written) => written,
            Err(error) => {
                working.drop_draft(draft).await?;
                return Err(error);
            }
        };
        let before = self.current();
        let generation = next(before.as_deref());
        info!(%generation, nodes = targets.len(), changed = step.nodes.len(), "published");
        let (roles, owners) = match (before, draft.before()) {
            (Some(current), Some(before)) => {
                current.owners.update(draft.model(), &before);
                (Arc::clone(&current.roles), current.owners.clone())
            }
            _ => (current::roles(draft.model()), Owners::of(draft.model())),
        };
        self.current.send_replace(Some(Arc::new(Current { generation, targets, roles, owners })));
        working.bring_back(Some(match memory {
            Memorized::All => draft.keep(),
            Memorized::NotAll => draft.keep_documents(),
        }));
        Ok(generation)
    }

    /// Numbers in the store what `draft` needs; and compiles it with other numbers, where these are not those it has.
    async fn numbered(
        &self,
        store: &Store,
        working: &mut Working,
        draft: Box<Draft>,
        terms: &Terms<'_>,
    ) -> Result<Box<Draft>, ApplyError> {
        let numbers = working.identities.allocate(store, self.fence, &draft.outcome.unnumbered).await;
        if let Err(error) = numbers {
            working.drop_draft(draft).await?;
            return Err(error.into());
        }
        if draft.outcome.identities == *working.identities.table() {
            return Ok(draft);
        }
        // Somebody else was handed a number meanwhile.
        let around = surroundings(working, terms);
        match blocking(move || draft.renumbered(&around)).await? {
            Ok(draft) => Ok(draft),
            Err((desk, error)) => {
                working.bring_back(desk);
                Err(error)
            }
        }
    }

    /// Writes `draft` as the next generation, whose targets are returned.
    async fn write(
        &self,
        store: &Store,
        working: &mut Working,
        draft: &Draft,
        (changed, step): (&[Change<'_>], &Step),
        terms: Terms<'_>,
    ) -> Result<(TargetList, Memorized), ApplyError> {
        let before = self.current();
        let generation = next(before.as_deref());
        let summary = step.summary;
        let (targets, publication) = Next { before: before.as_deref(), generation, summary, draft }
            .signed_by(&self.authority, terms.signed)?;
        let Summary { added, changed: edited, removed } = summary;
        let deed = Deed {
            author: terms.author,
            method: "Fabric/Apply",
            summary: format!("+{added} ~{edited} -{removed} documents"),
            generation: Some(generation),
            diff: anstream::adapter::strip_str(&unified_diff(changed)).to_string(),
        };
        let (entry, turn) = terms.audit.next(store, deed).await?;
        working.newest = Newest::InDoubt;
        working.fresh.published(&publication);
        store.publish(self.fence, &publication, entry).await?;
        working.newest = Newest::Known;
        turn.done();
        Ok((targets, self.memorize(publication).await))
    }
}

fn surroundings(working: &Working, terms: &Terms<'_>) -> Surroundings {
    let identities = Arc::clone(working.identities.table());
    Surroundings { identities, seen: Arc::clone(&terms.seen), path: terms.path }
}
