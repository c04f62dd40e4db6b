//! Chunks: a long list as content-addressed pieces of at most 256 KiB.
//!
//! A chunk is a run of length-delimited messages. It ends behind a message whose own bytes say so, never at
//! a fixed count, so inserting one message moves no boundary but those beside it: the other chunks keep their
//! digests, need not be written again, and are shared by all nodes whose lists agree there.

use std::collections::BTreeMap;

use prost::Message;

use crate::convert::DecodeError;
use crate::digest::Digest;

/// No chunk is larger.
pub const MAX_CHUNK_BYTES: usize = 256 << 10;
/// How large chunks are on average.
const TARGET_CHUNK_BYTES: u64 = 32 << 10;

/// Chunks by digest.
pub type Chunks = BTreeMap<Digest, Vec<u8>>;

/// A list that can't be cut, or chunks that don't make one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// One message is larger than a chunk may be.
    #[error("one entry has {bytes} bytes, a chunk at most {MAX_CHUNK_BYTES}")]
    EntryTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A chunk is not among those given.
    #[error("chunk {digest} is missing")]
    Missing {
        /// Its digest.
        digest: Digest,
    },
    /// A chunk is larger than one may be.
    #[error("chunk {digest} has {bytes} bytes, at most {MAX_CHUNK_BYTES} are allowed")]
    TooLarge {
        /// Its digest.
        digest: Digest,
        /// Its size.
        bytes: usize,
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
}

/// Cuts `messages` into chunks, adds them to `chunks`, and returns their digests in order.
pub(crate) fn cut<M: Message>(
    messages: impl IntoIterator<Item = M>,
    chunks: &mut Chunks,
) -> Result<Vec<Digest>, ChunkError> {
    let mut digests = Vec::new();
    let mut open = Vec::new();
    let mut close = |chunk: &mut Vec<u8>| {
        if !chunk.is_empty() {
            let digest = Digest::of(chunk);
            chunks.insert(digest, std::mem::take(chunk));
            digests.push(digest);
        }
    };
    for message in messages {
        let entry = message.encode_length_delimited_to_vec();
        if entry.len() > MAX_CHUNK_BYTES {
            return Err(ChunkError::EntryTooLarge { bytes: entry.len() });
        }
        if open.len() + entry.len() > MAX_CHUNK_BYTES {
            close(&mut open);
        }
        open.extend_from_slice(&entry);
        if ends_chunk(&entry) {
            close(&mut open);
        }
    }
    close(&mut open);
    Ok(digests)
}

/// One entry ends a chunk with a probability of its size over the target size.
fn ends_chunk(entry: &[u8]) -> bool {
    hash(entry) % TARGET_CHUNK_BYTES < entry.len() as u64
}

/// A number from bytes, for choosing boundaries only: FNV-1a, then mixed as splitmix64 does, since FNV's low
/// bits alone are poor. Part of the format: other boundaries would be other digests.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Reads the messages of the chunks that `digests` name, checking content against digest.
pub(crate) fn join<M: Message + Default>(digests: &[Digest], chunks: &Chunks) -> Result<Vec<M>, ChunkError> {
    let mut messages = Vec::new();
    for digest in digests {
        let digest = *digest;
        let chunk = chunks.get(&digest).ok_or(ChunkError::Missing { digest })?;
        check(digest, chunk)?;
        let mut rest = chunk.as_slice();
        while !rest.is_empty() {
            let message = M::decode_length_delimited(&mut rest)
                .map_err(|error| ChunkError::Entry { digest, source: error.into() })?;
            messages.push(message);
        }
    }
    Ok(messages)
}

/// Checks that `content` is what `digest` names, and no larger than a chunk may be.
fn check(digest: Digest, content: &[u8]) -> Result<(), ChunkError> {
    if content.len() > MAX_CHUNK_BYTES {
        return Err(ChunkError::TooLarge { digest, bytes: content.len() });
    }
    let found = Digest::of(content);
    if found == digest { Ok(()) } else { Err(ChunkError::Corrupt { digest, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Label;

    fn labels(range: std::ops::Range<u32>) -> Vec<Label> {
        range.map(|n| Label { key: format!("key-{n:08}"), value: "v".repeat(40) }).collect()
    }

    #[test]
    fn an_inserted_entry_changes_one_or_two_chunks() {
        let (mut before, mut after) = (Chunks::new(), Chunks::new());
        let mut list = labels(0..20_000);
        cut(list.clone(), &mut before).unwrap();
        list.insert(7_000, Label { key: "new".into(), value: String::new() });
        let digests = cut(list.clone(), &mut after).unwrap();
        let written = after.keys().filter(|digest| !before.contains_key(digest)).count();
        assert!(before.len() > 20, "the list is long enough to say something: {} chunks", before.len());
        assert!((1..=2).contains(&written), "{written} chunks written");
        assert_eq!(join::<Label>(&digests, &after).unwrap(), list);
    }

    #[test]
    fn chunks_are_bounded_even_where_no_entry_ends_one() {
        // The same entry again and again: it ends a chunk always or never. This one never does.
        let entry = (0..)
            .map(|n| Label { key: format!("k{n}"), value: String::new() })
            .find(|label| !ends_chunk(&label.encode_length_delimited_to_vec()))
            .unwrap();
        let mut chunks = Chunks::new();
        let digests = cut(std::iter::repeat_n(entry, 200_000), &mut chunks).unwrap();
        assert!(digests.len() > 3);
        assert!(chunks.values().all(|chunk| chunk.len() <= MAX_CHUNK_BYTES));
    }

    #[test]
    fn a_chunk_with_other_content_than_its_digest_is_refused() {
        let mut chunks = Chunks::new();
        let digests = cut(labels(0..3), &mut chunks).unwrap();
        let chunk = chunks.get_mut(&digests[0]).unwrap();
        chunk[5] ^= 1;
        let found = Digest::of(chunk);
        assert_eq!(join::<Label>(&digests, &chunks), Err(ChunkError::Corrupt { digest: digests[0], found }));
        chunks.clear();
        assert_eq!(join::<Label>(&digests, &chunks), Err(ChunkError::Missing { digest: digests[0] }));
    }

    #[test]
    fn an_entry_larger_than_a_chunk_is_refused() {
        let label = Label { key: String::new(), value: "x".repeat(MAX_CHUNK_BYTES) };
        let bytes = label.encode_length_delimited_to_vec().len();
        assert_eq!(cut([label], &mut Chunks::new()), Err(ChunkError::EntryTooLarge { bytes }));
    }
}
