//! The desired state, and how documents become the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use selvedge_proto::{GenerationRecord, TargetList};
use selvedge_topology::documents::{Diagnostic, Document, Loaded, SourceFile, load};
use selvedge_topology::identity::{IdentityError, IdentityTable};
use selvedge_topology::model::{Model, NodeRole};
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::{Hole, Obstacles, SeenNode, UnmetDemand};
use selvedge_topology::plan::Generation;
use tokio::sync::{Mutex, watch};
use tracing::{error, info};

use crate::state::{ChangeKind, Owners, Proposal, ProposalError, changes, summary};
use crate::store::{Fence, Identities, Publication, Store, StoreError};

/// Why documents were not applied, other than by their own errors.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error("file `{name}` is given twice")]
    FileTwice { name: String },
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    #[error("{}", unenforced(.0))]
    Unenforced(Vec<Hole>),
    #[error("{}", unmet(.0))]
    Demands(Vec<UnmetDemand>),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the work was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

fn lines(all: &[impl ToString]) -> String {
    all.iter().map(|each| format!("\n  {}", each.to_string())).collect()
}

fn unmet(demands: &[UnmetDemand]) -> String {
    let lines = lines(demands);
    format!(
        "ports do not run in the mode that is demanded of them:{lines}\nmend the ports, or change `xdp` of the node or port, or \
         `hardware` of the fabric"
    )
}

fn unenforced(holes: &[Hole]) -> String {
    let lines = lines(holes);
    format!(
        "workloads that are to be enforced would not be:{lines}\nmend the ports, say `enforcement: optional` of these \
         workloads, or apply with --allow-unenforced; `selvedge placement` shows every port"
    )
}

/// A generation that is the desired state.
pub(super) struct Current {
    pub(super) generation: Generation,
    pub(super) files: Vec<SourceFile>,
    pub(super) targets: TargetList,
    /// Roles of nodes; empty where the stored documents can't be read by this version.
    pub(super) roles: BTreeMap<NodeName, NodeRole>,
    /// Whose addresses are; nobody's where the stored documents can't be read by this version.
    pub(super) owners: Owners,
    documents: Vec<Document>,
}

/// The desired state: what it is, and who may change it.
pub(super) struct Desired {
    fence: Fence,
    current: watch::Sender<Option<Arc<Current>>>,
    /// Held while documents are applied: one application at a time.
    working: Mutex<Working>,
}

/// What an application works on.
struct Working {
    identities: Identities,
    /// What is known of the newest generation.
    newest: Newest,
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
    },
}

/// What the documents are held against.
pub(super) struct Request {
    pub(super) files: Vec<SourceFile>,
    pub(super) intent: Intent,
    pub(super) gaps: Gaps,
    /// What nodes last reported.
    pub(super) seen: BTreeMap<NodeName, SeenNode>,
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
}

/// On which terms documents are applied.
struct Terms {
    intent: Intent,
    gaps: Gaps,
    seen: Arc<BTreeMap<NodeName, SeenNode>>,
}

impl Desired {
    /// Reads the newest generation, and brings targets in line with it, should its publication have been interrupted.
    pub(super) async fn read(store: &Store, fence: Fence) -> Result<Self, StoreError> {
        let working = Working { identities: Identities::read(store).await?, newest: Newest::Known };
        let current = newest(store, fence).await?;
        Ok(Self { fence, current: watch::Sender::new(current), working: Mutex::new(working) })
    }

    pub(super) fn current(&self) -> Option<Arc<Current>> {
        self.current.borrow().clone()
    }

