//! Documents as chunks, and what of that a change cuts again.

use std::collections::BTreeMap;
use std::iter::from_fn;
use std::ops::Bound;

use selvedge_topology::documents::Excerpt;

use crate::chunks::{ChunkError, Chunks, Cut, cut, encode, hash};
use crate::digest::Digest;
use crate::wire;

/// Most bytes of a document in one message.
const PART_BYTES: usize = 16 << 10;
/// Bytes, on average, of the parts of a document that takes several. Part of the format.
const PART_TARGET: u64 = 8 << 10;

/// The documents of a generation as chunks, in the order of their keys.
///
/// Where a chunk ends is decided by what is in it and by the document behind it, and by nothing before it. So a change is cut from
/// the chunk before it on, and only until a boundary falls where there was one: what comes of it is what cutting everything gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources<K> {
    /// By the first document: the chunk of it and those behind it, or all chunks of one that is too large to share one.
    runs: BTreeMap<K, Vec<Digest>>,
}

impl<K: Ord + Clone> Sources<K> {
    /// Cuts all documents, which are sorted by their keys.
    pub fn cut<'d>(
        documents: impl IntoIterator<Item = (&'d K, &'d Excerpt)>,
    ) -> Result<(Self, Chunks), ChunkError>
    where
        K: 'd,
    {
        let mut chunks = Chunks::new();
        let mut cutter = Cutter::new(&mut chunks);
        for (key, excerpt) in documents {
            let content = Content::of(excerpt)?;
            cutter.make_room(&content);
            cutter.take(key, content)?;
        }
        let runs = cutter.end().into_iter().collect();
        Ok((Self { runs }, chunks))
    }

    /// Cuts what has to be cut again now that the documents `changed`, sorted, were written or removed. `from` gives the documents
    /// from one on, or all of them. The chunks are those that were cut; they may have been there before.
    pub fn change<'d, I: Iterator<Item = (&'d K, &'d Excerpt)>>(
        &self,
        changed: impl IntoIterator<Item = &'d K>,
        from: impl Fn(Option<&K>) -> I,
    ) -> Result<(Self, Chunks), ChunkError>
    where
        K: 'd,
    {
        let (mut runs, mut chunks) = (self.runs.clone(), Chunks::new());
        let mut changed = changed.into_iter().peekable();
        while let Some(mut reached) = changed.next() {
            // Of a chunk that begins with the document, the one before may have ended because of it.
            let first = self.runs.range::<K, _>(..reached).next_back().map(|(first, _)| first);
            let mut cutter = Cutter::new(&mut chunks);
            let mut behind = Bound::Unbounded;
            for (key, excerpt) in from(first) {
                while let Some(next) = changed.next_if(|next| *next <= key) {
                    reached = next;
                }
                let content = Content::of(excerpt)?;
                cutter.make_room(&content);
                if cutter.is_between_chunks() && key > reached && self.runs.contains_key(key) {
                    behind = Bound::Excluded(key);
                    break;
                }
                cutter.take(key, content)?;
            }
            let cut = cutter.end();
            let beginning = first.map_or(Bound::Unbounded, Bound::Included);
            for (stale, _) in self.runs.range::<K, _>((beginning, behind)) {
                runs.remove(stale);
            }
            runs.extend(cut);
            if behind == Bound::Unbounded {
                break;
            }
        }
        Ok((Self { runs }, chunks))
    }

    /// The chunks, in order.
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        self.runs.values().flatten().copied()
    }
}

/// A document, ready to be put into chunks.
enum Content {
    /// One message, encoded: others may share its chunk.
    Small(Vec<u8>),
    /// Of several messages, in chunks of its own.
    Large(Vec<wire::SourcePart>),
}

impl Content {
    fn of(Excerpt { file, line, text }: &Excerpt) -> Result<Self, ChunkError> {
        let part =
            |text: &str, line: u32| wire::SourcePart { file: file.to_string(), text: text.to_owned(), line };
        if text.len() <= PART_BYTES {
            return encode(&part(text, *line), Cut::CONTENT).map(Self::Small);
        }
        let lines = [*line].into_iter().chain(std::iter::repeat(0));
        Ok(Self::Large(parts(text).into_iter().zip(lines).map(|(text, line)| part(text, line)).collect()))
    }
}

/// Puts documents into chunks, one after the other.
struct Cutter<'c, K> {
    chunks: &'c mut Chunks,
    runs: Vec<(K, Vec<Digest>)>,
    /// A chunk that has not ended, and its first document.
    open: Option<(K, Vec<u8>)>,
}

impl<'c, K: Clone> Cutter<'c, K> {
    fn new(chunks: &'c mut Chunks) -> Self {
        Self { chunks, runs: Vec::new(), open: None }
    }

    /// Ends the open chunk where `content` can't be in it.
    fn make_room(&mut self, content: &Content) {
        let fits = match (content, &self.open) {
            (Content::Small(entry), Some((_, open))) => open.len() + entry.len() <= Cut::CONTENT.most,
            (Content::Large(_), Some(_)) => false,
            (_, None) => true,
        };
        if !fits {
            self.close();
        }
    }

    fn is_between_chunks(&self) -> bool {
        self.open.is_none()
    }

    /// Takes a document in, for which there is room.
    fn take(&mut self, key: &K, content: Content) -> Result<(), ChunkError> {
        match content {
            Content::Large(parts) => {
                let digests = cut(parts, Cut::CONTENT, self.chunks)?;
                self.runs.push((key.clone(), digests));
            }
            Content::Small(entry) => {
                self.open.get_or_insert_with(|| (key.clone(), Vec::new())).1.extend_from_slice(&entry);
                if Cut::CONTENT.ends_behind(&entry) {
                    self.close();
                }
            }
        }
        Ok(())
    }

    fn close(&mut self) {
        if let Some((first, chunk)) = self.open.take() {
            self.runs.push((first, vec![self.chunks.add(chunk)]));
        }
    }

    fn end(mut self) -> Vec<(K, Vec<Digest>)> {
        self.close();
        self.runs
    }
}

/// Cuts a large document behind lines that say so themselves: an edit moves no boundary but those beside it.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for line in text.split_inclusive('\n').flat_map(stretches) {
        if end + line.len() - begin > PART_BYTES {
            parts.push(&text[begin..end]);
            begin = end;
        }
        end += line.len();
        if hash(line.as_bytes()) % PART_TARGET < line.len() as u64 {
            parts.push(&text[begin..end]);
            begin = end;
        }
    }
    if begin < text.len() {
        parts.push(&text[begin..]);
    }
    parts
}

/// A line in stretches that each fit into one message.
fn stretches(mut line: &str) -> impl Iterator<Item = &str> {
    from_fn(move || {
        let end = (0..=line.len().min(PART_BYTES)).rev().find(|end| line.is_char_boundary(*end))?;
        let (stretch, rest) = line.split_at(end);
        line = rest;
        (!stretch.is_empty()).then_some(stretch)
    })
}
