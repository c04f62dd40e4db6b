//! The desired state, and how documents become the next one.

mod back;
mod claims;
mod collect;
mod current;
mod desk;
mod edit;
mod error;
mod lockouts;
mod prepare;
mod propose;
mod sign;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use selvedge_topology::documents::Diagnostic;
use selvedge_topology::failsafe::Lockout;
use selvedge_topology::names::NodeName;
use selvedge_topology::operators::Asker;
use selvedge_topology::placement::{Hole, SeenNode};
use selvedge_topology::plan::Generation;
use selvedge_trust::audit::Author;
use tokio::sync::{Mutex, watch};
use tracing::warn;

use super::audit::Audit;
use super::{Authority, Memory};
use crate::state::ChangeKind;
use crate::store::{Fence, Fresh, Identities, Publication, Store, StoreError};
pub(super) use collect::Collected;
pub(super) use current::Current;
use current::Found;
use desk::Desk;
pub(super) use edit::Wish;
pub(super) use error::ApplyError;
pub(super) use lockouts::{Lockouts, Path};
pub(super) use sign::Signed;

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
    documents: Documents,
}

impl Working {
    async fn read(store: &Store, desk: Option<Desk>) -> Result<Self, StoreError> {
        let (identities, documents) = (Identities::read(store).await?, Documents::Here(desk));
        Ok(Self { identities, newest: Newest::Known, fresh: Fresh::default(), documents })
    }
}

/// Where the documents of the desired state are.
enum Documents {
    /// Here; nowhere, where there are none, or none that this version can read.
    Here(Option<Desk>),
    /// An application took them, and it did not end: whoever asked for it went away.
    Lost,
}

/// Whether what we hold for the newest generation is the newest in the store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Newest {
    Known,
    /// A publication failed, and how far it came is not known.
    InDoubt,
}

/// How much of what was published is kept beside etcd, where it is to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memorized {
    All,
    /// The next publication has to bring everything.
    NotAll,
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
    pub(super) wish: Wish,
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
        let found = current::newest(store, fence, &authority).await?;
        let (current, desk) = found.map(|Found { current, desk }| (current, desk)).unzip();
        let working = Mutex::new(Working::read(store, desk.flatten()).await?);
        let current = watch::Sender::new(current);
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
        let Some(Found { current, desk }) = current::unsigned(store).await? else {
            return Ok(Self::read(store, fence, authority, audit, memory).await?);
        };
        let (generation, working) = (current.generation, Mutex::new(Working::read(store, desk).await?));
        let current = watch::Sender::new(Some(current));
        let desired = Self { fence, authority, current, memory, working };
        warn!(%generation, "signing anew what lies in etcd, as it was asked for");
        let (gaps, lockouts, path, seen) = (Gaps::Allowed, Lockouts::Allowed, None, BTreeMap::new());
        let author = Author { name: "selvedge-controller --resign".to_owned(), ..Author::default() };
        let asker = Asker::Unknown;
        let (intent, signed) = (Intent::Apply, None);
        let wish = Wish::Partial { written: Vec::new(), removed: Vec::new() };
        let request = Request { author, asker, wish, intent, gaps, lockouts, path, seen, signed };
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
    pub(super) async fn mend(&self, store: &Store, audit: &Audit) -> Result<(), ApplyError> {
        let mut working = self.working.lock().await;
        let Some(current) = self.current().filter(|_| working.newest == Newest::Known) else { return Ok(()) };
        self.remind(store, audit).await?;
        let wrong = store.write_targets(self.fence, &current.targets).await?;
        if wrong > 0 {
            warn!(wrong, "somebody else had changed targets in etcd; they are as they should be again");
            // What targets lead to may be gone as well.
            if let Documents::Here(Some(desk)) = &mut working.documents {
                desk.make_anew();
            }
            drop(working);
            self.prepare(store).await?;
        }
        Ok(())
    }

    /// Makes what `request` wishes the desired state.
    pub(super) async fn apply(
        &self,
        store: &Store,
        audit: &Audit,
        request: Request,
    ) -> Result<Applied, ApplyError> {
        let Request { author, asker, wish, intent, gaps, lockouts, path, seen, signed } = request;
        wish.check_names()?;
        let edit = match blocking(move || wish.read()).await? {
            Ok(edit) => edit,
            Err(diagnostics) => return Ok(Applied { diagnostics, end: End::Invalid }),
        };
        let mut working = self.working.lock().await;
        self.settle(store, audit, &mut working).await?;
        let terms = Terms { author, asker, audit, intent, gaps, lockouts, path, seen: seen.into(), signed };
        self.propose(store, &mut working, edit, terms).await
    }

    /// Finds out what there is, where that is not known.
    async fn settle(&self, store: &Store, audit: &Audit, working: &mut Working) -> Result<(), StoreError> {
        let are_lost = matches!(working.documents, Documents::Lost);
        if working.newest == Newest::Known && !are_lost {
            return Ok(());
        }
        // What failed may have been an etcd that is another day's now: its numbers have to go on where ours ended.
        self.remind(store, audit).await?;
        let found = current::newest(store, self.fence, &self.authority).await?;
        let (newest, desk) = found.map(|Found { current, desk }| (current, desk)).unzip();
        if self.take_up(newest) {
            working.documents = Documents::Here(desk.flatten());
        } else if are_lost {
            // Neither here nor there are those that are in force.
            working.documents = Documents::Here(None);
        }
        working.newest = Newest::Known;
        Ok(())
    }

    /// Makes `newest`, which lies in etcd, the desired state; unless it is older than what is: numbers never go back, for nodes
    /// refuse what is older than what they have. Says whether it was made that.
    fn take_up(&self, newest: Option<Arc<Current>>) -> bool {
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
        taken
    }

    /// Gives etcd back what it has forgotten.
    async fn remind(&self, store: &Store, audit: &Audit) -> Result<(), StoreError> {
        match &self.memory {
            Some(memory) => current::remind(store, self.fence, &self.authority, audit, memory).await,
            None => Ok(()),
        }
    }

    /// Keeps what is in etcd now also here. A disk that is full holds up nobody.
    async fn memorize(&self, publication: Publication) -> Memorized {
        let Some(memory) = self.memory.clone() else { return Memorized::All };
        let error = match blocking(move || memory.keep(&publication)).await {
            Ok(Ok(())) => return Memorized::All,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        warn!(
            error,
            "the generation could not be kept on disk; should etcd forget it, it is not restored from here"
        );
        Memorized::NotAll
    }
}

/// Runs what may take seconds where it holds up nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApplyError> {
    Ok(tokio::task::spawn_blocking(work).await?)
}
