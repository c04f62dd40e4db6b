//! The desired state, and how documents become the next one.

mod claims;
mod collect;
mod current;
mod desk;
mod error;
mod lockouts;
mod sign;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use selvedge_proto::Summary;
use selvedge_topology::claims::Claims;
use selvedge_topology::documents::{Diagnostic, Document, Loaded, SourceFile, load};
use selvedge_topology::failsafe::Lockout;
use selvedge_topology::model::Model;
use selvedge_topology::names::NodeName;
use selvedge_topology::operators::Asker;
use selvedge_topology::placement::{Hole, SeenNode};
use selvedge_topology::plan::Generation;
use selvedge_trust::audit::{Author, Deed};
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use super::audit::Audit;
use super::{Authority, Memory};
use crate::state::{ChangeKind, Owners, changes, unified_diff};
use crate::store::{Fence, Fresh, Identities, Publication, Store, StoreError};
pub(super) use collect::Collected;
pub(super) use current::Current;
use desk::{Desk, Draft, draft};
pub(super) use error::ApplyError;
pub(super) use lockouts::{Lockouts, Path};
use sign::Next;
pub(super) use sign::Signed;
use verdict::{Verdict, judge, next};

/// The desired state: what it is, and who may change it.
pub(super) struct Desired {
    fence: Fence,
    authority: Authority,
    current: watch::Sender<Option<Arc<Current>>>,
    /// What etcd might forget.
    memory: Option<Memory>,
    /// Held while documents are applied: one application at a time.
    working: Mutex<Working>,
}

/// What an application works on.
struct Working {
    identities: Identities,
    /// What is known of the newest generation.
    newest: Newest,
    /// What must not be swept.
    fresh: Fresh,
    /// The newest generation, compiled; none where that is not known to be what lies in the store.
    desk: Option<Desk>,
}

impl Working {
    async fn read(store: &Store) -> Result<Self, StoreError> {
        let identities = Identities::read(store).await?;
        Ok(Self { identities, newest: Newest::Known, fresh: Fresh::default(), desk: None })
    }
}

/// Whether what we hold for the newest generation is the newest in the store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Newest {
    Known,
    /// A publication failed, and how far it came is not known.
    InDoubt,
}

/// How an application ended.
pub(super) struct Applied {
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) end: End,
}

pub(super) enum End {
    /// The documents have errors.
    Invalid,
    /// They mean what is already the desired state.
    Unchanged(Generation),
    /// They are, or would be, a new generation.
    Changed {
        generation: Option<Generation>,
        changes: Vec<(ChangeKind, String, String)>,
        nodes: BTreeSet<NodeName>,
        /// What is known to go unenforced, and allowed to.
        holes: Vec<Hole>,
        /// Who is cut off from what, as it was allowed.
        lockouts: Vec<Lockout>,
    },
}

/// What the documents are held against.
pub(super) struct Request {
    /// Who wants it, for the record.
    pub(super) author: Author,
    /// Who wants it, to those who ask what they may do.
    pub(super) asker: Asker,
    pub(super) files: Vec<SourceFile>,
    pub(super) intent: Intent,
    pub(super) gaps: Gaps,
    pub(super) lockouts: Lockouts,
    /// The way they came.
    pub(super) path: Option<Path>,
    /// What nodes last reported.
    pub(super) seen: BTreeMap<NodeName, SeenNode>,
    /// What an operator signed, where operators sign.
    pub(super) signed: Option<Signed>,
}

/// Whether workloads that are to be enforced may be known not to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gaps {
    Refused,
    Allowed,
}

/// Whether to change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Apply,
    DryRun,
    /// Number what has no number yet, so that somebody else can compile the same plans and sign them.
    Draft,
}

/// On which terms documents are applied.
struct Terms<'a> {
    author: Author,
    asker: Asker,
    audit: &'a Audit,
    intent: Intent,
    gaps: Gaps,
    lockouts: Lockouts,
    path: Option<Path>,
    seen: Arc<BTreeMap<NodeName, SeenNode>>,
    signed: Option<Signed>,
}

/// Documents that were read without an error.
struct Read {
    files: Vec<SourceFile>,
    documents: Vec<Document>,
    model: Arc<Model>,
}

