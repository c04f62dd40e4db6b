//! Where the agent keeps what outlives it: `<bpffs>/selvedge/<node>/`.
//!
//! `links/<port>` holds the XDP link of a port, `egress/<port>` its tcx link, `nic/<port>` that of the program in its NIC, `stand-in/<port>` that of
//! the program that judges while the first is exchanged; `v<ABI>/` the maps, by name, and the programs. A set of maps of another ABI version is
//! never adopted, but for what is remembered of packets: a new set is made beside it and filled, links are moved over one by one, and the
//! old set is removed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use selvedge_abi::ABI_VERSION;
use selvedge_agent_core::Hook;
use selvedge_topology::names::{NodeName, PortName};

use crate::sys::bpf;

/// Something wrong with the place for pins.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// No bpffs, and none could be mounted.
    #[error("{} is not a bpffs and one can't be mounted there: {source}; mount it (mount -t bpf bpf {}) or name another with --bpffs", path.display(), path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: Errno,
    },
    /// A file operation failed.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another agent runs for the node.
    #[error("an agent is running for node {node} ({} is locked); stop it first", path.display())]
    Running {
        /// The node.
        node: NodeName,
        /// The locked directory.
        path: PathBuf,
    },
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PinError {
    let path = path.to_owned();
    move |source| PinError::File { what, path, source }
}

/// The place for one node's pins.
#[derive(Clone, Debug)]
pub struct Pins {
    node: NodeName,
    root: PathBuf,
}

/// Held while an agent runs, so that a second one, or a detach under its hands, is refused.
#[derive(Debug)]
pub struct PinLock(#[expect(dead_code, reason = "held for its lock")] Flock<File>);

/// A port that a detach opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachedPort {
    /// The port.
    pub port: String,
    /// Whether its interface was still there.
    pub was: Was,
}

/// What a removed pin held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    /// A link on an interface, which is open now.
    Attached,
    /// A link whose interface was gone.
    Dead,
}

/// A link found under its pin.
#[derive(Debug)]
pub(crate) struct PinnedLink {
    pub(crate) fd: OwnedFd,
    pub(crate) info: bpf::LinkInfo,
}

impl Pins {
    /// The pins of `node` under `bpffs`, where a bpffs is mounted unless there is one.
    pub fn prepare(bpffs: &Path, node: &NodeName) -> Result<Self, PinError> {
        fs::create_dir_all(bpffs).map_err(failed("create", bpffs))?;
        if !is_bpffs(bpffs)? {
            mount(Some("bpf"), bpffs, Some("bpf"), MsFlags::empty(), Some("mode=0700"))
                .map_err(|source| PinError::Mount { path: bpffs.to_owned(), source })?;
        }
        let pins = Self::at(bpffs, node);
        pins.make_directories()?;
        Ok(pins)
    }

    /// Makes the directories that are not there.
    pub(crate) fn make_directories(&self) -> Result<(), PinError> {
        let links = [Hook::Ingress, Hook::Egress].map(|hook| self.links(hook));
        for directory in links.into_iter().chain([self.maps(), self.nics(), self.stand_ins()]) {
            fs::create_dir_all(&directory).map_err(failed("create", &directory))?;
        }
        Ok(())
    }

    /// The pins of `node` under `bpffs`, if there are any.
    pub fn find(bpffs: &Path, node: &NodeName) -> Option<Self> {
        Some(Self::at(bpffs, node)).filter(|pins| pins.root.is_dir())
    }

    fn at(bpffs: &Path, node: &NodeName) -> Self {
        Self { node: node.clone(), root: bpffs.join("selvedge").join(pinned_as(node.as_str())) }
    }

