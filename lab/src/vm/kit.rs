//! What a virtual machine boots from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A processor architecture that labs have machines of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// 64-bit Arm, as in most DPUs.
    Arm64,
}

impl Architecture {
    /// As Debian calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// Why a kit can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// Its folder is not named for an architecture.
    #[error("{}: a kit's folder is called amd64 or arm64, as `lab/vm-kit` makes it", path.display())]
    Unknown {
        /// The folder.
        path: PathBuf,
    },
    /// Something of it can't be read.
    #[error("{}: {source}; `lab/vm-kit {architecture}` makes it", path.display(), architecture = architecture.name())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// For which architecture.
        architecture: Architecture,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A kernel and what belongs to it.
#[derive(Clone, Debug)]
pub struct Kit {
    /// What it runs on.
    pub architecture: Architecture,
    /// The kernel's image.
    pub kernel: PathBuf,
    /// A static busybox.
    pub busybox: PathBuf,
    /// Modules, in the order in which they are loaded.
    pub modules: Vec<PathBuf>,
}

impl Kit {
    /// The kit in a folder that `lab/vm-kit` made.
    pub fn open(folder: &Path) -> Result<Self, KitError> {
        let architecture = match folder.file_name().and_then(|name| name.to_str()) {
            Some("amd64") => Architecture::Amd64,
            Some("arm64") => Architecture::Arm64,
            _ => return Err(KitError::Unknown { path: folder.to_owned() }),
        };
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| KitError::Unreadable { path, architecture, source }
        };
        let version = folder.join("version"); // written last
        fs::metadata(&version).map_err(unreadable(&version))?;
        let modules = folder.join("modules");
        let entries = fs::read_dir(&modules).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut modules: Vec<PathBuf> =
            entries.map_err(unreadable(&modules))?.into_iter().map(|entry| entry.path()).collect();
        modules.sort();
        Ok(Self { architecture, kernel: folder.join("kernel"), busybox: folder.join("busybox"), modules })
    }
}
