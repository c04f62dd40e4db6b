//! The plans of the example fabric as text, reviewed like code: a change in what is compiled shows in a diff.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use selvedge_topology::compile::compile;
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::IdentityTable;

fn example(folder: &str) -> Vec<SourceFile> {
    let folder = format!("{}/../lab/fabrics/{folder}", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| SourceFile {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        text: std::fs::read_to_string(path).unwrap(),
    };
    paths.iter().map(read).collect()
}

#[test]
fn the_demo_fabric_compiles_to_the_golden_plans() {
    let loaded = load(&example("demo"));
    assert_eq!(loaded.diagnostics, [], "the demo is free of errors and warnings");
    let model = loaded.model.unwrap();
    let mut identities = IdentityTable::default();
    identities.allocate(&model).unwrap();
    let plans = compile(&model, &identities).unwrap();
    assert_eq!(plans.len(), 4, "a plan for every node with an agent");
    for (node, plan) in plans {
        insta::assert_snapshot!(format!("demo_{node}"), plan.to_string());
    }
}
