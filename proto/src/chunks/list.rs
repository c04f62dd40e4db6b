//! Long lists of digests, as chunks of their own.

use super::cut::cut_entries;
use super::{ChunkError, Chunks, Cut, each};
use crate::convert::{DecodeError, at_most};
use crate::digest::Digest;
use crate::wire;

/// How lists are cut: where one of a thousand digests changes, what names them is written again in about a kilobyte.
const LISTS: Cut = Cut { target: 1 << 10, most: 8 << 10 };

/// A list of digests by the chunks that hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DigestList(Vec<Digest>);

impl DigestList {
    /// Cuts a list into chunks, which it adds to `chunks`.
    pub(crate) fn cut(
        digests: impl IntoIterator<Item = Digest>,
        chunks: &mut Chunks,
    ) -> Result<Self, ChunkError> {
        let entries = digests.into_iter().map(|digest| (encoded(digest), ends_behind(digest)));
        cut_entries(entries.map(Ok), LISTS.most, chunks).map(Self)
    }

    /// The chunks that hold it.
    pub(crate) fn chunks(&self) -> &[Digest] {
        &self.0
    }

    /// The digests that are on it, in order; no more than `limit`.
    pub(crate) fn read(&self, chunks: &Chunks, limit: usize) -> Result<Vec<Digest>, ChunkError> {
        let mut digests = Vec::new();
        for digest in &self.0 {
            let digest = *digest;
            let bytes = chunks.expect(digest)?.len();
            if bytes > LISTS.most {
                return Err(ChunkError::TooLarge { digest, bytes, limit: LISTS.most });
            }
            let (entries, rest) = chunks.expect(digest)?.as_chunks();
            match entries.iter().map(decoded).collect::<Option<Vec<Digest>>>() {
                Some(names) if rest.is_empty() => digests.extend(names),
                // Written by others than [`encoded`], if at all.
                _ => each([digest], chunks, |wire::ChunkName { digest }| {
                    digests.push(digest.as_slice().try_into()?);
                    Ok(())
                })?,
            }
            if digests.len() > limit {
                return Err(ChunkError::TooMany { digest, limit });
            }
        }
        Ok(digests)
    }

    /// The chunks that hold it, as messages name them.
    pub(crate) fn to_wire(&self) -> Vec<Vec<u8>> {
        digests_to_wire(&self.0)
    }

    /// A list that a message names by no more than `limit` chunks.
    pub(crate) fn from_wire(
        field: &'static str,
        digests: &[Vec<u8>],
        limit: usize,
    ) -> Result<Self, DecodeError> {
        digests_from_wire(field, digests, limit).map(Self)
    }
}

/// Bytes of a [`wire::ChunkName`] with its length before it.
const ENTRY: usize = 35;

/// A [`wire::ChunkName`] with its length before it, as prost writes it: field 1, of 32 bytes.
fn encoded(digest: Digest) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[..3].copy_from_slice(&[ENTRY as u8 - 1, 1 << 3 | 2, 32]);
    entry[3..].copy_from_slice(digest.as_bytes());
    entry
}

/// What [`encoded`] made `entry` of, if it did.
fn decoded(entry: &[u8; ENTRY]) -> Option<Digest> {
    let digest = Digest::try_from(&entry[3..]).ok()?;
    (encoded(digest) == *entry).then_some(digest)
}

/// Whether a chunk ends behind the name of `digest`, as [`Cut::ends_behind`] says; but a digest is as good as random as it is, and a
/// list may have thousands.
fn ends_behind(digest: Digest) -> bool {
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) % LISTS.target < ENTRY as u64
}

/// The digests in one chunk of a list.
pub fn names_in(list: Digest, chunks: &Chunks) -> Result<Vec<Digest>, ChunkError> {
    DigestList(vec![list]).read(chunks, usize::MAX)
}

/// Digests as messages carry them.
pub(crate) fn digests_to_wire(digests: &[Digest]) -> Vec<Vec<u8>> {
    digests.iter().map(|digest| (*digest).into()).collect()
}

/// No more than `limit` digests that a message carries.
pub(crate) fn digests_from_wire(
    field: &'static str,
    digests: &[Vec<u8>],
    limit: usize,
) -> Result<Vec<Digest>, DecodeError> {
    at_most(field, digests.len(), limit)?;
    digests.iter().map(|digest| digest.as_slice().try_into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(range: std::ops::Range<u32>) -> Vec<Digest> {
        range.map(|number| Digest::of(&number.to_be_bytes())).collect()
    }

    #[test]
    fn an_entry_is_what_prost_makes_of_it() {
        for digest in digests(0..10) {
            let message = wire::ChunkName { digest: digest.into() };
            assert_eq!(encoded(digest).as_slice(), prost::Message::encode_length_delimited_to_vec(&message));
        }
    }

    #[test]
    fn a_list_is_read_as_it_was_and_a_change_of_one_digest_writes_a_kilobyte_or_two() {
        let (mut before, mut after) = (Chunks::new(), Chunks::new());
        let mut names = digests(0..4_000);
        let list = DigestList::cut(names.iter().copied(), &mut before).unwrap();
        assert_eq!(list.read(&before, names.len()), Ok(names.clone()));
        assert!((100..200).contains(&list.chunks().len()), "{} chunks", list.chunks().len());
        let (mut written, changes) = (0, 40);
        for change in 0..changes {
            names[change * 97] = Digest::of(format!("change {change}").as_bytes());
            let list = DigestList::cut(names.iter().copied(), &mut after).unwrap();
            let new: Vec<_> = after.iter().filter(|(digest, _)| !before.contains(*digest)).collect();
            written += new.iter().map(|(_, chunk)| chunk.len()).sum::<usize>();
            assert!((1..=2).contains(&new.len()), "{} chunks for change {change}", new.len());
            before = std::mem::take(&mut after);
            assert_eq!(list.read(&before, names.len()), Ok(names.clone()));
        }
        assert!(written / changes < 3 << 10, "{written} bytes for {changes} changes");
    }

    #[test]
    fn a_list_that_is_too_long_or_too_large_is_refused() {
        let mut chunks = Chunks::new();
        let list = DigestList::cut(digests(0..1_000), &mut chunks).unwrap();
        let last = *list.chunks().last().unwrap();
        assert_eq!(list.read(&chunks, 999), Err(ChunkError::TooMany { digest: last, limit: 999 }));
        let bytes = vec![0; LISTS.most + 1];
        let digest = chunks.add(bytes);
        let large = ChunkError::TooLarge { digest, bytes: LISTS.most + 1, limit: LISTS.most };
        assert_eq!(DigestList(vec![digest]).read(&chunks, 1_000), Err(large));
        let wire = list.to_wire();
        let most = list.chunks().len();
        assert_eq!(DigestList::from_wire("lists", &wire, most), Ok(list));
        assert!(DigestList::from_wire("lists", &wire, most - 1).is_err());
    }
}
