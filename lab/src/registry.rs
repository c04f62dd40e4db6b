//! What the labs of this machine consist of, written down under `/run/selvedge-lab` before it is made.

use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::names::{LabName, NamespaceName, Target};

const ROOT: &str = "/run/selvedge-lab";

/// What a lab consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub lab: LabName,
    /// The documents it was made from.
    pub documents: PathBuf,
    /// When it was made, in seconds since 1970.
    pub since: u64,
    /// How far it is.
    pub phase: Phase,
    /// What is in it.
    pub places: Vec<Place>,
}

/// How far a lab is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Being made, or left unfinished.
    Unfinished,
    /// Complete.
    Up,
}

/// A place of a lab: a namespace, or a workload in that of its node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// What it stands for.
    pub target: Target,
    /// The namespace's name.
    pub namespace: NamespaceName,
    /// Its addresses, but link-local ones.
    pub addresses: Vec<IpAddr>,
}

impl Record {
    /// The place that `name` means, as users write it.
    pub fn place(&self, name: &str) -> Option<&Place> {
        self.places.iter().find(|place| place.target.to_string() == name)
    }
}

/// Why the registry can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A file or directory of it.
    #[error("{}: {source}{}", path.display(), if source.kind() == io::ErrorKind::PermissionDenied { " (run as root)" } else { "" })]
    File {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A record that is none.
    #[error("{}: not a lab's record: {source}; remove it by hand after `ip netns list`", path.display())]
    Record {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// The directory of a lab: its record, the bpffs (`bpf`) and state directories (`state`) of its agents.
pub fn directory(lab: &LabName) -> PathBuf {
    Path::new(ROOT).join(lab.as_str())
}

/// The bpffs that the lab's agents pin in.
pub fn bpffs(lab: &LabName) -> PathBuf {
    directory(lab).join("bpf")
}

/// The right to make and remove labs; one process has it at a time, and loses it when it ends.
#[derive(Debug)]
pub struct Registry {
    _lock: Flock<File>,
}

impl Registry {
    /// Waits until no other process makes or removes a lab.
    pub fn lock() -> Result<Self, RegistryError> {
        let error = |path: &Path| {
            let path = path.to_owned();
            move |source| RegistryError::File { path, source }
        };
        fs::create_dir_all(ROOT).map_err(error(Path::new(ROOT)))?;
        let path = Path::new(ROOT).join("lock");
        let file = File::create(&path).map_err(error(&path))?;
        let lock =
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| error(&path)(errno.into()))?;
        Ok(Self { _lock: lock })
    }

    /// Writes a record down, all of it or nothing.
    pub fn write(&self, record: &Record) -> Result<(), RegistryError> {
        let directory = directory(&record.lab);
        let (path, next) = (record_file(&record.lab), directory.join("record.next"));
        let write = || {
            fs::create_dir_all(&directory)?;
            fs::write(&next, serde_json::to_vec_pretty(record)?)?;
            fs::rename(&next, &path)
        };
        write().map_err(|source| RegistryError::File { path: path.clone(), source })
    }

    /// Forgets a lab and removes its directory, in which nothing may be mounted.
    pub fn forget(&self, lab: &LabName) -> Result<(), RegistryError> {
        let path = directory(lab);
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(RegistryError::File { path, source })
            }
            _ => Ok(()),
        }
    }
}

/// The record of a lab, if there is one.
pub fn find(lab: &LabName) -> Result<Option<Record>, RegistryError> {
    let path = record_file(lab);
    match fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|source| RegistryError::Record { path, source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RegistryError::File { path, source }),
    }
}

/// The names of all labs, sorted.
pub fn labs() -> Result<Vec<LabName>, RegistryError> {
    let entries = match fs::read_dir(ROOT) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(RegistryError::File { path: ROOT.into(), source }),
    };
    let directories = entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir());
    let mut labs: Vec<LabName> =
        directories.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    labs.sort();
    Ok(labs)
}

/// All records, sorted by name.
pub fn records() -> Result<Vec<Record>, RegistryError> {
    labs()?.iter().filter_map(|lab| find(lab).transpose()).collect()
}

fn record_file(lab: &LabName) -> PathBuf {
    directory(lab).join("record.json")
}
