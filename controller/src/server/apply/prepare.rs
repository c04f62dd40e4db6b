//! Before anybody applies anything: what the documents in force come to is made, so that the first application, too, costs what it
//! changes; and it is held against what is in the store and on this controller's disk, where some of it may be missing.

use std::sync::Arc;

use selvedge_proto::{Chunks, GenerationRecord};
use tracing::{debug, info, warn};

use super::desk::{Desk, Whole};
use super::{ApplyError, Current, Desired, Documents, Memorized, Newest, Working, blocking};
use crate::state::{ProposalError, is_same};
use crate::store::{Novelty, Publication, Store, StoreError};

/// So many generations before the newest are taken note of, where another controller published them.
const ADOPTED: usize = 1_000;

impl Working {
    /// The documents in force, of which nothing is made yet.
    fn unmade(&mut self) -> Option<&mut Desk> {
        match &mut self.documents {
            Documents::Here(Some(desk)) if self.newest == Newest::Known && !desk.is_made() => Some(desk),
            Documents::Here(_) | Documents::Lost => None,
        }
    }
}

impl Desired {
    /// Makes what is in force, as this version makes it. Where that is not what nodes are told, everything stays as it is, and is made
    /// by the next application.
    pub(in crate::server) async fn prepare(&self, store: &Store) -> Result<(), ApplyError> {
        let mut working = self.working.lock().await;
        let Some(current) = self.current() else { return Ok(()) };
        if working.unmade().is_none() {
            return Ok(());
        }
        let Some(record) = store.newest().await?.filter(|record| record.generation == current.generation)
        else {
            return Ok(());
        };
        if self.authority.verify(&record).is_err() {
            return Ok(());
        }
        let Some(whole) = self.make(&mut working).await? else { return Ok(()) };
        let GenerationRecord { generation, created, summary, signature, .. } = record;
        let made = GenerationRecord::new(generation, created, summary, whole.sources(), &current.targets);
        let (mut made, lists) = made.map_err(ProposalError::from)?;
        made.signature = signature;
        if !is_same(&current.targets, &whole.plans()) || record != made {
            info!(%generation, "this version makes something else of the documents in force; the next application brings that");
            return Ok(());
        }
        self.complete(store, &mut working, (record, lists, &current), whole).await
    }

    /// Makes what the documents come to, which are lost to applications until that is done.
    async fn make(&self, working: &mut Working) -> Result<Option<Whole>, ApplyError> {
        let identities = Arc::clone(working.identities.table());
        let Documents::Here(Some(desk)) = std::mem::replace(&mut working.documents, Documents::Lost) else {
            return Ok(None);
        };
        let (desk, made) = blocking(move || {
            let made = desk.make(&identities);
            (desk, made)
        })
        .await?;
        working.documents = Documents::Here(Some(desk));
        Ok(made.inspect_err(|error| debug!(%error, "the documents in force can't be compiled")).ok())
    }

    /// Brings what is missing of `whole` to the store, and to the disk.
    async fn complete(
        &self,
        store: &Store,
        working: &mut Working,
        (record, mut chunks, current): (GenerationRecord, Chunks, &Current),
        mut whole: Whole,
    ) -> Result<(), ApplyError> {
        let (manifests, made) = whole.take_content();
        chunks.append(made);
        let targets = current.targets.clone();
        let novelty = Novelty::Unknown;
        let publication = Publication { record, targets, gone: Vec::new(), manifests, chunks, novelty };
        working.fresh.published(&publication);
        let missing = store.complete(self.fence, &publication).await?;
        if missing > 0 {
            warn!(missing, "some content of the newest generation was missing in etcd; it is there again");
        }
        if self.adopt(store, publication).await? == Memorized::All
            && let Some(desk) = working.unmade()
        {
            desk.take(whole);
        }
        Ok(())
    }

    /// Keeps on disk what another controller published, and what it came after.
    async fn adopt(&self, store: &Store, publication: Publication) -> Result<Memorized, StoreError> {
        let Some(memory) = &self.memory else { return Ok(Memorized::All) };
        if memory.record().is_ok_and(|kept| kept.as_ref() == Some(&publication.record)) {
            return Ok(Memorized::All);
        }
        let mut before = store.generations(ADOPTED).await?;
        before.retain(|record| self.authority.verify(record).is_ok());
        before.reverse();
        let memorized = self.memorize(publication).await;
        if let Err(error) = memory.learn(&before) {
            warn!(%error, "what came before the newest generation could not be kept on disk; an etcd that is restored from then gets nothing back");
        }
        Ok(memorized)
    }
}
