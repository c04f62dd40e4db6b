//! JSON Schema (draft 2020-12) of all kinds, from the declarations that decoding follows.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::constraint::Constraint;
use super::decode::{Decode, FieldSpec, Presence};
use super::kinds::{self, API_VERSION};

/// The records met so far, by name: `$defs`.
#[derive(Debug, Default)]
pub(crate) struct Definitions(BTreeMap<&'static str, Json>);

impl Definitions {
    /// Defines a record once, and refers to it.
    pub(crate) fn record(
        &mut self,
        name: &'static str,
        doc: &'static str,
        fields: &[FieldSpec],
        constraints: &[Constraint],
        types: &[fn(&mut Definitions) -> Json],
    ) -> Json {
        if !self.0.contains_key(name) {
            // Entered first, so that a record inside itself ends.
            self.0.insert(name, Json::Null);
            let properties = fields.iter().zip(types);
            let properties =
                properties.map(|(field, schema)| (field.key.to_owned(), described(field, schema(self))));
            let properties: serde_json::Map<String, Json> = properties.collect();
            let required: Vec<&str> = fields
                .iter()
                .filter(|field| field.presence == Presence::Required)
                .map(|field| field.key)
                .collect();
            let mut schema = json!({
                "description": doc.trim(), "type": "object", "properties": properties,
                "required": required, "additionalProperties": false,
            });
            if !constraints.is_empty() {
                schema["allOf"] = constraints.iter().map(Constraint::schema).collect();
            }
            self.0.insert(name, schema);
        }
        json!({"$ref": format!("#/$defs/{name}")})
    }
}

/// The schema of a field's value with the field's description. Beside a `$ref` that is legal since 2019-09.
fn described(field: &FieldSpec, mut schema: Json) -> Json {
    schema["description"] = field.doc.trim().into();
    schema
}

/// JSON Schema of the documents, for editors and other tools. One schema for one document of any kind.
pub fn schema() -> Json {
    let mut definitions = Definitions::default();
    let mut cases = Vec::new();
    let mut names = Vec::new();
    for kind in kinds::ALL {
        let name = kind.word();
        let spec = kind.schema(&mut definitions);
        cases.push(json!({
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
            "then": {"properties": {"spec": spec}},
        }));
        names.push(name);
    }
    let metadata = kinds::Metadata::schema(&mut definitions);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Selvedge document",
        "description": "A Selvedge fabric is described by documents of these kinds.",
        "type": "object",
        "properties": {
            "apiVersion": {"const": API_VERSION, "description": "The version of the document language."},
            "kind": {"enum": names, "description": "What the document describes."},
            "metadata": metadata,
            "spec": {"type": "object", "description": "What is described; its fields depend on `kind`."},
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "allOf": cases,
        "$defs": definitions.0,
    })
}
