//! The documents in force and what was compiled of them, kept so that the next application costs what it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use selvedge_proto::{Chunks, Digest, Sources};
use selvedge_topology::claims::Claims;
use selvedge_topology::compile::Before;
use selvedge_topology::documents::{Changed, Diagnostic, Document, Key, Registry};
use selvedge_topology::failsafe::Lockout;
use selvedge_topology::identity::{IdentityKey, IdentityTable};
use selvedge_topology::model::Model;
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::SeenNode;
use tracing::info;

use super::ApplyError;
use super::back::{Back, Values};
use super::edit::{Edit, Edited};
use super::lockouts::{self, Path};
use crate::state::{Additions, Proposal, ProposalError, Workshop};

/// The documents in force.
pub(super) struct Desk {
    registry: Box<Registry>,
    /// None where all of it is to be made, and brought to the store, anew.
    made: Option<Box<Made>>,
}

/// What was made of documents.
pub(super) struct Made {
    workshop: Workshop,
    sources: Sources<Key>,
}

/// What was made that was not there before.
struct Fresh {
    plans: Additions,
    sources: Chunks,
}

/// All that comes of documents.
pub(super) struct Whole {
    made: Box<Made>,
    fresh: Fresh,
}

impl Whole {
    /// The manifest of each node's plan.
    pub(super) fn plans(&self) -> BTreeMap<NodeName, Digest> {
        self.made.workshop.plans()
    }

    /// The chunks of all documents, in order.
    pub(super) fn sources(&self) -> impl Iterator<Item = Digest> {
        self.made.sources.digests()
    }

    /// Its content: manifests, and chunks of plans and documents.
    pub(super) fn take_content(&mut self) -> (BTreeMap<Digest, Vec<u8>>, Chunks) {
        let (manifests, mut chunks) = mem::take(&mut self.fresh.plans).into_parts();
        chunks.append(mem::take(&mut self.fresh.sources));
        (manifests, chunks)
    }
}

/// What is known beside documents.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) identities: Arc<IdentityTable>,
    /// What nodes last reported.
    pub(super) seen: Arc<BTreeMap<NodeName, SeenNode>>,
    /// The way the documents came.
    pub(super) path: Option<Path>,
}

/// What comes of an edit.
pub(super) enum Drafted {
    /// The documents have errors. The desk is as it was.
    Invalid(Option<Desk>, Vec<Diagnostic>),
    /// They can't be compiled. The documents on the desk are as they were.
    Failed(Option<Desk>, ApplyError),
    /// They might be published.
    Draft(Box<Draft>),
}

/// Documents as they are to be and their plans, not published yet; and the way back.
pub(super) struct Draft {
    /// What is said of the documents, and is no error.
    pub(super) warnings: Vec<Diagnostic>,
    /// The documents that differ, as they were.
    pub(super) were: Vec<Document>,
    /// The documents that differ, as they are to be.
    pub(super) are: Vec<Document>,
    pub(super) outcome: Outcome,
    /// Whom it would cut off from what.
    pub(super) lockouts: Vec<Lockout>,
    registry: Box<Registry>,
    /// None where there were no documents before.
    changed: Option<Changed>,
}

/// What documents come to.
pub(super) struct Outcome {
    pub(super) proposal: Proposal,
    /// What has no number yet, in the store.
    pub(super) unnumbered: Vec<IdentityKey>,
    /// The numbers that plans were compiled with.
    pub(super) identities: Arc<IdentityTable>,
    /// Chunks of documents that are new.
    pub(super) chunks: Chunks,
    made: Box<Made>,
    back: Back,
}

impl Desk {
    /// Documents that were read, of which nothing is made yet.
    pub(super) fn of(registry: Box<Registry>) -> Self {
        Self { registry, made: None }
    }

    /// Whether all that comes of the documents is made, and is where it has to be.
    pub(super) fn is_made(&self) -> bool {
        self.made.is_some()
    }

