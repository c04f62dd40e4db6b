//! Taking away what nobody needs any more: generations, and the manifests and chunks that only they named.
//!
//! Mark, then sweep. [`Store::find_garbage`] looks at everything in one revision, without holding anybody up. A sweep
//! then goes on in transactions of bounded size ([`Garbage::batches`]), generations first, so that no record is ever there
//! whose content is not; wherever it is interrupted, the next mark finds the rest.
//!
//! A publication uses content that it finds present, so none may be swept that one has just found. Three things see to that:
//! who publishes and who sweeps hold the same lock, one transaction's time; what was published since the mark is passed
//! over ([`Fresh`]); and etcd itself refuses the record of a publication that began before a sweep ([`keys::SWEPT`]), a sweep
//! where there is a generation that its mark did not know, and any transaction of a leader that no longer is one.

mod mark;

use std::collections::BTreeSet;

use etcd_client::{Compare, CompareOp, TxnOp};
use selvedge_proto::Digest;
use selvedge_proto::keys::{self, MAX_TXN_OPS};
use selvedge_topology::plan::Generation;

pub use mark::Retention;

use super::{Fence, Publication, Store, StoreError, is_absent};

/// What there is, and what of it is garbage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Nobody needs these.
    pub generations: Vec<Generation>,
    /// No target and no generation that stays names these.
    pub manifests: Vec<Digest>,
    /// No manifest and no generation that stays names these.
    pub chunks: Vec<Digest>,
    /// How much stays.
    pub kept: Kept,
}

/// How much stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Generations.
    pub generations: usize,
    /// Manifests.
    pub manifests: usize,
    /// Chunks.
    pub chunks: usize,
}

/// A piece of garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waste {
    /// A record.
    Generation(Generation),
    /// A manifest.
    Manifest(Digest),
    /// A chunk.
    Chunk(Digest),
}

impl Waste {
    fn key(self) -> String {
        match self {
            Self::Generation(generation) => keys::generation(generation),
            Self::Manifest(digest) => keys::manifest(digest),
            Self::Chunk(digest) => keys::chunk(digest),
        }
    }
}

impl Garbage {
    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.generations.len() + self.manifests.len() + self.chunks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cut into what one transaction takes, in the order in which it has to go.
    pub fn batches(&self) -> Vec<Vec<Waste>> {
        let generations = self.generations.iter().copied().map(Waste::Generation);
        let manifests = self.manifests.iter().copied().map(Waste::Manifest);
        let all: Vec<Waste> =
            generations.chain(manifests).chain(self.chunks.iter().copied().map(Waste::Chunk)).collect();
        // One operation is the note that something was swept.
        all.chunks(MAX_TXN_OPS - 1).map(<[Waste]>::to_vec).collect()
    }
}

/// Content that was published since a mark began, and that the mark may therefore take for garbage.
#[derive(Debug, Default)]
pub struct Fresh(Option<BTreeSet<Digest>>);

impl Fresh {
    /// A mark begins.
    pub fn begin(&mut self) {
        self.0 = Some(BTreeSet::new());
    }

    /// Its sweep has ended.
    pub fn end(&mut self) {
        self.0 = None;
    }

    /// Something is about to be published.
    pub fn published(&mut self, publication: &Publication) {
        if let Some(fresh) = &mut self.0 {
            fresh.extend(publication.content());
        }
    }

    fn has(&self, digest: Digest) -> bool {
        self.0.as_ref().is_none_or(|fresh| fresh.contains(&digest))
    }
}

impl Store {
    /// Takes `batch` away, except for what is fresh, and says how much it was. Nobody may publish at the same time, and
    /// `newest` has to be the newest generation: where a later one is there, a publication that was given up came into being
    /// after all, and this is [`StoreError::Conflict`].
    pub async fn sweep(
        &self,
        fence: Fence,
        newest: Generation,
        batch: &[Waste],
        fresh: &Fresh,
    ) -> Result<usize, StoreError> {
        let stale = batch.iter().filter(|waste| match waste {
            Waste::Generation(_) => true,
            Waste::Manifest(digest) | Waste::Chunk(digest) => !fresh.has(*digest),
        });
        let mut operations: Vec<TxnOp> = stale.map(|waste| TxnOp::delete(waste.key(), None)).collect();
        let swept = operations.len();
        if swept > 0 {
            operations.push(TxnOp::put(keys::SWEPT, "", None));
            let no_later = is_absent(&keys::generation(Generation(newest.0 + 1)));
            self.commit(fence, vec![no_later], operations).await?.or_conflict()?;
        }
        Ok(swept)
    }

    /// The condition that nothing is swept from now on.
    pub(super) async fn unswept(&self) -> Result<Compare, StoreError> {
        let response = self.read(keys::SWEPT, None).await?;
        let revision = response.kvs().first().map_or(0, etcd_client::KeyValue::mod_revision);
        Ok(Compare::mod_revision(keys::SWEPT, CompareOp::Equal, revision))
    }
}
