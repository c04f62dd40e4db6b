//! From files to what can be said of them.

use std::str::FromStr;

use super::codes::Code;
use super::decode::{Decode, Field, Located, Record, not_a, text};
use super::files::{Files, Piece};
use super::kinds::{self, API_VERSION, ENVELOPE, Kind, Metadata, POLICY_TEST};
use super::scalars::Name;
use super::sink::{Sink, quoted, suggestion};
use super::tree::{Entry, Node, Span, Typed};
use super::validate::{self, Decoded, Named, Whole};
use super::{Diagnostic, Document, Excerpt, Loaded, Removal, SourceFile, canonical, limits, parse};
use crate::lint;

/// Reads documents from files, in any order. Every error is reported, not the first only, up to
/// [`limits::FINDINGS`]; where there is none, there is a model, and the warnings that [`crate::lint`] has.
///
/// Memory is bounded by [`limits`] however the files are made.
pub fn load(files: &[SourceFile]) -> Loaded {
    let mut names = Files::default();
    let pieces: Vec<_> = files.iter().map(|file| Piece::of_file(file, &mut names)).collect();
    load_pieces(&names, &pieces)
}

/// Reads documents as [`load`] does, each from where it stood in its file.
pub fn load_excerpts(excerpts: &[Excerpt]) -> Loaded {
    let mut names = Files::default();
    let pieces: Vec<_> = excerpts.iter().map(|excerpt| Piece::of_excerpt(excerpt, &mut names)).collect();
    load_pieces(&names, &pieces)
}

/// The documents in files by kind and name, whatever they refer to; or every error that they have by themselves.
pub fn names(files: &[SourceFile]) -> Result<Vec<Removal>, Vec<Diagnostic>> {
    let mut numbers = Files::default();
    let pieces: Vec<_> = files.iter().map(|file| Piece::of_file(file, &mut numbers)).collect();
    let mut sink = Sink::new(&numbers, pieces.clone());
    let mut found = Vec::new();
    read(&pieces, 0, &mut sink, |_, Document { kind, name, .. }, _| found.push(Removal { kind, name }));
    if sink.has_errors() { Err(sink.finish(Vec::new())) } else { Ok(found) }
}

