//! Named network namespaces, kept the way `ip netns` keeps them: a bind mount under `/run/netns` each.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::names::NamespaceName;

const DIRECTORY: &str = "/run/netns";
const NONE: Option<&str> = None;

/// Why a namespace can't be made, entered or removed.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// A file of its name is there already.
    #[error(
        "namespace `{name}` exists and belongs to no lab; remove it (`ip netns delete {name}`) or use --name"
    )]
    Exists {
        /// Its name.
        name: NamespaceName,
    },
    /// There is none.
    #[error("namespace `{name}` is gone; run `selvedge-lab down` and `up` again")]
    Gone {
        /// Its name.
        name: NamespaceName,
    },
    /// The kernel said no.
    #[error("namespace `{name}`: {action}: {source}{}", hint(source))]
    Refused {
        /// Its name.
        name: NamespaceName,
        /// What was tried.
        action: &'static str,
        /// What it said.
        source: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => " (CAP_SYS_ADMIN and CAP_NET_ADMIN are needed: run as root)",
        _ => "",
    }
}

/// An open namespace.
#[derive(Debug)]
pub struct Namespace {
    name: NamespaceName,
    file: File,
}

impl Namespace {
    /// Makes a new one.
    pub fn create(name: &NamespaceName) -> Result<Self, NamespaceError> {
        let refused = |action| move |source| NamespaceError::Refused { name: name.clone(), action, source };
        prepare_directory().map_err(refused("prepare /run/netns"))?;
        let path = path(name);
        let anchor = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        anchor.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => NamespaceError::Exists { name: name.clone() },
            _ => refused("create the file")(source),
        })?;
        // A thread of its own, so that this one stays where it is whatever happens.
        let made = thread::scope(|scope| scope.spawn(|| unshare_onto(&path)).join());
        let made = made.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        made.map_err(|errno| refused("create it")(errno.into()))?;
        Self::open(name)
    }

    /// Opens an existing one.
    pub fn open(name: &NamespaceName) -> Result<Self, NamespaceError> {
        let file = File::open(path(name)).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => NamespaceError::Gone { name: name.clone() },
            _ => NamespaceError::Refused { name: name.clone(), action: "open it", source },
        })?;
        Ok(Self { name: name.clone(), file })
    }

    /// The one that the calling thread is in, under a name that it need not have.
    pub fn here(name: &NamespaceName) -> Result<Self, NamespaceError> {
        let refused = |source| NamespaceError::Refused { name: name.clone(), action: "open our own", source };
        let file = File::open("/proc/thread-self/ns/net").map_err(refused)?;
        Ok(Self { name: name.clone(), file })
    }

    /// Its name.
    pub fn name(&self) -> &NamespaceName {
        &self.name
    }

    /// Moves the calling thread into it, for good.
    pub fn enter(&self) -> Result<(), NamespaceError> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|errno| NamespaceError::Refused {
            name: self.name.clone(),
            action: "enter it",
            source: errno.into(),
        })
    }

    /// Runs `work` inside, on a thread of its own.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        let inside = || {
            self.enter()?;
            Ok(work())
        };
        let done = thread::scope(|scope| scope.spawn(inside).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What removing a namespace found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It was there.
    Removed,
    /// It was not.
    WasGone,
}

/// Removes a namespace's name. The kernel frees the namespace when the last process has left it.
pub fn remove(name: &NamespaceName) -> Result<Removal, NamespaceError> {
    let path = path(name);
    let refused = |action, source| NamespaceError::Refused { name: name.clone(), action, source };
    match umount2(&path, MntFlags::MNT_DETACH) {
        // EINVAL: an interrupted `up` had not mounted it yet.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(errno) => return Err(refused("unmount it", errno.into())),
    }
    match fs::remove_file(&path) {
        Ok(()) => Ok(Removal::Removed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Removal::WasGone),
        Err(source) => Err(refused("remove its file", source)),
    }
}

/// Whether the name is taken.
pub fn exists(name: &NamespaceName) -> bool {
    path(name).exists()
}

/// What tells a namespace from every other on this machine, as long as it lives.
pub fn inode(name: &NamespaceName) -> Option<u64> {
    fs::metadata(path(name)).ok().map(|metadata| metadata.ino())
}

fn path(name: &NamespaceName) -> PathBuf {
    Path::new(DIRECTORY).join(name.as_str())
}

fn unshare_onto(path: &Path) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    mount(Some("/proc/thread-self/ns/net"), path, NONE, MsFlags::MS_BIND, NONE)
}

/// As iproute2 does it: a shared mount, so that removing a namespace is seen in every mount namespace.
fn prepare_directory() -> io::Result<()> {
    fs::create_dir_all(DIRECTORY)?;
    let share = || mount(NONE, DIRECTORY, NONE, MsFlags::MS_SHARED | MsFlags::MS_REC, NONE);
    match share() {
        Err(Errno::EINVAL) => {
            mount(Some(DIRECTORY), DIRECTORY, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?;
            Ok(share()?)
        }
        done => Ok(done?),
    }
}
