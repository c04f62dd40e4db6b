//! The generation that is the desired state, and how it is read back.

use std::collections::BTreeMap;
use std::sync::Arc;

use selvedge_proto::{GenerationRecord, TargetList, keys};
use selvedge_topology::claims::Claims;
use selvedge_topology::documents::{Document, Loaded, SourceFile, load};
use selvedge_topology::model::{Model, NodeRole};
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Generation;
use selvedge_trust::audit::{Author, Deed};
use tracing::{error, warn};

use crate::server::audit::Audit;
use crate::server::{Authority, Memory};
use crate::state::Owners;
use crate::store::{Fence, Store, StoreError};

/// A generation that is the desired state.
pub(in crate::server) struct Current {
    pub(in crate::server) generation: Generation,
    pub(in crate::server) files: Vec<SourceFile>,
    pub(in crate::server) targets: TargetList,
    /// Roles of nodes; empty where the stored documents can't be read by this version.
    pub(in crate::server) roles: BTreeMap<NodeName, NodeRole>,
    /// Whose addresses are; nobody's where the stored documents can't be read by this version.
    pub(in crate::server) owners: Owners,
    /// What is claimed of labels that not everybody may set; `None` where the stored documents can't be read by this version.
    pub(super) claims: Option<Claims>,
    pub(super) documents: Vec<Document>,
}

/// The newest generation in the store, signed as it has to be, its targets written.
pub(super) async fn newest(
    store: &Store,
    fence: Fence,
    authority: &Authority,
) -> Result<Option<Arc<Current>>, StoreError> {
    let Some(record) = store.newest().await? else { return Ok(None) };
    let mistrusted = |source| StoreError::Mistrusted { key: keys::generation(record.generation), source };
    authority.verify(&record).map_err(mistrusted)?;
    let current = restore(store, &record).await?;
    store.write_targets(fence, &current.targets).await?;
    Ok(Some(Arc::new(current)))
}

/// Gives the store back what it has forgotten: the generation in `memory`, where that is newer than all that lies there, and
/// came after it. A store that is empty, or another fabric's, has forgotten nothing.
pub(super) async fn remind(
    store: &Store,
    fence: Fence,
    authority: &Authority,
    audit: &Audit,
    memory: &Memory,
) -> Result<(), StoreError> {
    let Some(newest) = store.newest().await?.filter(|newest| memory.knows(newest)) else { return Ok(()) };
    let there = newest.generation;
    let kept = memory.record().and_then(|record| match record {
        Some(record) if record.generation > there && authority.verify(&record).is_ok() => {
            memory.recall(record).map(Some)
        }
        _ => Ok(None),
    });
    let publication = match kept {
        Ok(Some(publication)) => publication,
        Ok(None) => return Ok(()),
        Err(error) => {
            warn!(%error, "the generation that was kept on disk can't be read; what lies in etcd is taken for the newest");
            return Ok(());
        }
    };
    let generation = publication.record.generation;
    warn!(%generation, %there, "etcd has forgotten generations that this controller published: was it restored from an older snapshot? They are published again");
    let author = Author { name: "selvedge-controller".to_owned(), ..Author::default() };
    let summary = format!("gave back to etcd what it had forgotten after generation {there}");
    let deed =
        Deed { author, method: "Fabric/Apply", summary, generation: Some(generation), diff: String::new() };
    let (entry, turn) = audit.next(store, deed).await?;
    store.publish(fence, &publication, entry).await?;
    turn.done();
    Ok(())
}

/// The newest generation in the store, whoever wrote it, without a word of what nodes are to enforce: its documents are
/// believed, and nothing else. For an operator who changes keys.
pub(super) async fn unsigned(store: &Store) -> Result<Option<Current>, StoreError> {
    let Some(record) = store.newest().await? else { return Ok(None) };
    Ok(Some(Current { targets: TargetList::new(), ..restore(store, &record).await? }))
}

async fn restore(store: &Store, record: &GenerationRecord) -> Result<Current, StoreError> {
    let chunks = store.chunks_of(record).await?;
    let files = record.files(&chunks)?;
    let targets = record.targets(&chunks)?;
    let Loaded { model, documents, diagnostics } = load(&files);
    if model.is_none() {
        let first = diagnostics.first().map(|found| format!("{}: {}", found.place, found.message));
        error!(generation = %record.generation, first, "this version refuses the documents in force; targets are kept");
    }
    let roles = model.as_ref().map(roles).unwrap_or_default();
    let owners = model.as_ref().map(Owners::of).unwrap_or_default();
    let claims = model.as_ref().map(Claims::of);
    Ok(Current { generation: record.generation, files, targets, roles, owners, claims, documents })
}

pub(super) fn roles(model: &Model) -> BTreeMap<NodeName, NodeRole> {
    model.fabric.nodes.iter().map(|(name, node)| (name.clone(), node.role)).collect()
}
