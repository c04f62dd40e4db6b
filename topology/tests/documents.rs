//! Documents: what is read, and what is said about what can't be.

use std::fs;
use std::path::{Path, PathBuf};

use selvedge_topology::documents::{Loaded, SourceFile, load};

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
