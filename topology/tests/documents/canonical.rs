//! Documents in canonical form.

use selvedge_topology::documents::{Document, SourceFile, load, to_yaml};

use crate::load_good;

fn read_back(document: &Document) -> Document {
    let file = SourceFile { name: "again.yaml".to_owned(), text: to_yaml(document) };
    let loaded = load(&[file]);
    assert_eq!(loaded.documents.len(), 1, "{}", to_yaml(document));
    loaded.documents[0].clone()
}

#[test]
fn canonical_yaml_reads_back_as_the_same_content() {
    let documents = load_good().documents;
    assert_eq!(documents.len(), 8);
    for document in documents {
        let again = read_back(&document);
        assert_eq!(
            (&again.kind, &again.name, &again.content),
            (&document.kind, &document.name, &document.content)
        );
        assert_eq!(to_yaml(&again), to_yaml(&document), "canonical form is a fixed point");
    }
}

#[test]
fn text_that_would_be_something_else_is_quoted() {
    for text in [
        "\"2\"",
        "\"true\"",
        "\"null\"",
        "\"- a\"",
        "\"a: b\"",
        "\"é # x\"",
        "\"two\\nlines\\u0001\"",
        "''",
        "\"1e3\"",
        "\" x \"",
        "\"{}\"",
    ] {
        let text = format!(
            "apiVersion: selvedge/v1\nkind: CidrGroup\nmetadata: {{name: g, description: {text}}}\nspec: {{cidrs: []}}\n"
        );
        let loaded = load(&[SourceFile { name: "a.yaml".to_owned(), text: text.clone() }]);
        assert_eq!(loaded.documents.len(), 1, "{text}: {:?}", loaded.diagnostics);
        assert_eq!(read_back(&loaded.documents[0]).content, loaded.documents[0].content, "{text}");
    }
}

#[test]
fn canonical_yaml_is_in_the_order_that_people_write() {
    let documents = load_good().documents;
    let policy = documents.iter().find(|document| document.name == "app-from-web").unwrap();
    insta::assert_snapshot!(to_yaml(policy));
    let workload = documents.iter().find(|document| document.name == "app1").unwrap();
    insta::assert_snapshot!(to_yaml(workload));
}

#[test]
fn documents_are_listed_by_kind_and_name_wherever_they_stand() {
    let listed: Vec<(String, String)> =
        load_good().documents.into_iter().map(|document| (document.kind, document.name)).collect();
    let listed: Vec<(&str, &str)> = listed.iter().map(|(kind, name)| (&**kind, &**name)).collect();
    assert_eq!(
        listed,
        [
            ("Fabric", "demo"),
            ("Workload", "app1"),
            ("Workload", "printer"),
            ("Workload", "somewhere"),
            ("Workload", "web1"),
            ("SegmentationPolicy", "app-from-web"),
            ("SegmentationPolicy", "everyone"),
            ("CidrGroup", "office"),
        ]
    );
}
