//! The shared libraries that a program needs.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why they are not known.
#[derive(Debug, thiserror::Error)]
pub enum LibrariesError {
    /// `ldd` can't be run.
    #[error("ldd: {0}; Debian has it in libc-bin")]
    Ldd(#[from] io::Error),
    /// One that is not installed.
    #[error("{}: its library {library} is not on this machine", program.display())]
    Missing {
        /// The program.
        program: PathBuf,
        /// The library.
        library: String,
    },
}

/// The files that the dynamic loader would open for `program`, the loader included; none for a static program, and for
/// one of another architecture, which is taken for static.
pub fn libraries(program: &Path) -> Result<Vec<PathBuf>, LibrariesError> {
    let output = Command::new("ldd").arg(program).env("LC_ALL", "C").output()?;
    if !output.status.success() {
        return Ok(Vec::new()); // "not a dynamic executable"
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| library(program, line.trim()).transpose()).collect()
}

/// One line of `ldd`: `name => path (address)`, `path (address)` for the loader, `name (address)` for the kernel's own.
fn library(program: &Path, line: &str) -> Result<Option<PathBuf>, LibrariesError> {
    let (name, place) = line.split_once(" => ").unwrap_or((line, line));
    if place.starts_with("not found") {
        return Err(LibrariesError::Missing { program: program.to_owned(), library: name.to_owned() });
    }
    let path = place.split(' ').next().filter(|path| path.starts_with('/'));
    Ok(path.map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_line_is_understood() {
        let read = |line| library(Path::new("p"), line).unwrap().map(|path| path.display().to_string());
        assert_eq!(read("libc.so.6 => /lib/libc.so.6 (0x00007f1)").as_deref(), Some("/lib/libc.so.6"));
        assert_eq!(
            read("/lib64/ld-linux-x86-64.so.2 (0x00007f1)").as_deref(),
            Some("/lib64/ld-linux-x86-64.so.2")
        );
        assert_eq!(read("linux-vdso.so.1 (0x00007f1)"), None);
        assert_eq!(read("statically linked"), None);
    }

    #[test]
    fn a_library_that_is_not_there_is_named() {
        let error = library(Path::new("/bin/p"), "libnone.so.1 => not found").unwrap_err();
        assert_eq!(error.to_string(), "/bin/p: its library libnone.so.1 is not on this machine");
    }

    #[test]
    fn this_program_needs_a_libc() {
        let found = libraries(&std::env::current_exe().unwrap()).unwrap();
        assert!(found.iter().any(|path| path.to_string_lossy().contains("libc.so")), "{found:?}");
    }
}
