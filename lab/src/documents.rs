//! Reading documents from files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use selvedge_topology::documents::limits::FILE_BYTES;
use selvedge_topology::documents::{self, Diagnostic, SourceFile};
use selvedge_topology::model::Model;

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum DocumentsError {
    /// A file or directory can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No file.
    #[error("{}: no *.yaml or *.yml file in this directory", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// Errors in the documents.
    #[error("the documents have errors, nothing was changed")]
    Invalid(Vec<Diagnostic>),
}

/// The model that a file, or the YAML files of a directory, describe.
pub fn load(path: &Path) -> Result<Model, DocumentsError> {
    let files = files(path)?.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
    let loaded = documents::load(&files);
    loaded.model.ok_or(DocumentsError::Invalid(loaded.diagnostics))
}

fn files(path: &Path) -> Result<Vec<PathBuf>, DocumentsError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |source| DocumentsError::Read { path: path.to_owned(), source };
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
    let yaml =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(yaml).collect();
    files.sort();
    if files.is_empty() { Err(DocumentsError::Empty { path: path.to_owned() }) } else { Ok(files) }
}

/// Reads no more than it takes to see that a file is too large; what is said of that is the parser's business.
fn read(path: &Path) -> Result<SourceFile, DocumentsError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES as u64 + 1).read_to_string(&mut text));
    read.map_err(|source| DocumentsError::Read { path: path.to_owned(), source })?;
    Ok(SourceFile { name: path.display().to_string(), text })
}
