//! Documents: what is read, and what is said about what can't be.

use std::fs;
use std::path::{Path, PathBuf};

use selvedge_topology::documents::{Colours, Loaded, Severity, SourceFile, load, render};

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

fn read(path: &Path) -> SourceFile {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    SourceFile { name, text: fs::read_to_string(path).unwrap() }
}

fn good() -> Vec<SourceFile> {
    fixtures("good").iter().map(|path| read(path)).collect()
}

fn load_good() -> Loaded {
    load(&good())
}

#[test]
fn the_good_documents_give_a_model_and_no_finding() {
    let loaded = load_good();
    assert_eq!(loaded.diagnostics, []);
    let model = loaded.model.unwrap();
    assert_eq!(model.workloads.len(), 4);
    assert_eq!(model.policies.len(), 2);
    assert_eq!(model.fabric.nodes.len(), 3);
    assert_eq!(loaded.documents.len(), 8);
}

/// What the command line would print about a bad fixture. It is read together with the good fabric, unless it
/// says that it is alone.
fn findings(path: &Path) -> Loaded {
    let file = read(path);
    if file.text.starts_with("# alone") {
        return load(&[file]);
    }
    load(&[read(&fixtures("good")[0]), file])
}

#[test]
fn every_bad_document_is_told_what_is_wrong_and_what_would_be_right() {
    for path in fixtures("bad") {
        let loaded = findings(&path);
        assert!(loaded.model.is_none(), "{path:?}");
        golden(&path, &loaded);
    }
}

#[test]
fn warnings_leave_the_model_standing() {
    for path in fixtures("warnings") {
        let loaded = findings(&path);
        assert!(loaded.model.is_some(), "{path:?}");
        assert!(loaded.diagnostics.iter().all(|finding| finding.severity == Severity::Warning));
        golden(&path, &loaded);
    }
}

fn golden(path: &Path, loaded: &Loaded) {
    insta::with_settings!({
        snapshot_path => path.parent().unwrap(),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(path.file_stem().unwrap().to_str().unwrap(), render(&loaded.diagnostics, Colours::Plain));
    });
}
