//! Files of keys: made whole, never over another, secret ones readable by their owner alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Something wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read or written.
    #[error("can't {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others than its owner can read a secret.
    #[error("{} is readable by others (mode {mode:o}); `chmod 600 {}` makes it a secret", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { what, path, source }
}

/// Makes a file that its owner alone can read. One that is there stays as it is, and is an error.
pub fn write_private(path: &Path, text: &str) -> Result<(), FileError> {
    create(path, text, 0o600)
}

/// Makes a file that everybody may read. One that is there stays as it is, and is an error.
pub fn write_public(path: &Path, text: &str) -> Result<(), FileError> {
    create(path, text, 0o644)
}

fn create(path: &Path, text: &str, mode: u32) -> Result<(), FileError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let write = |mut file: File| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    file.and_then(write).map_err(failed("create", path))
}

/// Reads a text.
pub fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(failed("read", path))
}

/// Reads a secret; one that others can read is none.
pub fn read_private(path: &Path) -> Result<String, FileError> {
    let about = fs::metadata(path).map_err(failed("read", path))?;
    let mode = about.permissions().mode() & 0o7777;
    // What only root's group can read, root's own tools make so; everybody else is others.
    if mode & 0o077 != 0 && !(about.uid() == 0 && about.gid() == 0 && mode & 0o007 == 0) {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    read(path)
}

/// Makes a folder that its owner alone can enter. One that is there stays as it is.
pub fn make_private_folder(path: &Path) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create", path))
}

/// Puts a file that its owner alone can read in the place of what is there: whole or not at all, whatever happens.
pub fn replace_private(path: &Path, text: &str) -> Result<(), FileError> {
    let beside = path.with_extension("new");
    // What an interrupted attempt left.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &beside)(error));
        }
        _ => {}
    }
    write_private(&beside, text)?;
    fs::rename(&beside, path).map_err(failed("replace", path))
}
