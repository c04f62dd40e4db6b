//! The JSON Schema says of documents what reading them says.

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use selvedge_topology::documents::{Document, SourceFile, load, schema};
use serde_json::Value;

use crate::{fixtures, load_good, read};

const URL: &str = "schema.json";

fn compiled() -> (Schemas, SchemaIndex) {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.set_default_draft(Draft::V2020_12);
    compiler.add_resource(URL, schema()).unwrap();
    let index = compiler.compile(URL, &mut schemas).unwrap();
    (schemas, index)
}

/// Whether the schema takes each document of a text.
fn verdicts(text: &str) -> Vec<bool> {
    let (schemas, index) = compiled();
    let loaded = load(&[SourceFile { name: "a.yaml".to_owned(), text: text.to_owned() }]);
    let valid = |document: &Document| schemas.validate(&document.content, index).is_ok();
    loaded.documents.iter().map(valid).collect()
}

#[test]
fn the_schema_takes_every_good_document() {
    let (schemas, index) = compiled();
    for Document { name, content, .. } in load_good().documents {
        if let Err(error) = schemas.validate(&content, index) {
            panic!("{name}: {error:#}");
        }
    }
}

#[test]
fn the_schema_refuses_documents_whose_shape_is_wrong() {
    for fixture in ["shapes", "ports", "times"] {
        let path = fixtures("bad").into_iter().find(|path| path.file_stem().unwrap() == fixture).unwrap();
        let verdicts = verdicts(&read(&path).text);
        assert!(!verdicts.is_empty());
        assert!(verdicts.iter().all(|valid| !valid), "{fixture}: {verdicts:?}");
    }
}

#[test]
fn the_schema_and_reading_agree_on_every_port() {
    let path = fixtures("bad").into_iter().find(|path| path.file_stem().unwrap() == "ports").unwrap();
    let text = read(&path).text;
    let (before, ports) = text.split_once("ports:\n").unwrap();
    let refused = ports.lines().filter(|port| verdicts(&format!("{before}ports:\n{port}\n")) == [false]);
    let refused: Vec<&str> = refused.map(str::trim).collect();
    let accepted: Vec<&str> = ports.lines().map(str::trim).filter(|port| !refused.contains(port)).collect();
    // Numbers that must be in order are all that JSON Schema can't say; and what needs two types to say.
    assert_eq!(
        accepted,
        ["- {protocol: TCP, port: 8090, endPort: 8080}", "- {protocol: TCP, port: http, endPort: 8080}"]
    );
}

#[test]
fn every_field_is_described() {
    fn walk(value: &Value, path: &str, seen: &mut usize) {
        let Some(object) = value.as_object() else { return };
        if object.get("type") == Some(&"object".into())
            && let Some(properties) = object.get("properties").and_then(Value::as_object)
        {
            for (key, property) in properties {
                if key == "metadata" && path.is_empty() {
                    continue;
                }
                let description = property.get("description").and_then(Value::as_str).unwrap_or_default();
                assert!(description.len() > 5, "{path}/{key} has no description");
                assert!(!description.contains("  "), "{path}/{key}: {description:?}");
                *seen += 1;
            }
        }
        for (key, value) in object {
            walk(value, &format!("{path}/{key}"), seen);
        }
    }
    let mut seen = 0;
    walk(&schema(), "", &mut seen);
    assert!(seen >= 68, "only {seen} fields");
}
