//! Trees → typed values. What a record may hold is declared once, with [`record!`]; both decoding and the JSON
//! Schema follow the declaration.

use serde_json::{Value as Json, json};

use super::codes::Code;
use super::constraint::Constraint;
use super::schema::Definitions;
use super::sink::{Sink, quoted, suggestion};
use super::tree::{Entry, Node, Span, Typed, Value};

/// A type that can be read from a tree. Failing, it has said why to the sink.
pub(crate) trait Decode: Sized {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self>;
    fn schema(definitions: &mut Definitions) -> Json;
}

/// What is declared of a field.
#[derive(Debug)]
pub(crate) struct FieldSpec {
    pub(crate) key: &'static str,
    pub(crate) presence: Presence,
    pub(crate) doc: &'static str,
    /// What to do about it where it is missing or empty.
    pub(crate) hint: Option<&'static str>,
}

/// Whether a field must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    Optional,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// What a document says of a field.
#[derive(Debug)]
pub(crate) enum Field<T> {
    Absent,
    /// Written, and wrong; the error is reported.
    Wrong,
    Given(Located<T>),
}

impl<T> Field<T> {
    pub(crate) fn given(&self) -> Option<&Located<T>> {
        match self {
            Self::Given(located) => Some(located),
            Self::Absent | Self::Wrong => None,
        }
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.given().map(|located| &located.value)
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value, or `default` where nothing is written; `None` where what is written is wrong.
    pub(crate) fn or(&self, default: T) -> Option<T>
    where
        T: Clone,
    {
        match self {
            Self::Absent => Some(default),
            Self::Wrong => None,
            Self::Given(located) => Some(located.value.clone()),
        }
    }
}

/// A list of between `MIN` and `MAX` items. Items that are wrong are left out.
#[derive(Debug)]
pub(crate) struct List<T, const MIN: usize, const MAX: usize>(pub(crate) Vec<Located<T>>);

impl<T: Decode, const MIN: usize, const MAX: usize> Decode for List<T, MIN, MAX> {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let Value::List(items) = &node.value else {
            return wrong_type(node, field, "a list", None, sink);
        };
        if items.len() < MIN {
            let message = match items.len() {
                0 => format!("`{}` is empty", field.key),
                fewer => format!("`{}` has {fewer} of at least {MIN} entries", field.key),
            };
            sink.error(Code::EmptyList, node.span, message, field.hint.map(str::to_owned));
            return None;
        }
        within(items.len(), MAX, field, node.span, sink)?;
        let decode =
            |item: &Node| T::decode(item, field, sink).map(|value| Located { value, span: item.span });
        Some(Self(items.iter().filter_map(decode).collect()))
    }

    fn schema(definitions: &mut Definitions) -> Json {
        json!({"type": "array", "items": T::schema(definitions), "minItems": MIN, "maxItems": MAX})
    }
}

/// Reports more than `most` of something.
pub(crate) fn within(
    count: usize,
    most: usize,
    field: &FieldSpec,
    span: Span,
    sink: &mut Sink<'_>,
) -> Option<()> {
    if count <= most {
        return Some(());
    }
    let message = format!("`{}` has {count} entries, at most {most} are allowed", field.key);
    sink.error(Code::TooMany, span, message, None);
    None
}

/// Reports that `node` is not `expected`.
pub(crate) fn wrong_type<T>(
    node: &Node,
    field: &FieldSpec,
    expected: &str,
    help: Option<String>,
    sink: &mut Sink<'_>,
) -> Option<T> {
    not_a(node, quoted(field.key), expected, help, sink)
}

/// Reports that `node`, which is `subject`, is not `expected`.
pub(crate) fn not_a<T>(
    node: &Node,
    subject: impl std::fmt::Display,
    expected: &str,
    help: Option<String>,
    sink: &mut Sink<'_>,
) -> Option<T> {
    if !matches!(node.value, Value::Broken) {
        let message = format!("{subject} must be {expected}, not {}", node.describe());
        sink.error(Code::WrongType, node.span, message, help);
    }
    None
}

