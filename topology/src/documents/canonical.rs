//! Documents in canonical form: as JSON, and as YAML in the order people write it.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::Document;
use super::decode::FieldSpec;
use super::kinds;
use super::tree::{Node, Typed, Value};

/// A tree as JSON, keys sorted.
pub(crate) fn json(node: &Node) -> Json {
    match &node.value {
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => {
            let sorted: BTreeMap<&str, &Node> =
                entries.iter().map(|entry| (&*entry.key, &entry.node)).collect();
            sorted.into_iter().map(|(key, node)| (key.to_owned(), json(node))).collect::<Map<_, _>>().into()
        }
        Value::Scalar { .. } | Value::Broken => match node.typed() {
            Some(Typed::Bool(value)) => value.into(),
            Some(Typed::Int(value)) => value.into(),
            Some(Typed::Float(value)) => value.into(),
            Some(Typed::Text(text)) => text.into(),
            Some(Typed::Null) | None => Json::Null,
        },
    }
}

/// A document as YAML. Equal content gives equal text, whatever the author's layout was.
pub fn to_yaml(document: &Document) -> String {
    let mut text = String::new();
    block(&document.content, 0, Keys::Fields, &mut text);
    text
}

/// How the keys of a map are sorted.
#[derive(Clone, Copy)]
enum Keys {
    /// As declared.
    Fields,
    /// By the alphabet: they are labels.
    Labels,
}

/// Entries in the order of the first record that declares all their keys.
fn sorted(map: &Map<String, Json>, keys: Keys) -> Vec<(&String, &Json)> {
    let mut entries: Vec<_> = map.iter().collect();
    let position = |record: &[FieldSpec], key: &str| record.iter().position(|field| field.key == key);
    let knows_all = |record: &&[FieldSpec]| map.keys().all(|key| position(record, key).is_some());
    let record = match keys {
        Keys::Fields => kinds::records().into_iter().find(knows_all),
        Keys::Labels => None,
    };
    entries.sort_by_key(|(key, _)| (record.and_then(|record| position(record, key)), *key));
    entries
}

fn keys_below(key: &str) -> Keys {
    if matches!(key, "labels" | "matchLabels") { Keys::Labels } else { Keys::Fields }
}

/// Writes a map or list as a block at `indent`; the first line is not indented by it.
fn block(value: &Json, indent: usize, keys: Keys, text: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Json::Object(map) if !map.is_empty() => {
            for (index, (key, value)) in sorted(map, keys).into_iter().enumerate() {
                text.push_str(if index == 0 { "" } else { &pad });
                text.push_str(&scalar(key));
                text.push(':');
                below(value, indent, keys_below(key), text);
            }
        }
        Json::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { &pad });
                text.push_str("- ");
                // Labels are a map; a list of that name has records.
                block(item, indent + 2, Keys::Fields, text);
            }
        }
        leaf => {
            text.push_str(&flow(leaf));
            text.push('\n');
        }
    }
}

/// Writes the value of a key: small ones on its line, others as a block below.
fn below(value: &Json, indent: usize, keys: Keys, text: &mut String) {
    let is_block = match value {
        Json::Object(map) => !map.is_empty(),
        Json::Array(items) => !items.is_empty(),
        _ => false,
    };
    if is_block {
        text.push('\n');
        text.push_str(&" ".repeat(indent + 2));
        block(value, indent + 2, keys, text);
    } else {
        text.push(' ');
        text.push_str(&flow(value));
        text.push('\n');
    }
}

fn flow(value: &Json) -> String {
    match value {
        Json::String(text) => scalar(text),
        Json::Array(_) => "[]".to_owned(),
        Json::Object(_) => "{}".to_owned(),
        other => other.to_string(),
    }
}

/// Text bare where YAML reads it back as the same text, in double quotes (as in JSON) elsewhere.
fn scalar(text: &str) -> String {
    let plain_first = |c: char| c.is_ascii_alphanumeric();
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ' ' | ',' | '(' | ')');
    let is_plain = text.starts_with(plain_first)
        && text.chars().all(plain)
        && !text.ends_with(' ')
        && matches!(super::tree::plain(text), Typed::Text(_));
    if is_plain { text.to_owned() } else { Json::from(text).to_string() }
}
