//! Labels.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::super::codes::Code as Finding;
use super::super::decode::{Decode, FieldSpec, text, text_of, within, wrong_type};
use super::super::limits;
use super::super::schema::Definitions;
use super::super::sink::Sink;
use super::super::tree::{Node, Value};
use crate::labels::{LabelKey, LabelValue, Labels, MAX_LABEL_KEY, MAX_LABEL_VALUE};

impl Decode for LabelKey {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let text = text(node, field, "a label key", sink)?;
        label_key(text, node, sink)
    }

    fn schema(_: &mut Definitions) -> Json {
        json!({"type": "string", "minLength": 1, "maxLength": MAX_LABEL_KEY, "not": {"pattern": "^selvedge\\.io/"}})
    }
}

fn label_key(text: &str, node: &Node, sink: &mut Sink<'_>) -> Option<LabelKey> {
    match LabelKey::from_document(text) {
        Ok(key) => Some(key),
        Err(error) => {
            sink.error(Finding::BadLabel, node.span, error.to_string(), None);
            None
        }
    }
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
    match text.parse::<LabelValue>() {
        Ok(value) => Some(value),
        Err(error) => {
            sink.error(Finding::BadLabel, node.span, error.to_string(), None);
            None
        }
    }
}

/// Labels, or labels to match.
#[derive(Clone, Debug)]
pub(crate) struct LabelMap(pub(crate) Labels);

impl Decode for LabelMap {
    fn decode(node: &Node, field: &FieldSpec, sink: &mut Sink<'_>) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            return wrong_type(node, field, "a map of labels", None, sink);
        };
        within(entries.len(), limits::LABELS, field, node.span, sink)?;
        let mut labels = BTreeMap::new();
        let mut good = true;
        for entry in entries {
            let at_key = Node { span: entry.key_span, value: Value::Broken };
            let key = label_key(&entry.key, &at_key, sink);
            let value = label_value(&entry.node, &entry.key, sink);
            match key.zip(value) {
                Some((key, value)) => drop(labels.insert(key, value)),
                None => good = false,
            }
        }
        good.then_some(Self(Labels(labels)))
    }

    fn schema(definitions: &mut Definitions) -> Json {
        json!({
            "type": "object", "maxProperties": limits::LABELS,
            "propertyNames": LabelKey::schema(definitions), "additionalProperties": LabelValue::schema(definitions),
        })
    }
}
