//! From files to what can be said of them.

use std::str::FromStr;

use super::codes::Code;
use super::decode::{Decode, Field, Located, Record, not_a, text};
use super::kinds::{self, API_VERSION, ENVELOPE, Kind, Metadata};
use super::scalars::Name;
use super::sink::{Sink, quoted, suggestion};
use super::tree::{Entry, Node, Span, Typed};
use super::validate::{self, Decoded, Named};
use super::{Document, Loaded, SourceFile, canonical, limits, parse};
use crate::lint;

/// Reads documents from files, in any order. Every error is reported, not the first only, up to
/// [`limits::FINDINGS`]; where there is none, there is a model, and the warnings that [`crate::lint`] has.
///
/// Memory is bounded by [`limits`] however the files are made.
pub fn load(files: &[SourceFile]) -> Loaded {
    let mut sink = Sink::new(files);
    let mut reader = Reader::default();
    let mut total = 0_usize;
    for (index, file) in files.iter().enumerate() {
        total = total.saturating_add(file.text.len());
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        if refuse_size(file, index, total, &mut sink) {
            sink.lose_documents();
            continue;
        }
        parse::documents(index, &file.text, &mut sink, |root, sink| reader.document(root, sink));
    }
    let Reader { decoded, mut documents } = reader;
    let model = validate::validate(decoded, &mut sink);
    let lints = model.as_ref().map(lint::lint).unwrap_or_default();
    documents.sort_by(|a, b| (a.0, &a.1.name, &a.1.place).cmp(&(b.0, &b.1.name, &b.1.place)));
    let documents = documents.into_iter().map(|(_, document)| document).collect();
    Loaded { model, documents, diagnostics: sink.finish(lints) }
}

/// Reports a file that is too large, or the one that makes all files too large together.
fn refuse_size(file: &SourceFile, index: u32, total: usize, sink: &mut Sink<'_>) -> bool {
    let span = Span { file: index, line: 1, column: 1, width: 1 };
    let mebibytes = |bytes: usize| bytes >> 20;
    if file.text.len() > limits::FILE_BYTES {
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

/// Takes in documents one by one; their trees are not kept.
#[derive(Default)]
struct Reader {
    decoded: Decoded,
    documents: Vec<(Kind, Document)>,
}

impl Reader {
    fn document(&mut self, root: &Node, sink: &mut Sink<'_>) {
        if root.typed() == Some(Typed::Null) {
            // `---` with nothing after it.
            return;
        }
        if root.entries().is_none() {
            not_a::<()>(root, "a document", "a map", None, sink);
            return sink.lose_documents();
        }
        let read = envelope(root, sink).and_then(|envelope| self.decode(&envelope, root, sink));
        if read.is_none() {
            // It is unknown what the document would have been, so references to it can't be judged.
            sink.lose_documents();
        }
    }

    /// Reads `spec`, and keeps what can be kept.
    fn decode(&mut self, envelope: &Envelope<'_>, root: &Node, sink: &mut Sink<'_>) -> Option<()> {
        fn push<N: FromStr, T: Decode>(
            list: &mut Vec<Named<N, T>>,
            envelope: &Envelope<'_>,
            sink: &mut Sink<'_>,
        ) -> Option<()> {
            // Read even where there is no name: all errors at once.
            let spec = T::decode(&envelope.spec.node, &ENVELOPE[3], sink)?;
            let name = envelope.name.as_ref()?;
            let name = Located { value: name.value.0.parse().ok()?, span: name.span };
            list.push(Named { name, description: envelope.description.clone(), spec });
            Some(())
        }
        let decoded = &mut self.decoded;
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
        self.documents.push((envelope.kind, document));
        Some(())
    }
}

/// What every document has.
struct Envelope<'n> {
    kind: Kind,
    name: Option<Located<Name>>,
    description: String,
    spec: &'n Entry,
}

fn envelope<'n>(root: &'n Node, sink: &mut Sink<'_>) -> Option<Envelope<'n>> {
    let record = Record::open(root, &ENVELOPE[3], ENVELOPE, &[], sink)?;
    api_version(root, sink);
    let kind = root.get("kind").and_then(|entry| kind(&entry.node, sink));
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

fn kind(node: &Node, sink: &mut Sink<'_>) -> Option<Kind> {
    let text = text(node, &ENVELOPE[1], "a kind of document", sink)?;
    let known = kinds::ALL.into_iter().find(|kind| kind.word() == text);
    if known.is_none() {
        let message = format!("there is no kind {}", quoted(text));
        sink.error(
            Code::UnknownKind,
            node.span,
            message,
            suggestion(text, kinds::ALL.iter().map(|kind| kind.word())),
        );
    }
    known
}
