//! The generation that is the desired state, and how it is read back.

use std::collections::BTreeMap;
use std::sync::Arc;

use selvedge_proto::{GenerationRecord, TargetList, keys};
use selvedge_topology::documents::Registry;
use selvedge_topology::model::{Model, NodeRole};
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Generation;
use selvedge_trust::audit::{Author, Deed};
use tracing::{error, warn};

use super::desk::Desk;
use crate::server::audit::Audit;
use crate::server::{Authority, Memory};
use crate::state::Owners;
use crate::store::{Fence, Store, StoreError};

/// A generation that is the desired state.
pub(in crate::server) struct Current {
    pub(in crate::server) generation: Generation,
    pub(in crate::server) targets: TargetList,
    /// Roles of nodes; empty where the stored documents can't be read by this version.
    pub(in crate::server) roles: Arc<BTreeMap<NodeName, NodeRole>>,
    /// Whose addresses are; nobody's where the stored documents can't be read by this version.
    pub(in crate::server) owners: Owners,
}

/// What lies in the store.
pub(super) struct Found {
    pub(super) current: Arc<Current>,
    /// The documents, as far as they can be read by this version.
    pub(super) desk: Option<Desk>,
}

/// The newest generation in the store, signed as it has to be, its targets written.
pub(super) async fn newest(
    store: &Store,
    fence: Fence,
    authority: &Authority,
) -> Result<Option<Found>, StoreError> {
    let Some(record) = store.newest().await? else { return Ok(None) };
    let mistrusted = |source| StoreError::Mistrusted { key: keys::generation(record.generation), source };
    authority.verify(&record).map_err(mistrusted)?;
    let (current, desk) = restore(store, &record).await?;
    store.write_targets(fence, &current.targets).await?;
    Ok(Some(Found { current: Arc::new(current), desk }))
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
pub(super) async fn unsigned(store: &Store) -> Result<Option<Found>, StoreError> {
    let Some(record) = store.newest().await? else { return Ok(None) };
    let (current, desk) = restore(store, &record).await?;
    Ok(Some(Found { current: Arc::new(Current { targets: TargetList::new(), ..current }), desk }))
}

async fn restore(store: &Store, record: &GenerationRecord) -> Result<(Current, Option<Desk>), StoreError> {
    let chunks = store.chunks_of(record).await?;
    let targets = record.targets(&chunks)?;
    let generation = record.generation;
    let registry = match Registry::read_excerpts(&record.excerpts(&chunks)?) {
        Ok((registry, _)) => registry,
        Err(diagnostics) => {
            let first = diagnostics.first().map(|found| format!("{}: {}", found.place, found.message));
            error!(%generation, first, "this version refuses the documents in force; targets are kept");
            let (roles, owners) = Default::default();
            return Ok((Current { generation, targets, roles, owners }, None));
        }
    };
    let (roles, owners) = (roles(registry.model()), Owners::of(registry.model()));
    Ok((Current { generation, targets, roles, owners }, Some(Desk::of(Box::new(registry)))))
}

pub(super) fn roles(model: &Model) -> Arc<BTreeMap<NodeName, NodeRole>> {
    Arc::new(model.fabric.nodes.iter().map(|(name, node)| (name.clone(), node.role)).collect())
}