    /// Makes everything, as it is in force. This may take a while.
    pub(super) fn make(&self, identities: &IdentityTable) -> Result<Whole, ProposalError> {
        let (made, fresh) = Made::new(&self.registry, identities)?;
        Ok(Whole { made, fresh })
    }

    /// Takes what was made of the documents, which is where it has to be.
    pub(super) fn take(&mut self, whole: Whole) {
        self.made = Some(whole.made);
    }

    /// Has everything made, and brought to the store, anew.
    pub(super) fn make_anew(&mut self) {
        self.made = None;
    }

    /// Edits documents, and compiles what that changes. This may take a while.
    pub(super) fn draft(desk: Option<Self>, edit: Edit, around: &Surroundings) -> Drafted {
        let (registry, made) = desk.map(|Self { registry, made }| (registry, made)).unzip();
        let made = made.flatten();
        match edit.of(registry) {
            Ok(edited) => Draft::of(edited, made, around),
            Err((registry, diagnostics)) => {
                Drafted::Invalid(registry.map(|registry| Self { registry, made }), diagnostics)
            }
        }
    }
}

impl Draft {
    fn of(
        Edited { mut registry, changed, warnings }: Edited,
        made: Option<Box<Made>>,
        around: &Surroundings,
    ) -> Drafted {
        let (were, are) = match &changed {
            Some(changed) => registry.changes(changed),
            None => (Vec::new(), registry.documents().collect()),
        };
        match Outcome::of(&registry, changed.as_ref(), made, around) {
            Ok(outcome) => {
                let lockouts = match (were.as_slice(), are.as_slice()) {
                    ([], []) => Vec::new(),
                    _ => lockouts::find(&registry, &around.seen, around.path),
                };
                let draft = Self { warnings, were, are, outcome, lockouts, registry, changed };
                Drafted::Draft(Box::new(draft))
            }
            Err((made, error)) => {
                let desk = changed.map(|changed| {
                    registry.undo(changed);
                    Desk { registry, made }
                });
                Drafted::Failed(desk, error)
            }
        }
    }

    /// What the documents mean.
    pub(super) fn model(&self) -> &Model {
        self.registry.model()
    }

    /// The documents that changed, as they were; `None` where there were none, or the fabric was another.
    pub(super) fn before(&self) -> Option<Before<'_>> {
        self.registry.before(self.changed.as_ref()?)
    }

    /// What was claimed of labels by the documents that changed; `None` where there were none.
    pub(super) fn claims_before(&self) -> Option<Claims> {
        Some(self.registry.claims_before(self.changed.as_ref()?))
    }

    /// Whether its content was made beside what is published, and not from nothing.
    pub(super) fn is_update(&self) -> bool {
        matches!(self.outcome.back, Back::Update(_))
    }

    /// The chunks of all documents, in order.
    pub(super) fn sources(&self) -> impl Iterator<Item = Digest> {
        self.outcome.made.sources.digests()
    }

    /// Compiles everything again, with other numbers.
    pub(super) fn renumbered(
        mut self: Box<Self>,
        around: &Surroundings,
    ) -> Result<Box<Self>, (Option<Desk>, ApplyError)> {
        match Workshop::new(self.registry.model(), &around.identities) {
            Ok((workshop, plans)) => {
                self.outcome.proposal = workshop.proposal(plans, self.registry.model(), &around.seen);
                self.outcome.made.workshop = workshop;
                self.outcome.identities = Arc::clone(&around.identities);
                Ok(self)
            }
            Err(error) => Err((self.take_back(), error.into())),
        }
    }

    /// It is published, and everything that it comes to is where it has to be.
    pub(super) fn keep(self) -> Desk {
        Desk { registry: self.registry, made: Some(self.outcome.made) }
    }

    /// It is published, and not everything is where it has to be.
    pub(super) fn keep_documents(self) -> Desk {
        Desk::of(self.registry)
    }

    /// It is not to be: back to what was there before.
    pub(super) fn take_back(self) -> Option<Desk> {
        let Self { mut registry, changed, outcome: Outcome { made, back, identities, .. }, .. } = self;
        let changed = changed?;
        let made = match back {
            Back::Replace(made) => {
                registry.undo(changed);
                made
            }
            Back::Update(sources) => {
                let are = registry.before(&changed).map(|before| Values::of(&before, registry.model()));
                registry.undo(changed);
                are.and_then(|are| made.undo(&registry, &are, &identities, sources))
            }
        };
        Some(Desk { registry, made })
    }
}

