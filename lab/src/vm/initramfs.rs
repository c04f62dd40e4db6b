//! The archive that a virtual machine's kernel unpacks as its root.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cpio::newc;

use super::{Kit, LibrariesError, Task, libraries};

/// The first process.
pub const INIT: &str = include_str!("init.sh");

const FOLDER: u32 = 0o040_755;
const REGULAR: u32 = 0o100_000;
const PROGRAM: u32 = REGULAR | 0o755;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// A file that should go in.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The archive.
    #[error("write the initramfs: {0}")]
    Write(#[from] io::Error),
    /// A program's libraries.
    #[error(transparent)]
    Libraries(#[from] LibrariesError),
}

/// An archive in the making: cpio in the "new ASCII" form, as the kernel reads it
/// (`Documentation/driver-api/early-userspace/buffer-format.rst`).
pub struct Initramfs<W: Write> {
    archive: W,
    /// What is in it, folders among it.
    paths: BTreeSet<PathBuf>,
}

impl Initramfs<BufWriter<File>> {
    /// Writes the archive of a machine that does `task`.
    pub fn write(file: &Path, kit: &Kit, task: &Task) -> Result<(), InitramfsError> {
        let mut made = Initramfs { archive: BufWriter::new(File::create(file)?), paths: BTreeSet::new() };
        for folder in ["bin", "dev", "proc", "sys", "modules", "lab"] {
            made.folder(Path::new(folder))?;
        }
        made.text("init", INIT)?;
        made.text("task", &task.script())?;
        made.file(Path::new("bin/busybox"), &kit.busybox)?;
        for module in &kit.modules {
            made.below("modules", module)?;
        }
        for program in &task.programs {
            made.below("bin", program)?;
            for library in libraries(program)? {
                made.file(library.strip_prefix("/").unwrap_or(&library), &library)?;
            }
        }
        for file in &task.files {
            made.below("lab", file)?;
        }
        newc::trailer(made.archive)?.flush()?;
        Ok(())
    }
}

impl<W: Write> Initramfs<W> {
    fn text(&mut self, path: &str, text: &str) -> Result<(), InitramfsError> {
        self.entry(Path::new(path), PROGRAM, text.as_bytes())
    }

    /// A file or folder of this machine, by its own name in a folder of the archive.
    fn below(&mut self, folder: &str, source: &Path) -> Result<(), InitramfsError> {
        let name = source.file_name().unwrap_or(source.as_os_str());
        self.file(&Path::new(folder).join(name), source)
    }

    fn file(&mut self, path: &Path, source: &Path) -> Result<(), InitramfsError> {
        let unreadable =
            |source_error| InitramfsError::Read { path: source.to_owned(), source: source_error };
        let found = fs::metadata(source).map_err(unreadable)?;
        if !found.is_dir() {
            let content = fs::read(source).map_err(unreadable)?;
            return self.entry(path, REGULAR | found.permissions().mode() & 0o777, &content);
        }
        let entries = fs::read_dir(source).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        self.folder(path)?;
        for entry in entries.map_err(unreadable)? {
            self.file(&path.join(entry.file_name()), &entry.path())?;
        }
        Ok(())
    }

    /// A folder, unless it is there: the kernel makes none by itself.
    fn folder(&mut self, path: &Path) -> Result<(), InitramfsError> {
        if path.as_os_str().is_empty() || self.paths.contains(path) {
            return Ok(());
        }
        self.entry(path, FOLDER, &[])
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<(), InitramfsError> {
        if let Some(parent) = path.parent() {
            self.folder(parent)?;
        }
        if !self.paths.insert(path.to_owned()) {
            return Ok(()); // a library of two programs
        }
        let too_large =
            || InitramfsError::Read { path: path.to_owned(), source: io::ErrorKind::FileTooLarge.into() };
        let length = u32::try_from(content.len()).map_err(|_| too_large())?;
        let number = self.paths.len() as u32; // files of one number would be hard links of each other
        let header = newc::Builder::new(&path.to_string_lossy()).ino(number).nlink(1).mode(mode);
        let mut writer = header.write(&mut self.archive, length);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;
    use crate::vm::Architecture;

    /// Reads the archive of a task: by path, number and mode of each entry, in order.
    fn packed(kit: &Kit, task: &Task) -> Vec<(String, u32, u32)> {
        let file = tempfile::NamedTempFile::new().unwrap();
        Initramfs::write(file.path(), kit, task).unwrap();
        let (mut input, mut entries) = (fs::File::open(file.path()).unwrap(), Vec::new());
        loop {
            let reader = newc::Reader::new(input).unwrap();
            if reader.entry().is_trailer() {
                return entries;
            }
            entries.push((reader.entry().name().to_owned(), reader.entry().ino(), reader.entry().mode()));
            input = reader.finish().unwrap();
        }
    }

    fn kit(folder: &Path) -> Kit {
        let file = |name: &str| {
            let path = folder.join(name);
            fs::write(&path, name).unwrap();
            path
        };
        let (kernel, busybox, modules) =
            (file("kernel"), file("busybox"), vec![file("10-a.ko"), file("11-b.ko")]);
        Kit { architecture: Architecture::Amd64, kernel, busybox, modules }
    }

    #[test]
    fn every_file_comes_after_its_folder_and_has_a_number_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let programs = vec![std::env::current_exe().unwrap(), PathBuf::from("/bin/sh")];
        let below = folder.path().join("documents/more");
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join("a.yaml"), "a").unwrap();
        let files = vec![folder.path().join("documents")];
        let entries = packed(&kit(folder.path()), &Task { programs, files, ..Task::default() });
        let place: BTreeMap<&str, usize> =
            entries.iter().enumerate().map(|(index, (path, ..))| (path.as_str(), index)).collect();
        assert_eq!(place.len(), entries.len(), "a path twice: {entries:?}");
        for (index, (path, number, mode)) in entries.iter().enumerate() {
            assert_eq!(*number as usize, index + 1);
            if let Some((parent, _)) = path.rsplit_once('/') {
                assert!(place[parent] < index, "{path} before its folder");
                assert_eq!(entries[place[parent]].2, FOLDER);
            }
            assert!(*mode == FOLDER || mode & 0o170_000 == REGULAR, "{path}: {mode:o}");
        }
        for path in ["init", "task", "bin/busybox", "bin/sh", "modules/10-a.ko", "lab/documents/more/a.yaml"]
        {
            assert!(place.contains_key(path), "{path} is not there: {entries:?}");
        }
        assert!(place.keys().any(|path| path.contains("libc.so")), "no libc: {entries:?}");
    }

    #[test]
    fn what_can_not_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let task = Task { files: vec![PathBuf::from("/nonexistent/file")], ..Task::default() };
        let file = folder.path().join("initramfs");
        let error = Initramfs::write(&file, &kit(folder.path()), &task).unwrap_err();
        assert_eq!(error.to_string(), "/nonexistent/file: No such file or directory (os error 2)");
    }
}