fn load_pieces(names: &Files, pieces: &[Piece<'_>]) -> Loaded {
    let mut documents = Vec::new();
    let (whole, diagnostics) = whole(names, pieces, |kind, document, _| documents.push((kind, document)));
    documents.sort_by(|a, b| (a.0, &a.1.name, &a.1.place).cmp(&(b.0, &b.1.name, &b.1.place)));
    let documents = documents.into_iter().map(|(_, document)| document).collect();
    Loaded { model: whole.map(|whole| whole.model), documents, diagnostics }
}

/// Reads all documents there are, each of which `keep` gets with its text.
pub(super) fn whole<'t>(
    names: &Files,
    pieces: &[Piece<'t>],
    keep: impl FnMut(Kind, Document, Piece<'t>),
) -> (Option<Whole>, Vec<Diagnostic>) {
    let mut sink = Sink::new(names, pieces.to_vec());
    let decoded = read(pieces, 0, &mut sink, keep);
    let whole = validate::whole(decoded, &mut sink);
    let lints = whole.as_ref().map(|whole| lint::lint(&whole.model)).unwrap_or_default();
    (whole, sink.finish(lints))
}

/// Reads and decodes documents, beside others of `held` bytes. What is wrong is reported and left out.
pub(super) fn read<'t>(
    pieces: &[Piece<'t>],
    held: usize,
    sink: &mut Sink<'_>,
    mut keep: impl FnMut(Kind, Document, Piece<'t>),
) -> Decoded {
    let mut decoded = Decoded::default();
    let mut total = held;
    for piece in pieces {
        total = total.saturating_add(piece.text.len());
        if refuse_size(piece, total, sink) {
            sink.lose_documents();
            continue;
        }
        parse::documents(*piece, sink, |root, text, sink| {
            if let Some((kind, document)) = document(root, &mut decoded, sink) {
                keep(kind, document, text);
            }
        });
    }
    decoded
}

/// Reports a file that is too large, or the one that makes all files too large together.
pub(super) fn refuse_size(piece: &Piece<'_>, total: usize, sink: &mut Sink<'_>) -> bool {
    let span = Span { file: piece.file, line: piece.line, column: 1, width: 1 };
    let mebibytes = |bytes: usize| bytes >> 20;
    if piece.text.len() > limits::FILE_BYTES {
        let message = format!("the file has more than {} MiB", mebibytes(limits::FILE_BYTES));
        sink.error(Code::TooLarge, span, message, "split it into several files".to_owned());
        return true;
    }
    if total > limits::TOTAL_BYTES {
        let message = format!("with this file there are more than {} MiB", mebibytes(limits::TOTAL_BYTES));
        sink.error(Code::TooLarge, span, message, None);
        return true;
    }
    false
}

/// Takes in one document; its tree is not kept.
fn document(root: &Node, decoded: &mut Decoded, sink: &mut Sink<'_>) -> Option<(Kind, Document)> {
    if root.typed() == Some(Typed::Null) {
        // `---` with nothing after it.
        return None;
    }
    if root.entries().is_none() {
        not_a::<()>(root, "a document", "a map", None, sink);
        sink.lose_documents();
        return None;
    }
    let kinds = kinds::ALL.map(|kind| (kind.word(), kind));
    let read = envelope(root, &kinds, sink).and_then(|envelope| decode(&envelope, root, decoded, sink));
    if read.is_none() {
        // It is unknown what the document would have been, so references to it can't be judged.
        sink.lose_documents();
    }
    read
}

/// Reads `spec`, and keeps what can be kept.
fn decode(
    envelope: &Envelope<'_, Kind>,
    root: &Node,
    decoded: &mut Decoded,
    sink: &mut Sink<'_>,
) -> Option<(Kind, Document)> {
    fn push<N: FromStr, T: Decode>(
        list: &mut Vec<Named<N, T>>,
        envelope: &Envelope<'_, Kind>,
        sink: &mut Sink<'_>,
    ) -> Option<()> {
        // Read even where there is no name: all errors at once.
        let spec = T::decode(&envelope.spec.node, &ENVELOPE[3], sink)?;
        let name = envelope.name.as_ref()?;
        let name = Located { value: name.value.0.parse().ok()?, span: name.span };
        list.push(Named { name, description: envelope.description.clone(), spec });
        Some(())
    }
    match envelope.kind {
        Kind::Fabric => push(&mut decoded.fabrics, envelope, sink)?,
        Kind::Workload => push(&mut decoded.workloads, envelope, sink)?,
        Kind::SegmentationPolicy => push(&mut decoded.policies, envelope, sink)?,
        Kind::CidrGroup => push(&mut decoded.groups, envelope, sink)?,
    }
    let document = Document {
        kind: envelope.kind.word().to_owned(),
        name: envelope.name.as_ref()?.value.0.to_string(),
        place: sink.place(root.span),
        content: canonical::json(root),
    };
    Some((envelope.kind, document))
}

/// What every document has.
pub(super) struct Envelope<'n, K> {
    kind: K,
    pub(super) name: Option<Located<Name>>,
    description: String,
    pub(super) spec: &'n Entry,
}

/// Reads what every document has, where it is of one of `kinds`.
pub(super) fn envelope<'n, K: Copy>(
    root: &'n Node,
    kinds: &[(&'static str, K)],
    sink: &mut Sink<'_>,
) -> Option<Envelope<'n, K>> {
    let record = Record::open(root, &ENVELOPE[3], ENVELOPE, &[], sink)?;
    api_version(root, sink);
    let kind = root.get("kind").and_then(|entry| kind(&entry.node, kinds, sink));
    let metadata: Field<Metadata> = record.field("metadata", sink);
    let metadata = metadata.value();
    let description = metadata.and_then(|metadata| metadata.description.value());
    Some(Envelope {
        kind: kind?,
        name: metadata.and_then(|metadata| metadata.name.given()).cloned(),
        description: description.map(|text| text.0.clone()).unwrap_or_default(),
        spec: root.get("spec")?,
    })
}

fn api_version(root: &Node, sink: &mut Sink<'_>) {
    let Some(entry) = root.get("apiVersion") else { return };
    if let Some(version) = text(&entry.node, &ENVELOPE[0], "text", sink)
        && version != API_VERSION
    {
        let message = format!("{} is no version of the language that is understood here", quoted(version));
        sink.error(Code::ApiVersion, entry.node.span, message, format!("write `{API_VERSION}`"));
    }
}

fn kind<K: Copy>(node: &Node, kinds: &[(&'static str, K)], sink: &mut Sink<'_>) -> Option<K> {
    let text = text(node, &ENVELOPE[1], "a kind of document", sink)?;
    let known = kinds.iter().find(|(word, _)| *word == text).map(|(_, kind)| *kind);
    if known.is_none() {
        let message = format!("there is no kind {}", quoted(text));
        let words = kinds.iter().map(|(word, _)| *word);
        // One that is known, in the wrong place.
        let help = if text == POLICY_TEST {
            Some("assertions lie in files of their own, which `selvedge test` takes".to_owned())
        } else if kinds::ALL.iter().any(|kind| kind.word() == text) {
            Some("this is for assertions; `-f` takes the documents that are tested".to_owned())
        } else {
            suggestion(text, words)
        };
        sink.error(Code::UnknownKind, node.span, message, help);
    }
    known
}
