//! What chunks a record leads to.

use super::{ChunkError, Chunks, Cut, DigestList, cut, digests_from_wire, digests_to_wire};
use crate::convert::DecodeError;
use crate::digest::Digest;

/// Most lists that a record names, and most chunks that one of before there were lists does.
const MAX_NAMES: usize = 16 << 10;
/// Most chunks on those lists: of a million workloads' documents there are some ten thousand.
const MAX_CHUNKS: usize = 256 << 10;

/// The chunks of a long list, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// Each by the record, as up to format 1 of the layout.
    Singly(Vec<Digest>),
    /// By lists.
    Listed(DigestList),
}

impl Named {
    /// Cuts messages into chunks, and their names into lists.
    pub(crate) fn cut<M: prost::Message>(
        messages: impl IntoIterator<Item = M>,
        chunks: &mut Chunks,
    ) -> Result<Self, ChunkError> {
        let names = cut(messages, Cut::CONTENT, chunks)?;
        Self::list(names, chunks)
    }

    /// Puts the names of chunks on lists.
    pub(crate) fn list(
        names: impl IntoIterator<Item = Digest>,
        chunks: &mut Chunks,
    ) -> Result<Self, ChunkError> {
        DigestList::cut(names, chunks).map(Self::Listed)
    }

    /// The lists.
    pub(crate) fn lists(&self) -> &[Digest] {
        match self {
            Self::Singly(_) => &[],
            Self::Listed(list) => list.chunks(),
        }
    }

    /// The chunks beside the lists, in order. `chunks` has the lists, and may have more.
    pub(crate) fn read(&self, chunks: &Chunks) -> Result<Vec<Digest>, ChunkError> {
        match self {
            Self::Singly(names) => Ok(names.clone()),
            Self::Listed(list) => list.read(chunks, MAX_CHUNKS),
        }
    }

    /// As a record has it: names of chunks, and names of lists.
    pub(crate) fn to_wire(&self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        match self {
            Self::Singly(names) => (digests_to_wire(names), Vec::new()),
            Self::Listed(list) => (Vec::new(), list.to_wire()),
        }
    }

    /// Reads what a record has of one kind: names of chunks or names of lists, and not both.
    pub(crate) fn from_wire(
        field: &'static str,
        names: &[Vec<u8>],
        lists: &[Vec<u8>],
    ) -> Result<Self, DecodeError> {
        match (names, lists) {
            ([], lists) => DigestList::from_wire(field, lists, MAX_NAMES).map(Self::Listed),
            (names, []) => digests_from_wire(field, names, MAX_NAMES).map(Self::Singly),
            (names, [_, ..]) => Err(DecodeError::TooLarge { field, value: names.len() as u64, limit: 0 }),
        }
    }
}