    /// Claims the pins for this process.
    pub fn lock(&self) -> Result<PinLock, PinError> {
        let file = File::open(&self.root).map_err(failed("open", &self.root))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map(PinLock).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => PinError::Running { node: self.node.clone(), path: self.root.clone() },
            errno => failed("lock", &self.root)(errno.into()),
        })
    }

    /// The directory of this version's maps.
    pub fn maps(&self) -> PathBuf {
        self.root.join(format!("v{ABI_VERSION}"))
    }

    /// The pin of a map.
    pub fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// The pin of the program.
    pub(crate) fn program(&self, hook: Hook) -> PathBuf {
        self.maps().join(match hook {
            Hook::Ingress => "program",
            Hook::Egress => "egress-program",
        })
    }

    fn links(&self, hook: Hook) -> PathBuf {
        self.root.join(match hook {
            Hook::Ingress => "links",
            Hook::Egress => "egress",
        })
    }

    /// The pin of a port's link.
    pub(crate) fn link(&self, hook: Hook, port: &PortName) -> PathBuf {
        self.links(hook).join(pinned_as(port.as_str()))
    }

    fn nics(&self) -> PathBuf {
        self.root.join("nic")
    }

    /// The pin of the link by which a program is in a port's NIC.
    pub(crate) fn nic(&self, port: &PortName) -> PathBuf {
        self.nics().join(pinned_as(port.as_str()))
    }

    fn stand_ins(&self) -> PathBuf {
        self.root.join("stand-in")
    }

    /// The pin of the link by which a port is judged while its program is exchanged.
    pub(crate) fn stand_in(&self, port: &PortName) -> PathBuf {
        self.stand_ins().join(pinned_as(port.as_str()))
    }

    /// Where a link is until it takes the place of another.
    pub(crate) fn advancing(&self) -> PathBuf {
        self.root.join("advancing")
    }

    /// The node's root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Every pinned link of a hook and the port it was made for.
    pub(crate) fn pinned_links(&self, hook: Hook) -> Result<Vec<(PortName, PinnedLink)>, PinError> {
        links_in(&self.links(hook))
    }

    /// Every pinned link by which a program is in a NIC, and the port it was made for.
    pub(crate) fn pinned_nics(&self) -> Result<Vec<(PortName, PinnedLink)>, PinError> {
        links_in(&self.nics())
    }

    /// Every pinned link by which a port is judged while its program is exchanged, and the port.
    pub(crate) fn pinned_stand_ins(&self) -> Result<Vec<(PortName, PinnedLink)>, PinError> {
        links_in(&self.stand_ins())
    }

    /// Removes this version's maps and programs. Links that run over them keep them alive.
    pub(crate) fn discard_maps(&self) -> Result<(), PinError> {
        let maps = self.maps();
        fs::remove_dir_all(&maps).map_err(failed("remove", &maps))?;
        fs::create_dir(&maps).map_err(failed("create", &maps))
    }

    /// Removes the map sets of other ABI versions; to be called when no link runs a program over them any more.
    pub(crate) fn remove_other_versions(&self) -> Result<(), PinError> {
        for name in names(&self.root)? {
            let path = self.root.join(&name);
            if name.starts_with('v') && path != self.maps() {
                fs::remove_dir_all(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Removes everything: links first, which opens their ports, then maps.
    pub fn remove(self) -> Result<Vec<DetachedPort>, PinError> {
        for (port, link) in self.pinned_nics()? {
            detach(&self.nic(&port), &link)?;
        }
        let mut detached = BTreeMap::new();
        for hook in [Hook::Egress, Hook::Ingress] {
            for (port, link) in self.pinned_links(hook)? {
                let was = detach(&self.link(hook, &port), &link)?;
                detached.insert(port, was);
            }
        }
        for (port, link) in self.pinned_stand_ins()? {
            let was = detach(&self.stand_in(&port), &link)?;
            detached.entry(port).or_insert(was);
        }
        fs::remove_dir_all(&self.root).map_err(failed("remove", &self.root))?;
        Ok(detached.into_iter().map(|(port, was)| DetachedPort { port: port.to_string(), was }).collect())
    }
}

fn links_in(directory: &Path) -> Result<Vec<(PortName, PinnedLink)>, PinError> {
    let mut links = Vec::new();
    if !directory.exists() {
        return Ok(links); // pinned by an agent that did not know the hook
    }
    for name in names(directory)? {
        let path = directory.join(&name);
        let Ok(port) = pinned_name(&name).parse() else { continue }; // not of our making
        let fd = bpf::open_pin(&path).map_err(failed("open the link", &path))?;
        let info = bpf::link_info(fd.as_fd()).map_err(failed("read the link", &path))?;
        links.push((port, PinnedLink { fd, info }));
    }
    Ok(links)
}

/// A bpffs keeps dots to itself (kernel/bpf/inode.c), and a VLAN's interface has one: `swp1.100` is pinned as `swp1:100`.
fn pinned_as(name: &str) -> String {
    name.replace('.', ":")
}

/// The name that [`pinned_as`] made this of; no name has a colon.
fn pinned_name(pin: &str) -> String {
    pin.replace(':', ".")
}

fn detach(path: &Path, link: &PinnedLink) -> Result<Was, PinError> {
    let was = if link.info.ifindex == 0 { Was::Dead } else { Was::Attached };
    // An explicit detach works even where somebody else holds the link too.
    bpf::detach_link(link.fd.as_fd())
        .or_else(|error| if was == Was::Dead { Ok(()) } else { Err(error) })
        .map_err(failed("detach", path))?;
    fs::remove_file(path).map_err(failed("remove", path))?;
    Ok(was)
}

fn names(directory: &Path) -> Result<Vec<String>, PinError> {
    let entries = fs::read_dir(directory).map_err(failed("list", directory))?;
    let names: io::Result<Vec<String>> =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect();
    let mut names = names.map_err(failed("list", directory))?;
    names.sort();
    Ok(names)
}

fn is_bpffs(path: &Path) -> Result<bool, PinError> {
    let status = statfs(path).map_err(|errno| failed("look at", path)(errno.into()))?;
    Ok(status.filesystem_type() == BPF_FS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pin_has_a_dot_and_each_says_what_it_is_of() {
        let pins = Pins::at(Path::new("/sys/fs/bpf"), &"host1.rack-2".parse().unwrap());
        let pin = pins.link(Hook::Egress, &"swp1.100".parse().unwrap());
        assert_eq!(pin, Path::new("/sys/fs/bpf/selvedge/host1:rack-2/egress/swp1:100"));
        assert_eq!(pinned_name("swp1:100"), "swp1.100");
    }
}