    /// Makes the files of `request` the desired state.
    pub(super) async fn apply(&self, store: &Store, request: Request) -> Result<Applied, ApplyError> {
        let Request { files, intent, gaps, seen } = request;
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
            self.current.send_replace(newest(store, self.fence).await?);
            working.newest = Newest::Known;
        }
        let terms = Terms { intent, gaps, seen: seen.into() };
        let end = self.propose(store, &mut working, (files, documents, model), terms).await?;
        Ok(Applied { diagnostics, end })
    }

    async fn propose(
        &self,
        store: &Store,
        working: &mut Working,
        (files, documents, model): (Vec<SourceFile>, Vec<Document>, Model),
        Terms { intent, gaps, seen }: Terms,
    ) -> Result<End, ApplyError> {
        // Everything that can be refused is refused before the first write.
        let identities = &mut working.identities;
        let mut numbers = identities.table().clone();
        numbers.allocate(&model)?;
        let model = Arc::new(model);
        let mut proposal = propose(&model, numbers.clone(), &seen).await?;
        let current = self.current();
        let before = current.as_deref();
        let changed = changes(before.map_or(&[], |current| &current.documents), &documents);
        if let Some(current) = before
            && changed.is_empty()
            && current.targets == proposal.targets
        {
            return Ok(End::Unchanged(current.generation));
        }
        let Obstacles { holes, demands } = std::mem::take(&mut proposal.obstacles);
        if !demands.is_empty() {
            return Err(ApplyError::Demands(demands));
        }
        if gaps == Gaps::Refused && !holes.is_empty() {
            return Err(ApplyError::Unenforced(holes));
        }
        let told = changed
            .iter()
            .map(|change| (change.change(), change.kind.to_owned(), change.name.to_owned()))
            .collect();
        let no_targets = TargetList::new();
        let nodes = differing(before.map_or(&no_targets, |current| &current.targets), &proposal.targets);
        if intent == Intent::DryRun {
            return Ok(End::Changed { generation: None, changes: told, nodes, holes });
        }
        identities.allocate(store, self.fence, &model).await?;
        if *identities.table() != numbers {
            proposal = propose(&model, identities.table().clone(), &seen).await?;
        }
        let generation = Generation(before.map_or(0, |current| current.generation.0) + 1);
        let (record, chunks) = GenerationRecord::new(
            generation,
            SystemTime::now(),
            summary(&changed),
            &files,
            &proposal.targets,
        )
        .map_err(ProposalError::from)?;
        drop(changed);
        let Proposal { targets, manifests, chunks: mut all, obstacles: _ } = proposal;
        all.extend(chunks);
        let publication = Publication { record, targets: targets.clone(), manifests, chunks: all };
        working.newest = Newest::InDoubt;
        store.publish(self.fence, publication).await?;
        working.newest = Newest::Known;
        info!(%generation, nodes = targets.len(), changed = nodes.len(), "published");
        let (roles, owners) = (roles(&model), Owners::of(&model));
        let current = Current { generation, files, targets, roles, owners, documents };
        self.current.send_replace(Some(Arc::new(current)));
        Ok(End::Changed { generation: Some(generation), changes: told, nodes, holes })
    }
}

async fn propose(
    model: &Arc<Model>,
    identities: IdentityTable,
    seen: &Arc<BTreeMap<NodeName, SeenNode>>,
) -> Result<Proposal, ApplyError> {
    let (model, seen) = (Arc::clone(model), Arc::clone(seen));
    Ok(blocking(move || Proposal::new(&model, &identities, &seen)).await??)
}

/// Runs what may take seconds where it holds up nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApplyError> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

/// The newest generation in the store, its targets written.
async fn newest(store: &Store, fence: Fence) -> Result<Option<Arc<Current>>, StoreError> {
    let Some(record) = store.newest().await? else { return Ok(None) };
    Ok(Some(Arc::new(restore(store, fence, &record).await?)))
}

async fn restore(store: &Store, fence: Fence, record: &GenerationRecord) -> Result<Current, StoreError> {
    let chunks = store.chunks_of(record).await?;
    let files = record.files(&chunks)?;
    let targets = record.targets(&chunks)?;
    store.write_targets(fence, record, &targets).await?;
    let Loaded { model, documents, diagnostics } = load(&files);
    if model.is_none() {
        let first = diagnostics.first().map(|found| format!("{}: {}", found.place, found.message));
        error!(generation = %record.generation, first, "this version refuses the documents in force; targets are kept");
    }
    let roles = model.as_ref().map(roles).unwrap_or_default();
    let owners = model.as_ref().map(Owners::of).unwrap_or_default();
    Ok(Current { generation: record.generation, files, targets, roles, owners, documents })
}

fn roles(model: &Model) -> BTreeMap<NodeName, NodeRole> {
    model.fabric.nodes.iter().map(|(name, node)| (name.clone(), node.role)).collect()
}

/// The nodes whose manifest is not the same in both.
fn differing(before: &TargetList, after: &TargetList) -> BTreeSet<NodeName> {
    let all = before.keys().chain(after.keys());
    all.filter(|node| before.get(*node) != after.get(*node)).cloned().collect()
}
