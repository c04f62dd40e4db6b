//! Rules between the fields of a record: checked in documents, and said in the JSON Schema.

use serde_json::{Value as Json, json};

use super::codes::Code;
use super::sink::{Sink, quoted};
use super::tree::{Entry, Node, Typed};

/// A rule between the fields of a record.
#[derive(Debug)]
pub(crate) enum Constraint {
    /// Exactly one of these is written.
    OneOf(&'static [&'static str]),
    /// At least one of these is written; the text says why.
    AnyOf(&'static [&'static str], &'static str),
    /// The first needs the second.
    Needs(&'static str, &'static str),
    /// Where the first is a number, the second is required; the text says how to write it.
    NumberNeeds(&'static str, &'static str, &'static str),
    /// Where the field has one of the values, some fields are required and some are not allowed.
    When {
        field: &'static str,
        values: &'static [&'static str],
        requires: &'static [&'static str],
        forbids: &'static [&'static str],
    },
}

impl Constraint {
    pub(crate) fn check(&self, node: &Node, sink: &mut Sink<'_>) {
        let listed = |keys: &[&str]| keys.iter().map(|key| quoted(key)).collect::<Vec<_>>().join(", ");
        match self {
            Self::OneOf(keys) => {
                let given: Vec<&Entry> = keys.iter().filter_map(|key| node.get(key)).collect();
                match given.as_slice() {
                    [_] => {}
                    [] => {
                        let message = format!("one of {} is missing", listed(keys));
                        sink.error(Code::MissingField, node.span, message, None);
                    }
                    [first, second, ..] => {
                        let message = format!("`{}` and `{}` exclude each other", first.key, second.key);
                        let help = "write two entries of the list, one for each".to_owned();
                        sink.error(Code::ConflictingFields, second.key_span, message, help);
                    }
                }
            }
            Self::AnyOf(keys, why) => {
                if keys.iter().all(|key| node.get(key).is_none()) {
                    let message = format!("one of {} is missing", listed(keys));
                    sink.error(Code::MissingField, node.span, message, (*why).to_owned());
                }
            }
            Self::Needs(key, needed) => {
                if let Some(entry) = node.get(key)
                    && node.get(needed).is_none()
                {
                    let message = format!("`{key}` needs `{needed}` beside it");
                    sink.error(Code::ConflictingFields, entry.key_span, message, None);
                }
            }
            Self::NumberNeeds(key, needed, how) => {
                let written = node.get(key).map(|entry| (&entry.node, entry.node.typed()));
                if let Some((number, Some(Typed::Int(value)))) = written
                    && node.get(needed).is_none()
                {
                    let message = format!("`{key}: {value}` needs `{needed}`");
                    sink.error(Code::MissingField, number.span, message, (*how).to_owned());
                }
            }
            Self::When { field, values, requires, forbids } => {
                let written = node.get(field).and_then(|entry| entry.node.typed());
                if let Some(Typed::Text(value)) = written
                    && values.contains(&value)
                {
                    let case = format!("`{field}: {value}`");
                    Self::check_case(node, &case, requires, forbids, sink);
                }
            }
        }
    }

    fn check_case(node: &Node, case: &str, requires: &[&str], forbids: &[&str], sink: &mut Sink<'_>) {
        for key in requires.iter().filter(|key| node.get(key).is_none()) {
            let help = format!("nothing omitted widens access; every {key} is written `{key}: any`");
            let help = Some(help).filter(|_| matches!(*key, "port" | "type"));
            sink.error(Code::MissingField, node.span, format!("{case} needs `{key}`"), help);
        }
        for entry in forbids.iter().filter_map(|key| node.get(key)) {
            let message = format!("{case} can't have `{}`", entry.key);
            sink.error(Code::ConflictingFields, entry.key_span, message, "leave it out".to_owned());
        }
    }

    /// The constraint as a JSON Schema that the record must satisfy.
    pub(crate) fn schema(&self) -> Json {
        let required = |key: &&str| json!({"required": [key]});
        match self {
            Self::OneOf(keys) => json!({"oneOf": keys.iter().map(required).collect::<Vec<_>>()}),
            Self::AnyOf(keys, _) => json!({"anyOf": keys.iter().map(required).collect::<Vec<_>>()}),
            Self::Needs(key, needed) => json!({"dependentRequired": {*key: [needed]}}),
            Self::NumberNeeds(key, needed, _) => json!({
                "if": {"properties": {*key: {"type": "integer"}}, "required": [key]},
                "then": {"required": [needed]},
            }),
            Self::When { field, values, requires, forbids } => {
                let forbidden: Vec<Json> = forbids.iter().map(required).collect();
                let mut then = json!({"required": requires});
                if !forbidden.is_empty() {
                    then["not"] = json!({"anyOf": forbidden});
                }
                json!({"if": {"properties": {*field: {"enum": values}}, "required": [field]}, "then": then})
            }
        }
    }
}
