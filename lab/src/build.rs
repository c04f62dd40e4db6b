//! [`Blueprint`] → kernel.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::blueprint::{Blueprint, Forwarding, Interface, InterfaceKind, Space, Tenant};
use crate::clear::{ClearError, Cleared, clear};
use crate::kernel::mounts;
use crate::kernel::namespace::{self, Namespace, NamespaceError};
use crate::kernel::netlink::{Netlink, NetlinkError};
use crate::kernel::sysctl::{self, SysctlError};
use crate::names::LabName;
use crate::registry::{self, Phase, Place, Record, Registry, RegistryError};

/// Why a lab can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// It is there.
    #[error(
        "lab `{lab}` is up already; `selvedge-lab down {lab}` removes it, `--name` builds another beside it"
    )]
    AlreadyUp {
        /// Its name.
        lab: LabName,
    },
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A kernel setting of one.
    #[error("{space}: {source}")]
    Sysctl {
        /// Where.
        space: String,
        /// What.
        source: SysctlError,
    },
    /// The network of one.
    #[error("{space}: {source}")]
    Netlink {
        /// Where.
        space: String,
        /// What.
        source: NetlinkError,
    },
    /// The bpffs for the agents.
    #[error("mount a bpffs at {}: {source}", path.display())]
    Bpffs {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What an earlier, unfinished `up` left can't be cleared.
    #[error(transparent)]
    Clear(#[from] ClearError),
}

/// Builds a lab. Clears what an unfinished `up` of the same name left, and says what; clears its own traces if it fails.
pub async fn build(blueprint: &Blueprint, documents: &Path) -> Result<Option<Cleared>, BuildError> {
    let registry = Registry::lock()?;
    let lab = &blueprint.lab;
    let left = match registry::find(lab)? {
        Some(record) if record.phase == Phase::Up => return Err(BuildError::AlreadyUp { lab: lab.clone() }),
        // Its maker doesn't hold the lock any more, so it is dead.
        Some(_) => Some(clear(&registry, lab)?),
        None => None,
    };
    // Refused before anything is recorded: what is recorded is ours to remove.
    if let Some(space) = blueprint.spaces.iter().find(|space| namespace::exists(&space.namespace)) {
        return Err(NamespaceError::Exists { name: space.namespace.clone() }.into());
    }
    let mut record = record(blueprint, documents);
    registry.write(&record)?;
    match make(blueprint).await {
        Ok(()) => {
            record.phase = Phase::Up;
            registry.write(&record)?;
            Ok(left)
        }
        Err(error) => {
            clear(&registry, lab)?;
            Err(error)
        }
    }
}

fn record(blueprint: &Blueprint, documents: &Path) -> Record {
    let place = |space: &Space| {
        let Space { target, namespace, tenant, .. } = space;
        let own =
            Place { target: target.clone(), namespace: namespace.clone(), addresses: space.addresses() };
        let lent = tenant.iter().map(|Tenant { target, addresses }| Place {
            target: target.clone(),
            namespace: namespace.clone(),
            addresses: addresses.clone(),
        });
        std::iter::once(own).chain(lent).collect::<Vec<_>>()
    };
    Record {
        lab: blueprint.lab.clone(),
        documents: std::path::absolute(documents).unwrap_or_else(|_| documents.to_owned()),
        since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        phase: Phase::Unfinished,
        places: blueprint.spaces.iter().flat_map(place).collect(),
    }
}

/// A namespace that is being furnished.
struct Site<'a> {
    space: &'a Space,
    namespace: Namespace,
    netlink: Netlink,
}

impl<'a> Site<'a> {
    /// A new namespace.
    fn open(space: &'a Space) -> Result<Self, BuildError> {
        Self::prepared(space, Namespace::create(&space.namespace)?, space.forwarding)
    }