impl Outcome {
    /// Makes what `changed` changed in `registry`, where `made` is what there was; after an error gives back what is left of that.
    fn of(
        registry: &Registry,
        changed: Option<&Changed>,
        made: Option<Box<Made>>,
        around: &Surroundings,
    ) -> Result<Self, (Option<Box<Made>>, ApplyError)> {
        let model = registry.model();
        let before = changed.and_then(|changed| Some((changed, registry.before(changed)?)));
        let unnumbered = match &before {
            Some((_, before)) => around.identities.missing_of(before.identity_keys(model)),
            None => around.identities.missing(model),
        };
        let mut identities = Arc::clone(&around.identities);
        if !unnumbered.is_empty()
            && let Err(error) = Arc::make_mut(&mut identities).number(unnumbered.clone())
        {
            return Err((made, error.into()));
        }
        let (made, fresh, back) = match (made, &before) {
            (Some(made), Some((changed, before))) => {
                made.update(registry, changed, before, &identities).map_err(|error| (None, error.into()))?
            }
            (made, _) => match Made::new(registry, &identities) {
                Ok((new, fresh)) => (new, fresh, Back::Replace(made)),
                Err(error) => return Err((made, error.into())),
            },
        };
        let proposal = made.workshop.proposal(fresh.plans, model, &around.seen);
        Ok(Self { proposal, unnumbered, identities, chunks: fresh.sources, made, back })
    }
}

impl Made {
    /// Makes everything.
    fn new(registry: &Registry, identities: &IdentityTable) -> Result<(Box<Self>, Fresh), ProposalError> {
        let (workshop, plans) = Workshop::new(registry.model(), identities)?;
        let (sources, chunks) = Sources::cut(registry.excerpts_from(None))?;
        Ok((Box::new(Self { workshop, sources }), Fresh { plans, sources: chunks }))
    }

    /// Makes what changed, and knows the way back. After an error there is nothing.
    fn update(
        self,
        registry: &Registry,
        changed: &Changed,
        before: &Before<'_>,
        identities: &IdentityTable,
    ) -> Result<(Box<Self>, Fresh, Back), ProposalError> {
        let Self { workshop, sources: were } = self;
        let (sources, chunks) = match changed.keys() {
            Some(keys) => were.change(keys, |first| registry.excerpts_from(first))?,
            None => {
                let there: BTreeSet<Digest> = were.digests().collect();
                let (sources, mut chunks) = Sources::cut(registry.excerpts_from(None))?;
                chunks.retain(|digest| !there.contains(&digest));
                (sources, chunks)
            }
        };
        let (workshop, plans) = workshop.update(registry.model(), identities, before)?;
        let made = Box::new(Self { workshop, sources });
        Ok((made, Fresh { plans, sources: chunks }, Back::Update(were)))
    }

    /// Makes what there was again, of which `are` are the documents that had changed.
    fn undo(
        self,
        registry: &Registry,
        are: &Values,
        identities: &IdentityTable,
        sources: Sources<Key>,
    ) -> Option<Box<Self>> {
        match self.workshop.update(registry.model(), identities, &are.before()) {
            Ok((workshop, _)) => Some(Box::new(Self { workshop, sources })),
            Err(error) => {
                info!(%error, "the next application compiles from nothing");
                None
            }
        }
    }
}
