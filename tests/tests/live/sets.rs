//! The document sets that the fabric flips between: the demo's documents, what is common, and what differs.

use std::path::{Path, PathBuf};

use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::model::Model;

/// The sets in the order that they take turns in. Open and shut alternate, each said in two ways.
const DIFFERENT: [&[&str]; 4] = [&["open.yaml"], &[], &["open-reshaped.yaml"], &["shut.yaml"]];

/// One complete desired state.
pub(crate) struct Set {
    pub(crate) files: Vec<SourceFile>,
    pub(crate) model: Model,
}

/// All of them.
pub(crate) fn all() -> Vec<Set> {
    DIFFERENT.iter().map(|different| set(different)).collect()
}

/// The documents that the lab is built from.
pub(crate) fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/fabrics/demo")
}

fn set(different: &[&str]) -> Set {
    let flips = Path::new(env!("CARGO_MANIFEST_DIR")).join("fabrics/flips");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(demo()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.push(flips.join("common.yaml"));
    paths.extend(different.iter().map(|name| flips.join(name)));
    paths.sort();
    let files: Vec<SourceFile> = paths.iter().map(|path| read(path)).collect();
    let loaded = load(&files);
    let model = loaded.model.unwrap_or_else(|| panic!("{different:?}: {:#?}", loaded.diagnostics));
    Set { files, model }
}

fn read(path: &Path) -> SourceFile {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    SourceFile { name, text: std::fs::read_to_string(path).unwrap() }
}