impl Desired {
    /// Reads the newest generation, and brings targets in line with it, should its publication have been interrupted.
    pub(super) async fn read(
        store: &Store,
        fence: Fence,
        authority: Authority,
        audit: &Audit,
        memory: Option<Memory>,
    ) -> Result<Self, StoreError> {
        if let Some(memory) = &memory {
            current::remind(store, fence, &authority, audit, memory).await?;
        }
        let working = Working::read(store).await?;
        let current = current::newest(store, fence, &authority).await?;
        let (current, working) = (watch::Sender::new(current), Mutex::new(working));
        Ok(Self { fence, authority, current, memory, working })
    }

    /// Takes the documents of the newest generation, whoever signed it, for the desired state, and publishes them anew.
    pub(super) async fn resign(
        store: &Store,
        fence: Fence,
        authority: Authority,
        audit: &Audit,
        memory: Option<Memory>,
    ) -> Result<Self, ApplyError> {
        let working = Working::read(store).await?;
        let Some(found) = current::unsigned(store).await? else {
            return Ok(Self::read(store, fence, authority, audit, memory).await?);
        };
        let (files, generation) = (found.files.clone(), found.generation);
        let current = watch::Sender::new(Some(Arc::new(found)));
        let desired = Self { fence, authority, current, memory, working: Mutex::new(working) };
        warn!(%generation, "signing anew what lies in etcd, as it was asked for");
        let (gaps, lockouts, path, seen) = (Gaps::Allowed, Lockouts::Allowed, None, BTreeMap::new());
        let author = Author { name: "selvedge-controller --resign".to_owned(), ..Author::default() };
        let asker = Asker::Unknown;
        let (intent, signed) = (Intent::Apply, None);
        let request = Request { author, asker, files, intent, gaps, lockouts, path, seen, signed };
        match desired.apply(store, audit, request).await?.end {
            End::Invalid => Err(ApplyError::Unreadable { generation }),
            End::Unchanged(_) | End::Changed { .. } => Ok(desired),
        }
    }

    /// What every write compares.
    pub(super) fn fence(&self) -> Fence {
        self.fence
    }

    pub(super) fn current(&self) -> Option<Arc<Current>> {
        self.current.borrow().clone()
    }

    /// Who signs.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Makes targets in etcd what they should be, whoever wrote them; and gives etcd back what it has forgotten: one that was
    /// restored may have an older day's lease of this controller, which goes on leading then.
    pub(super) async fn mend(&self, store: &Store, audit: &Audit) -> Result<(), StoreError> {
        let mut working = self.working.lock().await;
        let Some(current) = self.current().filter(|_| working.newest == Newest::Known) else { return Ok(()) };
        self.remind(store, audit).await?;
        let wrong = store.write_targets(self.fence, &current.targets).await?;
        if wrong > 0 {
            // What targets lead to may be gone as well: the next publication looks for all of it.
            working.desk = None;
            warn!(wrong, "somebody else had changed targets in etcd; they are as they should be again");
        }
        Ok(())
    }

    /// Makes the files of `request` the desired state.
    pub(super) async fn apply(
        &self,
        store: &Store,
        audit: &Audit,
        request: Request,
    ) -> Result<Applied, ApplyError> {
        let Request { author, asker, files, intent, gaps, lockouts, path, seen, signed } = request;
        let mut names = BTreeSet::new();
        if let Some(file) = files.iter().find(|file| !names.insert(file.name.clone())) {
            return Err(ApplyError::FileTwice { name: file.name.clone() });
        }
        let (files, loaded) = blocking(move || {
            let loaded = load(&files);
            (files, loaded)
        })
        .await?;
        let Loaded { model, documents, diagnostics } = loaded;
        let Some(model) = model else { return Ok(Applied { diagnostics, end: End::Invalid }) };
        let mut working = self.working.lock().await;
        if working.newest == Newest::InDoubt {
            // What failed may have been an etcd that is another day's now: its numbers have to go on where ours ended.
            self.remind(store, audit).await?;
            let newest = current::newest(store, self.fence, &self.authority).await?;
            self.take_up(newest);
            working.newest = Newest::Known;
            working.desk = None;
        }
        let terms = Terms { author, asker, audit, intent, gaps, lockouts, path, seen: seen.into(), signed };
        let read = Read { files, documents, model: Arc::new(model) };
        let end = self.propose(store, &mut working, read, terms).await?;
        Ok(Applied { diagnostics, end })
    }

    /// Makes `newest`, which lies in etcd, the desired state; unless it is older than what is: numbers never go back, for nodes
    /// refuse what is older than what they have.
    fn take_up(&self, newest: Option<Arc<Current>>) {
        let number = |current: &Option<Arc<Current>>| current.as_ref().map(|current| current.generation);
        let taken = self.current.send_if_modified(|current| {
            let forward = number(&newest) >= number(current);
            if forward {
                *current = newest;
            }
            forward
        });
        if !taken {
            warn!(
                "etcd has forgotten the newest generation; what it said is kept, and the next one follows it"
            );
        }
    }

