//! Looking at ports: everything that decides what each can do, and loads that are tried where a profile allows it.
//! Nothing is attached and nothing is changed.

mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::{fs, io};

use nix::unistd::{SysconfVar, sysconf};
use rtnetlink::Handle;
use selvedge_agent_core::IfIndex;
use selvedge_hw_profiles::profile::Support;
use selvedge_hw_profiles::recording::{Origin, RecordedPort, Recording, Trial, VERSION};
use selvedge_hw_profiles::units::Bytes;
use selvedge_hw_profiles::{Port, Profiles};

use crate::machine::devlink::{Depth, Devices};
use crate::machine::{self, MachineError, RawInterface};

/// Looking failed. Where only part of what is to be seen can't be, it is left out instead.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The interfaces can't be listed.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A port that is not there.
    #[error("there is no interface `{name}` in this network namespace; `ip link` lists what there is")]
    NoPort {
        /// Its name.
        name: String,
    },
    /// The machine can't be asked what it is.
    #[error("can't ask the machine what it is: {0}")]
    Machinery(#[from] nix::errno::Errno),
    /// A file of the kernel's can't be read.
    #[error("can't read {path}: {source}")]
    Read {
        /// The file.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Looks at the interfaces `names`; at all but the loopback where there are none.
pub async fn probe(
    netlink: &Handle,
    profiles: &Profiles,
    names: &BTreeSet<String>,
) -> Result<Recording, ProbeError> {
    let interfaces = machine::interfaces(netlink).await?;
    if let Some(name) = names.iter().find(|name| !interfaces.iter().any(|it| it.name == **name)) {
        return Err(ProbeError::NoPort { name: name.clone() });
    }
    let chosen =
        |it: &&RawInterface| if names.is_empty() { it.name != "lo" } else { names.contains(&it.name) };
    let surroundings = Surroundings {
        peers: machine::peers(netlink).await?,
        mtus: interfaces.iter().map(|it| (it.index, it.seen.mtu)).collect(),
        cpus: cpus()?,
    };
    let mut devices = Devices::open().await;
    let mut ports = BTreeMap::new();
    for interface in interfaces.iter().filter(chosen) {
        let mut seen = look(interface, &surroundings).await;
        if let Some(devices) = &mut devices {
            devices.look(interface.index, Depth::All, &mut seen).await;
        }
        let tried = tried(profiles, interface.index, &seen);
        ports.insert(interface.name.clone(), RecordedPort { seen, tried });
    }
    Ok(Recording {
        recording: VERSION,
        origin: Origin::Recorded,
        note: String::new(),
        kernel: kernel_word("/proc/sys/kernel/osrelease")?,
        architecture: std::env::consts::ARCH.to_owned(),
        page: Bytes(configured(SysconfVar::PAGE_SIZE)?),
        ports,
    })
}

/// What is asked once for all ports.
struct Surroundings {
    peers: BTreeMap<IfIndex, IfIndex>,
    mtus: BTreeMap<IfIndex, Bytes>,
    cpus: u32,
}

async fn look(interface: &RawInterface, around: &Surroundings) -> Port {
    let RawInterface { name, index, seen, .. } = interface;
    let mut port = seen.clone();
    port.peer_mtu = around.peers.get(index).and_then(|peer| around.mtus.get(peer)).copied();
    port.vfs = crate::sys::ethtool::driver_info(name).ok().and_then(|told| machine::vfs(&told.bus));
    port.cpus = Some(around.cpus);
    machine::features::look(name, &mut port).await;
    port
}

/// Loads are tried only on devices that run programs themselves; anywhere else the kernel's own limits are known.
fn tried(profiles: &Profiles, index: IfIndex, seen: &Port) -> Vec<Trial> {
    let profile = profiles.of(seen).map(|found| &found.entry.profile);
    let netdev = profile.and_then(|profile| profile.netdev(seen));
    match netdev.map(|netdev| &netdev.offload) {
        Some(Support::Runs(_)) => trials::on_device(index),
        _ => Vec::new(),
    }
}

fn kernel_word(path: &'static str) -> Result<String, ProbeError> {
    let text = fs::read_to_string(path).map_err(|source| ProbeError::Read { path, source })?;
    Ok(text.trim().to_owned())
}

/// CPUs that may be there, not only those that are on: drivers make queues for all.
fn cpus() -> Result<u32, ProbeError> {
    configured(SysconfVar::_NPROCESSORS_CONF)
}

fn configured(variable: SysconfVar) -> Result<u32, ProbeError> {
    let number = sysconf(variable)?.and_then(|number| u32::try_from(number).ok());
    Ok(number.unwrap_or_default())
}
