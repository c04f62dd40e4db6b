//! Chunks: a long list as content-addressed pieces of at most 256 KiB.

mod cut;
mod list;
mod named;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use cut::{Cut, cut, each, encode, hash, join};
pub use list::names_in;
pub(crate) use list::{DigestList, digests_from_wire, digests_to_wire};
pub(crate) use named::Named;

use crate::convert::DecodeError;
use crate::digest::Digest;

/// No chunk is larger.
pub const MAX_CHUNK_BYTES: usize = 256 << 10;

/// Chunks by digest. Each is what its digest says: that is looked at once, on its way in. Copies share all until one is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunks(Arc<BTreeMap<Digest, Arc<[u8]>>>);

/// A list that can't be cut, or chunks that don't make one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// One message is larger than a chunk may be.
    #[error("one entry has {bytes} bytes, a chunk at most {limit}")]
    EntryTooLarge {
        /// Its size.
        bytes: usize,
        /// The largest such a chunk may be.
        limit: usize,
    },
    /// A chunk is not among those given.
    #[error("chunk {digest} is missing")]
    Missing {
        /// Its digest.
        digest: Digest,
    },
    /// A chunk is larger than one may be.
    #[error("chunk {digest} has {bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Its digest.
        digest: Digest,
        /// Its size.
        bytes: usize,
        /// The largest such a chunk may be.
        limit: usize,
    },
    /// A chunk's content is not what its digest says.
    #[error("chunk {digest} holds something else: its content has digest {found}")]
    Corrupt {
        /// The digest it was asked for by.
        digest: Digest,
        /// That of its content.
        found: Digest,
    },
    /// A message in a chunk can't be read.
    #[error("chunk {digest}: {source}")]
    Entry {
        /// The chunk.
        digest: Digest,
        /// What is wrong.
        source: DecodeError,
    },
    /// A list names more chunks than such a list may.
    #[error("list {digest} comes to more than {limit} chunks with those before it")]
    TooMany {
        /// The chunk of the list at which it is too many.
        digest: Digest,
        /// The most there may be.
        limit: usize,
    },
}

impl Chunks {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes content that was asked for by `digest`, if it is that and no larger than a chunk may be.
    pub fn insert(&mut self, digest: Digest, content: Vec<u8>) -> Result<(), ChunkError> {
        let bytes = content.len();
        if bytes > MAX_CHUNK_BYTES {
            return Err(ChunkError::TooLarge { digest, bytes, limit: MAX_CHUNK_BYTES });
        }
        let found = Digest::of(&content);
        if found != digest {
            return Err(ChunkError::Corrupt { digest, found });
        }
        Arc::make_mut(&mut self.0).insert(digest, content.into());
        Ok(())
    }

    /// Takes new content, and says its digest.
    pub(crate) fn add(&mut self, content: Vec<u8>) -> Digest {
        let digest = Digest::of(&content);
        Arc::make_mut(&mut self.0).insert(digest, content.into());
        digest
    }

    /// Takes all of `others`.
    pub fn append(&mut self, others: Self) {
        self.merge(Arc::unwrap_or_clone(others.0));
    }

    /// Keeps those that `keeps` says.
    pub fn retain(&mut self, mut keeps: impl FnMut(Digest) -> bool) {
        Arc::make_mut(&mut self.0).retain(|digest, _| keeps(*digest));
    }

    /// Takes those of `digests` that `others` has, and returns the rest. The content is not copied. Takes least time where `digests` are
    /// sorted.
    pub fn take_over(&mut self, digests: impl IntoIterator<Item = Digest>, others: &Self) -> Vec<Digest> {
        let mut digests: Vec<Digest> = digests.into_iter().collect();
        digests.sort();
        let (mut found, mut rest) = (Vec::new(), Vec::new());
        // Many of many, mostly: one walk through both.
        let mut held = others.0.iter().peekable();
        for digest in digests {
            while held.next_if(|(held, _)| **held < digest).is_some() {}
            match held.peek() {
                Some((held, content)) if **held == digest => found.push((digest, Arc::clone(content))),
                _ => rest.push(digest),
            }
        }
        self.merge(found.into_iter().collect());
        rest
    }

    fn merge(&mut self, mut others: BTreeMap<Digest, Arc<[u8]>>) {
        let chunks = Arc::make_mut(&mut self.0);
        // `BTreeMap::append` makes both anew.
        if others.len() > chunks.len() / 8 { chunks.append(&mut others) } else { chunks.extend(others) }
    }

    /// The content of that digest.
    pub fn get(&self, digest: Digest) -> Option<&[u8]> {
        self.0.get(&digest).map(|content| &**content)
    }

    /// The content of that digest, which has to be there.
    pub(crate) fn expect(&self, digest: Digest) -> Result<&[u8], ChunkError> {
        self.get(digest).ok_or(ChunkError::Missing { digest })
    }

    /// Whether it is there.
    pub fn contains(&self, digest: Digest) -> bool {
        self.0.contains_key(&digest)
    }

    /// What is there, sorted.
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        self.0.keys().copied()
    }

    /// All with their content, sorted by digest.
    pub fn iter(&self) -> impl Iterator<Item = (Digest, &[u8])> {
        self.0.iter().map(|(digest, content)| (*digest, &**content))
    }

    /// How many bytes they have together.
    pub fn bytes(&self) -> usize {
        self.0.values().map(|content| content.len()).sum()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