    /// Gives etcd back what it has forgotten.
    async fn remind(&self, store: &Store, audit: &Audit) -> Result<(), StoreError> {
        match &self.memory {
            Some(memory) => current::remind(store, self.fence, &self.authority, audit, memory).await,
            None => Ok(()),
        }
    }

    /// Keeps what is in etcd now also here; whether that went well. A disk that is full holds up nobody.
    async fn keep(&self, publication: Publication) -> Result<bool, ApplyError> {
        let Some(memory) = self.memory.clone() else { return Ok(true) };
        let kept = blocking(move || memory.keep(&publication)).await?;
        if let Err(error) = &kept {
            warn!(%error, "the generation could not be kept on disk; should etcd forget it, it is not restored from here");
        }
        Ok(kept.is_ok())
    }

    /// Everything that can be refused is refused before the first write.
    async fn propose(
        &self,
        store: &Store,
        working: &mut Working,
        read: Read,
        terms: Terms<'_>,
    ) -> Result<End, ApplyError> {
        let before = self.current();
        let documents = before.as_ref().map_or(&[][..], |current| &current.documents);
        let changed = changes(documents, &read.documents);
        let mut numbers = Arc::clone(working.identities.table());
        if !numbers.missing(&read.model).is_empty() {
            Arc::make_mut(&mut numbers).allocate(&read.model)?;
        }
        let desk = working.desk.take();
        let draft = draft(desk, &read.model, &changed, Arc::clone(&numbers), &terms.seen).await?;
        let cut = match changed.as_slice() {
            [] => Vec::new(),
            _ => lockouts::find(&read.model, &terms.seen, terms.path).await?,
        };
        let step = match judge(before.as_deref(), &read.model, &changed, (&draft.proposal, cut), &terms) {
            Ok(Verdict::Same(generation)) => {
                working.desk = Some(draft.keep());
                return Ok(End::Unchanged(generation));
            }
            Ok(Verdict::Next(step)) if terms.intent == Intent::Apply => step,
            Ok(Verdict::Next(step)) => {
                working.desk = blocking(move || draft.take_back()).await?;
                let mut generation = None;
                if terms.intent == Intent::Draft {
                    working.identities.allocate(store, self.fence, &read.model).await?;
                    generation = Some(next(before.as_deref()));
                }
                return Ok(step.end(generation));
            }
            Err(error) => {
                working.desk = blocking(move || draft.take_back()).await?;
                return Err(error);
            }
        };
        working.identities.allocate(store, self.fence, &read.model).await?;
        let draft = match &numbers == working.identities.table() {
            true => draft,
            // Somebody else was handed a number meanwhile.
            false => {
                self::draft(None, &read.model, &changed, Arc::clone(working.identities.table()), &terms.seen)
                    .await?
            }
        };
        let diff = anstream::adapter::strip_str(&unified_diff(&changed)).to_string();
        let generation = next(before.as_deref());
        let Summary { added, changed, removed } = step.summary;
        let deed = Deed {
            author: terms.author,
            method: "Fabric/Apply",
            summary: format!("+{added} ~{changed} -{removed} documents"),
            generation: Some(generation),
            diff,
        };
        let Draft { proposal, .. } = &draft;
        let next = Next {
            before: before.as_deref(),
            generation,
            files: &read.files,
            summary: step.summary,
            proposal,
        };
        let (all, publication) = next.signed_by(&self.authority, terms.signed)?;
        let (entry, turn) = terms.audit.next(store, deed).await?;
        working.newest = Newest::InDoubt;
        working.fresh.published(&publication);
        store.publish(self.fence, &publication, entry).await?;
        working.newest = Newest::Known;
        turn.done();
        if self.keep(publication).await? {
            working.desk = Some(draft.keep());
        }
        info!(%generation, nodes = all.len(), changed = step.nodes.len(), "published");
        let Read { files, documents, model } = read;
        let (roles, owners, claims) = (current::roles(&model), Owners::of(&model), Some(Claims::of(&model)));
        let current = Current { generation, files, targets: all, roles, owners, claims, documents };
        self.current.send_replace(Some(Arc::new(current)));
        Ok(step.end(Some(generation)))
    }
}

/// Runs what may take seconds where it holds up nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApplyError> {
    Ok(tokio::task::spawn_blocking(work).await?)
}
