//! The documents of a fabric and the model they make, kept so that a change costs what it changes.

mod change;
mod lockouts;
mod undo;

use std::collections::BTreeMap;
use std::ops::Bound;

use sha2::{Digest, Sha256};

use super::files::{Files, Piece};
use super::kinds::Kind;
use super::load::whole;
use super::validate::{Held, Whole};
use super::{Diagnostic, Document, Excerpt, Key, SourceFile, load_excerpts};
use crate::model::Model;
use crate::rules::Numbers;

pub use change::Removal;
pub use undo::Changed;

/// The documents of a fabric, all valid together, and the model that they make.
///
/// [`Registry::change`] judges some documents beside all others without reading those again; what comes of it is what
/// [`crate::documents::load`] makes of all of them.
#[derive(Debug)]
pub struct Registry {
    model: Model,
    held: Held,
    numbers: Numbers,
    documents: BTreeMap<Key, Entry>,
    files: Files,
    /// Of all texts.
    bytes: usize,
    /// Files of what the last change replaced, which that change might still need.
    retired: Vec<u32>,
}

/// A document that is held.
#[derive(Debug)]
struct Entry {
    excerpt: Excerpt,
    /// The number of its file.
    file: u32,
    /// Of its canonical form.
    digest: [u8; 32],
}

impl Entry {
    /// The document, read again; `None` for what was never held.
    fn document(&self) -> Option<Document> {
        load_excerpts(std::slice::from_ref(&self.excerpt)).documents.into_iter().next()
    }
}

/// A document that was read, before it is known whether it is held.
struct Candidate<'t> {
    key: Key,
    text: Piece<'t>,
    digest: [u8; 32],
}

impl<'t> Candidate<'t> {
    fn new(kind: Kind, document: &Document, text: Piece<'t>) -> Self {
        let digest = Sha256::digest(document.content.to_string()).into();
        Self { key: Key::new(kind, &document.name), text, digest }
    }

    fn enter(self, files: &mut Files) -> (Key, Entry) {
        let Self { key, text: Piece { file, line, text }, digest } = self;
        files.stay(file);
        (key, Entry { excerpt: Excerpt { file: files.name(file), line, text: text.into() }, file, digest })
    }
}

impl Registry {
    /// Reads documents from files, in any order: as [`crate::documents::load`], with all findings where it fails and the warnings
    /// where it does not.
    pub fn read(files: &[SourceFile]) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut names = Files::default();
        let pieces: Vec<_> = files.iter().map(|file| Piece::of_file(file, &mut names)).collect();
        Self::of_pieces(names, &pieces)
    }

    /// Reads documents back that [`Registry::excerpts`] gave.
    pub fn read_excerpts(excerpts: &[Excerpt]) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut names = Files::default();
        let pieces: Vec<_> = excerpts.iter().map(|excerpt| Piece::of_excerpt(excerpt, &mut names)).collect();
        Self::of_pieces(names, &pieces)
    }

    fn of_pieces(mut files: Files, pieces: &[Piece<'_>]) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut read = Vec::new();
        let entered: Vec<u32> = pieces.iter().map(|piece| piece.file).collect();
        let (whole, diagnostics) =
            whole(&files, pieces, |kind, document, text| read.push(Candidate::new(kind, &document, text)));
        let Some(Whole { model, held, numbers }) = whole else { return Err(diagnostics) };
        let documents: BTreeMap<Key, Entry> =
            read.into_iter().map(|candidate| candidate.enter(&mut files)).collect();
        entered.into_iter().for_each(|file| files.leave(file));
        let bytes = documents.values().map(|entry| entry.excerpt.text.len()).sum();
        Ok((Self { model, held, numbers, documents, files, bytes, retired: Vec::new() }, diagnostics))
    }

    /// What the documents mean.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The texts of all documents, by kind and name.
    pub fn excerpts(&self) -> impl ExactSizeIterator<Item = &Excerpt> {
        self.documents.values().map(|entry| &entry.excerpt)
    }

    /// The texts of documents from `first` on, by kind and name; of all where there is none.
    pub fn excerpts_from<'r>(
        &'r self,
        first: Option<&Key>,
    ) -> impl Iterator<Item = (&'r Key, &'r Excerpt)> + use<'r> {
        let from = first.map_or(Bound::Unbounded, Bound::Included);
        self.documents.range::<Key, _>((from, Bound::Unbounded)).map(|(key, entry)| (key, &entry.excerpt))
    }

    /// All documents, by kind and name.
    pub fn documents(&self) -> impl Iterator<Item = Document> {
        self.documents.values().filter_map(Entry::document)
    }

    /// The documents whose content is not what it is in `after`: as they are here, and as they are there.
    pub fn differing(&self, after: &Self) -> (Vec<Document>, Vec<Document>) {
        let only = |of: &Self, beside: &Self| -> Vec<Document> {
            of.differing_keys(beside).filter_map(|key| of.documents.get(key)?.document()).collect()
        };
        (only(self, after), only(after, self))
    }

    /// The documents here that are not there, or not with the same content.
    fn differing_keys<'r>(&'r self, other: &'r Self) -> impl Iterator<Item = &'r Key> {
        let digest = move |key: &Key| other.documents.get(key).map(|entry| entry.digest);
        let differs = move |(key, entry): &(&Key, &Entry)| digest(key) != Some(entry.digest);
        self.documents.iter().filter(differs).map(|(key, _)| key)
    }
}
