//! Removing a lab, whole or half-built.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::kernel::mounts;
use crate::kernel::namespace::{self, NamespaceError, Removal};
use crate::kernel::processes::{self, Origin, Process};
use crate::names::{LabName, NamespaceName};
use crate::registry::{self, Registry, RegistryError};

/// How long a process may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Namespaces.
    pub namespaces: Vec<NamespaceName>,
    /// Processes that had been started through the lab.
    pub ended: Vec<Process>,
    /// Processes of others, left alone. Their namespaces have no name any more, and go when they do.
    pub left: Vec<Process>,
    /// What was mounted in the lab's directory.
    pub unmounted: Vec<PathBuf>,
}

/// Why a lab can't be removed.
#[derive(Debug, thiserror::Error)]
pub enum ClearError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// Something mounted.
    #[error("unmount what is below {}: {source}", path.display())]
    Unmount {
        /// The lab's directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Removes all that the record of `lab` names; nothing, if there is no such lab. Can be repeated wherever it stopped:
/// the record goes last.
pub fn clear(registry: &Registry, lab: &LabName) -> Result<Cleared, ClearError> {
    let places = registry::find(lab)?.map_or_else(Vec::new, |record| record.places);
    let names: BTreeSet<NamespaceName> = places.into_iter().map(|place| place.namespace).collect();
    let inodes: BTreeMap<u64, NamespaceName> =
        names.iter().filter_map(|name| Some((namespace::inode(name)?, name.clone()))).collect();
    let (ended, left) = processes::inside(lab, &inodes)
        .into_iter()
        .partition::<Vec<_>, _>(|process| process.origin == Origin::Lab);
    processes::end(&ended, PATIENCE);

    let path = registry::directory(lab);
    let unmounted = mounts::unmount_below(&path).map_err(|source| ClearError::Unmount { path, source })?;
    let mut namespaces = Vec::new();
    for name in names {
        match namespace::remove(&name)? {
            Removal::Removed => namespaces.push(name),
            Removal::WasGone => {}
        }
    }
    registry.forget(lab)?;
    Ok(Cleared { namespaces, ended, left, unmounted })
}
