//! Reading documents from files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use selvedge_topology::documents::{self, Diagnostic, Severity, SourceFile};
use selvedge_topology::model::Model;

/// A file of documents larger than this is refused unread, in bytes.
const MAX_FILE: u64 = 8 << 20;

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
    /// Too large.
    #[error("{}: larger than {MAX_FILE} bytes; split it into several files", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Errors in the documents.
    #[error("{} in the documents, nothing was changed", count(.0))]
    Invalid(Vec<Diagnostic>),
}

fn count(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") }
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

fn read(path: &Path) -> Result<SourceFile, DocumentsError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
    read.map_err(|source| DocumentsError::Read { path: path.to_owned(), source })?;
    if text.len() as u64 > MAX_FILE {
        return Err(DocumentsError::TooLarge { path: path.to_owned() });
    }
    Ok(SourceFile { name: path.display().to_string(), text })
}