/// The text of a node that must be text; says how to write one that YAML reads as something else.
pub(crate) fn text<'n>(
    node: &'n Node,
    field: &FieldSpec,
    what: &str,
    sink: &mut Sink<'_>,
) -> Option<&'n str> {
    text_of(node, field.key, what, sink)
}

/// As [`text`], for a key that is not declared.
pub(crate) fn text_of<'n>(node: &'n Node, key: &str, what: &str, sink: &mut Sink<'_>) -> Option<&'n str> {
    if let Some(Typed::Text(text)) = node.typed() {
        return Some(text);
    }
    let help = match (&node.value, node.typed()) {
        (Value::Scalar { text, .. }, Some(Typed::Bool(_) | Typed::Int(_) | Typed::Float(_))) => {
            Some(format!("write it in quotes: \"{text}\""))
        }
        _ => None,
    };
    not_a(node, quoted(key), what, help, sink)
}

/// Reads a value that must be one of a few words.
pub(crate) fn choice<T: Copy>(
    node: &Node,
    field: &FieldSpec,
    choices: &[(&'static str, T)],
    sink: &mut Sink<'_>,
) -> Option<T> {
    let words = || choices.iter().map(|(word, _)| *word);
    let expected = format!("one of {}", words().map(quoted).collect::<Vec<_>>().join(", "));
    let text = match node.typed() {
        Some(Typed::Text(text)) => text,
        _ => return wrong_type(node, field, &expected, None, sink),
    };
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let message = format!("{} is no `{}`: it is {expected}", quoted(text), field.key);
    let folded = words().find(|word| word.eq_ignore_ascii_case(text));
    let help = match folded {
        Some(word) => Some(format!("write {}", quoted(word))),
        None => suggestion(text, words()).filter(|help| help.starts_with("did")),
    };
    sink.error(Code::UnknownValue, node.span, message, help);
    None
}

/// A map that is being read as a record.
pub(crate) struct Record<'n> {
    node: &'n Node,
    specs: &'static [FieldSpec],
}

impl<'n> Record<'n> {
    /// Checks the keys of `node` against the declaration.
    pub(crate) fn open(
        node: &'n Node,
        field: &FieldSpec,
        specs: &'static [FieldSpec],
        constraints: &'static [Constraint],
        sink: &mut Sink<'_>,
    ) -> Option<Self> {
        let Some(entries) = node.entries() else {
            return wrong_type(node, field, "a map", None, sink);
        };
        for entry in entries {
            if !specs.iter().any(|spec| spec.key == &*entry.key) {
                unknown_field(entry, specs, sink);
            }
        }
        for spec in specs {
            if spec.presence == Presence::Required && node.get(spec.key).is_none() {
                let message = format!("`{}` is missing", spec.key);
                let help = spec.hint.unwrap_or(spec.doc).trim().to_owned();
                sink.error(Code::MissingField, node.span, message, help);
            }
        }
        for constraint in constraints {
            constraint.check(node, sink);
        }
        Some(Self { node, specs })
    }

    /// Reads the field `key`.
    pub(crate) fn field<T: Decode>(&self, key: &str, sink: &mut Sink<'_>) -> Field<T> {
        let Some(spec) = self.specs.iter().find(|spec| spec.key == key) else { return Field::Absent };
        let Some(Entry { node, .. }) = self.node.get(key) else { return Field::Absent };
        T::decode(node, spec, sink)
            .map_or(Field::Wrong, |value| Field::Given(Located { value, span: node.span }))
    }
}

fn unknown_field(entry: &Entry, specs: &[FieldSpec], sink: &mut Sink<'_>) {
    let message = format!("unknown field {}", quoted(&entry.key));
    let help = suggestion(&entry.key, specs.iter().map(|spec| spec.key));
    sink.error(Code::UnknownField, entry.key_span, message, help);
}
