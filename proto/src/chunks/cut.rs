//! Cutting a list of messages into chunks, and reading them back.
//!
//! A chunk is a run of length-delimited messages. It ends behind a message whose own bytes say so, never at
//! a fixed count, so inserting one message moves no boundary but those beside it: the other chunks keep their
//! digests, need not be written again, and are shared by all whose lists agree there.

use prost::Message;

use super::{ChunkError, Chunks, MAX_CHUNK_BYTES};
use crate::convert::DecodeError;
use crate::digest::Digest;

/// How large chunks of one kind are. Part of the format, as [`hash`] is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Bytes on average.
    pub target: u64,
    /// Bytes at most.
    pub most: usize,
}

impl Cut {
    /// Of content: a change rewrites some 32 KiB of a long list, and a million addresses are some hundred keys.
    pub(crate) const CONTENT: Self = Self { target: 32 << 10, most: MAX_CHUNK_BYTES };

    /// One entry ends a chunk with a probability of its size over the target size.
    pub(crate) fn ends_behind(self, entry: &[u8]) -> bool {
        hash(entry) % self.target < entry.len() as u64
    }
}

/// A message as it is in a chunk.
pub(crate) fn encode(message: &impl Message, how: Cut) -> Result<Vec<u8>, ChunkError> {
    let entry = message.encode_length_delimited_to_vec();
    if entry.len() > how.most {
        return Err(ChunkError::EntryTooLarge { bytes: entry.len(), limit: how.most });
    }
    Ok(entry)
}

/// Cuts `messages` into chunks, adds them to `chunks`, and returns their digests in order.
pub(crate) fn cut<M: Message>(
    messages: impl IntoIterator<Item = M>,
    how: Cut,
    chunks: &mut Chunks,
) -> Result<Vec<Digest>, ChunkError> {
    let entries = messages.into_iter().map(|message| {
        let entry = encode(&message, how)?;
        let ends = how.ends_behind(&entry);
        Ok((entry, ends))
    });
    cut_entries(entries, how.most, chunks)
}

/// As [`cut`], of messages that are encoded, each with whether a chunk ends behind it; chunks have `most` bytes at most.
pub(super) fn cut_entries<E: AsRef<[u8]>>(
    entries: impl IntoIterator<Item = Result<(E, bool), ChunkError>>,
    most: usize,
    chunks: &mut Chunks,
) -> Result<Vec<Digest>, ChunkError> {
    let mut digests = Vec::new();
    let mut open = Vec::new();
    let mut close = |chunk: &mut Vec<u8>| {
        if !chunk.is_empty() {
            digests.push(chunks.add(std::mem::take(chunk)));
        }
    };
    for entry in entries {
        let (entry, ends) = entry?;
        let entry = entry.as_ref();
        if open.len() + entry.len() > most {
            close(&mut open);
        }
        open.extend_from_slice(entry);
        if ends {
            close(&mut open);
        }
    }
    close(&mut open);
    Ok(digests)
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

/// Goes through the messages of the chunks that `digests` name.
pub(crate) fn each<M: Message + Default>(
    digests: impl IntoIterator<Item = Digest>,
    chunks: &Chunks,
    mut read: impl FnMut(M) -> Result<(), DecodeError>,
) -> Result<(), ChunkError> {
    for digest in digests {
        let mut rest = chunks.expect(digest)?;
        while !rest.is_empty() {
            let message = M::decode_length_delimited(&mut rest).map_err(DecodeError::from);
            message.and_then(&mut read).map_err(|source| ChunkError::Entry { digest, source })?;
        }
    }
    Ok(())
}

/// The messages of the chunks that `digests` name.
pub(crate) fn join<M: Message + Default>(
    digests: impl IntoIterator<Item = Digest>,
    chunks: &Chunks,
) -> Result<Vec<M>, ChunkError> {
    let mut messages = Vec::new();
    each(digests, chunks, |message| {
        messages.push(message);
        Ok(())
    })?;
    Ok(messages)
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
        cut(list.clone(), Cut::CONTENT, &mut before).unwrap();
        list.insert(7_000, Label { key: "new".into(), value: String::new() });
        let digests = cut(list.clone(), Cut::CONTENT, &mut after).unwrap();
        let written = after.digests().filter(|digest| !before.contains(*digest)).count();
        assert!(before.len() > 20, "the list is long enough to say something: {} chunks", before.len());
        assert!((1..=2).contains(&written), "{written} chunks written");
        assert_eq!(join::<Label>(digests, &after).unwrap(), list);
    }

    #[test]
    fn chunks_are_bounded_even_where_no_entry_ends_one() {
        // The same entry again and again: it ends a chunk always or never. This one never does.
        let entry = (0..)
            .map(|n| Label { key: format!("k{n}"), value: String::new() })
            .find(|label| !Cut::CONTENT.ends_behind(&label.encode_length_delimited_to_vec()))
            .unwrap();
        let mut chunks = Chunks::new();
        let digests = cut(std::iter::repeat_n(entry, 200_000), Cut::CONTENT, &mut chunks).unwrap();
        assert!(digests.len() > 3);
        assert!(chunks.iter().all(|(_, chunk)| chunk.len() <= MAX_CHUNK_BYTES));
    }

    #[test]
    fn a_chunk_with_other_content_than_its_digest_is_refused() {
        let mut chunks = Chunks::new();
        let digests = cut(labels(0..3), Cut::CONTENT, &mut chunks).unwrap();
        let digest = digests[0];
        let mut content = chunks.get(digest).unwrap().to_vec();
        content[5] ^= 1;
        let (found, mut damaged) = (Digest::of(&content), Chunks::new());
        assert_eq!(damaged.insert(digest, content), Err(ChunkError::Corrupt { digest, found }));
        assert_eq!(join::<Label>(digests, &damaged), Err(ChunkError::Missing { digest }));
        let (large, limit) = (vec![0; MAX_CHUNK_BYTES + 1], MAX_CHUNK_BYTES);
        assert_eq!(
            damaged.insert(digest, large),
            Err(ChunkError::TooLarge { digest, bytes: limit + 1, limit })
        );
    }

    #[test]
    fn an_entry_larger_than_a_chunk_is_refused() {
        let label = Label { key: String::new(), value: "x".repeat(MAX_CHUNK_BYTES) };
        let bytes = label.encode_length_delimited_to_vec().len();
        let refused = Err(ChunkError::EntryTooLarge { bytes, limit: MAX_CHUNK_BYTES });
        assert_eq!(cut([label], Cut::CONTENT, &mut Chunks::new()), refused);
    }
}
