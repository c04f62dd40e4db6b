//! Where a virtual machine's ports lead: the chassis of a node in a lab.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};
use tokio::process::Command;

use crate::blueprint::{Space, bridge, tap};
use crate::kernel::namespace::{Namespace, NamespaceError};
use crate::kernel::processes::MARK;
use crate::names::{LabName, Target};

/// Pairs of queues of each port: XDP wants one to send by beside that of each processor.
const QUEUE_PAIRS: u32 = 4;

/// Makes a tap device, as QEMU calls it, a port of its bridge; `bridge` and `tap` of the blueprint name both.
const JOIN: &str = "#!/bin/sh\nexec ip link set dev \"$1\" master \"br${1#tap}\" up\n";

/// Why a machine can't take a node's place.
#[derive(Debug, thiserror::Error)]
pub enum SeatError {
    /// The namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// Nothing there would join its ports to the lab's wires.
    #[error(
        "lab `{lab}` has no room for a machine at {node}; build it with `selvedge-lab up --machine {node}`"
    )]
    NoChassis {
        /// The lab.
        lab: LabName,
        /// The node.
        node: Target,
    },
}

/// The place of a node.
#[derive(Debug)]
pub struct Seat {
    lab: LabName,
    chassis: Namespace,
    /// The indices of the node's interfaces, in their order.
    ports: Vec<u32>,
}

impl Seat {
    /// The place of the node that `space` is in a lab; its namespace has to be a chassis.
    pub fn open(lab: &LabName, space: &Space) -> Result<Self, SeatError> {
        let (lab, chassis) = (lab.clone(), Namespace::open(&space.namespace)?);
        let ports: Vec<u32> = space.interfaces.iter().map(|interface| interface.index).collect();
        let joined = chassis.run(|| ports.iter().all(|port| if_nametoindex(&*bridge(*port)).is_ok()))?;
        if !joined {
            return Err(SeatError::NoChassis { lab, node: space.target.clone() });
        }
        Ok(Self { lab, chassis, ports })
    }

    /// Gives QEMU a port for each interface. The guest's kernel counts them as it finds them, so that they get the indices
    /// that they have in the blueprint.
    pub(super) fn wire(self, command: &mut Command, folder: &Path) -> io::Result<()> {
        let script = folder.join("join");
        fs::write(&script, JOIN)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let (script, vectors) = (script.display(), 2 * QUEUE_PAIRS + 2);
        for port in &self.ports {
            let tap = tap(*port);
            command
                .arg("-netdev")
                .arg(format!("tap,id={tap},ifname={tap},queues={QUEUE_PAIRS},script={script},downscript=no"));
            // What a packet still lacks when the host hands it over, an XDP program would not see.
            command.arg("-device").arg(format!(
                "virtio-net-pci,netdev={tap},mq=on,vectors={vectors},guest_csum=off,guest_tso4=off,\
                 guest_tso6=off,guest_ecn=off,guest_ufo=off"
            ));
        }
        command.env(MARK, self.lab.as_str());
        let enter = move || Ok(setns(&self.chassis, CloneFlags::CLONE_NEWNET)?);
        #[expect(unsafe_code, reason = "pre_exec runs between fork and exec; setns is a plain system call")]
        // SAFETY: the closure allocates nothing, takes no lock and calls only async-signal-safe functions.
        unsafe {
            command.pre_exec(enter);
        }
        Ok(())
    }
}