    /// This machine, whose interfaces are there and have not the names that they shall have.
    async fn here(space: &'a Space) -> Result<Self, BuildError> {
        let site = Self::prepared(space, Namespace::here(&space.namespace)?, Forwarding::EndsHere)?;
        for interface in &space.interfaces {
            site.netlink.name(interface).await.map_err(at(space))?;
            site.set(|| sysctl::adopt(&interface.name, Forwarding::EndsHere))?;
        }
        Ok(site)
    }

    fn prepared(space: &'a Space, namespace: Namespace, forwarding: Forwarding) -> Result<Self, BuildError> {
        let netlink = Netlink::connect(&namespace).map_err(at(space))?;
        let site = Self { space, namespace, netlink };
        site.set(|| sysctl::prepare(forwarding))?;
        Ok(site)
    }

    /// Sets kernel settings of the namespace.
    fn set(&self, settings: impl FnOnce() -> Result<(), SysctlError> + Send) -> Result<(), BuildError> {
        let done = self.namespace.run(settings)?;
        done.map_err(|source| BuildError::Sysctl { space: self.space.to_string(), source })
    }

    async fn before_wires(&self) -> Result<(), NetlinkError> {
        self.netlink.loopback(&self.space.loopback).await?;
        for bridge in self.space.interfaces.iter().filter(|interface| interface.kind == InterfaceKind::Bridge)
        {
            self.netlink.bridge(bridge).await?;
        }
        Ok(())
    }

    async fn after_wires(&self) -> Result<(), NetlinkError> {
        for interface in &self.space.interfaces {
            self.netlink.up(interface).await?;
            if let InterfaceKind::BridgePort { bridge, isolation } = interface.kind {
                self.netlink.bridge_port(interface, bridge, isolation).await?;
            }
            self.netlink.addresses(interface.index, &interface.name, &interface.addresses).await?;
        }
        for route in &self.space.routes {
            self.netlink.route(route).await?;
        }
        Ok(())
    }

    fn close_management(&self) -> Result<(), BuildError> {
        let management = |interface: &&Interface| interface.kind == InterfaceKind::Management;
        for interface in self.space.interfaces.iter().filter(management) {
            self.set(|| sysctl::out_of_band(&interface.name))?;
        }
        Ok(())
    }
}

/// Gives this machine the network of a node: names of ports, addresses, routes. It forwards nothing until [`forward`].
pub async fn furnish(space: &Space) -> Result<(), BuildError> {
    let site = Site::here(space).await?;
    site.before_wires().await.map_err(at(space))?;
    site.after_wires().await.map_err(at(space))
}

/// Has this machine, which is furnished, forward as the node does.
pub fn forward(space: &Space) -> Result<(), BuildError> {
    let set = |done: Result<(), SysctlError>| {
        done.map_err(|source| BuildError::Sysctl { space: space.to_string(), source })
    };
    set(sysctl::prepare(space.forwarding))?;
    for interface in &space.interfaces {
        set(match interface.kind {
            InterfaceKind::Management => sysctl::out_of_band(&interface.name),
            _ => sysctl::adopt(&interface.name, space.forwarding),
        })?;
    }
    Ok(())
}

fn at(space: &Space) -> impl FnOnce(NetlinkError) -> BuildError {
    move |source| BuildError::Netlink { space: space.to_string(), source }
}

async fn make(blueprint: &Blueprint) -> Result<(), BuildError> {
    let path = registry::bpffs(&blueprint.lab);
    mounts::bpffs(&path).map_err(|source| BuildError::Bpffs { path, source })?;
    let sites = blueprint.spaces.iter().map(Site::open).collect::<Result<Vec<_>, _>>()?;
    for site in &sites {
        site.before_wires().await.map_err(at(site.space))?;
    }
    for wire in &blueprint.wires {
        let (here, there) = (&sites[wire.a.space], &sites[wire.b.space]);
        let [a, b] = [wire.a, wire.b].map(|end| blueprint.interface(end));
        here.netlink.wire(a, &there.namespace, b).await.map_err(at(here.space))?;
    }
    for site in &sites {
        site.after_wires().await.map_err(at(site.space))?;
        site.close_management()?;
    }
    Ok(())
}
