//! Labels.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::super::codes::Code as Finding;
use super::super::decode::{Decode, FieldSpec, Located, text, text_of, within, wrong_type};
use super::super::limits;
use super::super::schema::Definitions;
use super::super::sink::Sink;
use super::super::tree::{Node, Span, Value};
use crate::claims::LabelScope;
use crate::labels::{LabelError, LabelKey, LabelValue, Labels, MAX_LABEL_KEY, MAX_LABEL_VALUE};

impl Decode for LabelKey {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let text = text(node, field, "a label key", sink)?;
        label_key(text, node, sink)
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "minLength": 1, "maxLength": MAX_LABEL_KEY, "not": {"pattern": "^selvedge\\.io/"}})
    }
}

impl Decode for LabelScope {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let text = text(node, field, "a label key or a prefix of some", sink)?;
        good(text.parse(), node, sink)
    }

    fn schema(definitions: &mut Definitions) -> Json {
        LabelKey::schema(definitions)
    }
}

fn label_key(text: &str, node: &Node, sink: &mut Sink<'_>) -> Option<LabelKey> {
    good(LabelKey::from_document(text), node, sink)
}

/// What was read, or the error reported.
fn good<T>(read: Result<T, LabelError>, node: &Node, sink: &mut Sink<'_>) -> Option<T> {
    read.map_err(|error| sink.error(Finding::BadLabel, node.span, error.to_string(), None)).ok()
}

impl Decode for LabelValue {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        label_value(node, field.key, sink)
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "maxLength": MAX_LABEL_VALUE, "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"})
    }
}

fn label_value(node: &Node, key: &str, sink: &mut Sink<'_>) -> Option<LabelValue> {
    let text = text_of(node, key, "a label value", sink)?;
    good(text.parse(), node, sink)
}

/// Labels, or labels to match.
#[derive(Clone, Debug)]
pub(crate) struct LabelMap(pub(crate) BTreeMap<LabelKey, WrittenLabel>);

/// The value of a label, and where key and value stand.
#[derive(Clone, Debug)]
pub(crate) struct WrittenLabel {
    pub(crate) key: Span,
    pub(crate) value: Located<LabelValue>,
}

impl LabelMap {
    /// The labels, wherever they stand.
    pub(crate) fn labels(&self) -> Labels {
        Labels(self.0.iter().map(|(key, label)| (key.clone(), label.value.value.clone())).collect())
    }
}

impl Decode for LabelMap {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            return wrong_type(node, field, "a map of labels", None, sink);
        };
        within(entries.len(), limits::LABELS, field, node.span, sink)?;
        let mut labels = BTreeMap::new();
        let mut all_good = true;
        for entry in entries {
            let at_key = Node { span: entry.key_span, value: Value::Broken };
            let key = label_key(&entry.key, &at_key, sink);
            let value = label_value(&entry.node, &entry.key, sink);
            match key.zip(value) {
                Some((key, value)) => {
                    let value = Located { value, span: entry.node.span };
                    labels.insert(key, WrittenLabel { key: entry.key_span, value });
                }
                None => all_good = false,
            }
        }
        all_good.then_some(Self(labels))
    }

    fn schema(definitions: &mut Definitions) -> Json {
        json!({
            "type": "object", "maxProperties": limits::LABELS,
            "propertyNames": LabelKey::schema(definitions), "additionalProperties": LabelValue::schema(definitions),
        })
    }
}
