//! Reading documents: from files, from directories, from standard input, and never more than there may be.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use selvedge_topology::documents::SourceFile;

use super::CliError;

/// More bytes than this are no documents: what one message to the controller holds, less room for names.
pub(super) const MAX_BYTES: usize = selvedge_proto::MAX_MESSAGE_BYTES - (1 << 20);
/// More files than this are no directory of documents.
const MAX_FILES: usize = 100_000;
/// Directories in directories, at most.
const MAX_DEPTH: usize = 32;

/// Reads the documents that `paths` name: files as they are, of directories every `*.yaml` and `*.yml`, sorted.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<SourceFile>, CliError> {
    let mut files = Vec::new();
    let mut left = MAX_BYTES;
    for path in paths {
        if path.as_os_str() == "-" {
            files.push(read_text(path, io::stdin().lock(), &mut left)?);
            continue;
        }
        let mut found = Vec::new();
        // What the user names may be a link; what a directory holds may not.
        let kind = fs::metadata(path).map_err(|source| CliError::Read { path: path.clone(), source })?;
        if kind.is_dir() {
            collect(path, 0, &mut found)?;
            if found.is_empty() {
                return Err(CliError::Empty { path: path.clone() });
            }
        } else {
            found.push(path.clone());
        }
        for path in found {
            files.push(read_file(&path, &mut left)?);
        }
    }
    Ok(files)
}

fn read_file(path: &Path, left: &mut usize) -> Result<SourceFile, CliError> {
    let wrong = |source| CliError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(wrong)?.is_file() {
        return Err(CliError::NotRegular { path: path.to_owned() });
    }
    read_text(path, File::open(path).map_err(wrong)?, left)
}

fn read_text(path: &Path, reader: impl Read, left: &mut usize) -> Result<SourceFile, CliError> {
    let mut bytes = Vec::new();
    let bounded = reader.take(*left as u64 + 1).read_to_end(&mut bytes);
    bounded.map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    *left = left
        .checked_sub(bytes.len())
        .ok_or_else(|| CliError::TooLarge { path: path.to_owned(), limit: MAX_BYTES })?;
    let text = String::from_utf8(bytes).map_err(|_| CliError::NotText { path: path.to_owned() })?;
    let name = if path.as_os_str() == "-" { "<stdin>".into() } else { path.display().to_string() };
    Ok(SourceFile { name, text })
}

fn collect(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), CliError> {
    let wrong = |source| CliError::Read { path: directory.to_owned(), source };
    let mut entries =
        fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(wrong)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(wrong)?;
        let named = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        // Links are not followed: a directory of documents can't reach out of itself.
        if kind.is_dir() && depth < MAX_DEPTH {
            collect(&path, depth + 1, found)?;
        } else if named && !kind.is_file() {
            return Err(CliError::NotRegular { path });
        } else if named && found.len() < MAX_FILES {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gives_its_yaml_files_sorted_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("b")).unwrap();
        for name in ["z.yaml", "a.yml", "b/c.yaml", "notes.txt"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        let files = read(&[directory.path().to_owned()]).unwrap();
        let texts: Vec<_> = files.iter().map(|file| file.text.as_str()).collect();
        assert_eq!(texts, ["a.yml", "b/c.yaml", "z.yaml"]);
    }

    #[test]
    fn links_devices_and_binaries_are_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("link.yaml");
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let error = read(&[directory.path().to_owned()]).unwrap_err();
        assert!(matches!(error, CliError::NotRegular { path: refused } if refused == path));
        assert!(matches!(read(&["/dev/zero".into()]), Err(CliError::NotRegular { .. })));
        let binary = directory.path().join("binary.yaml");
        fs::write(&binary, [0xff, 0xfe]).unwrap();
        assert!(matches!(read(&[binary]), Err(CliError::NotText { .. })));
    }

    #[test]
    fn reading_stops_at_the_limit() {
        let mut left = 10;
        let error = read_text(Path::new("-"), io::repeat(b'a'), &mut left).unwrap_err();
        assert!(matches!(error, CliError::TooLarge { .. }));
    }
}
