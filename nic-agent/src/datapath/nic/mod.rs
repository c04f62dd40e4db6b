//! Programs in NICs: maps, program and link, each of which hardware may refuse.
//!
//! Whatever it refuses, the program in the kernel is there and judges everything. So a refusal is told and is no error; an error is
//! only what would leave a program in the NIC that has to go.

mod counts;
mod hardware;

use std::collections::BTreeMap;
use std::io;

use selvedge_agent_core::{IfIndex, NicLink, NicProgram, ProgramName};
use selvedge_codegen::Map;
use selvedge_topology::names::PortName;

pub(super) use counts::Counts;
pub(super) use hardware::Kernel;

use super::pins::{PinError, Pins};
use crate::sys::device;

/// A step of loading, and the words of whoever refused it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NicRefusal {
    /// A map can't be made.
    #[error("the NIC does not take the map `{map}`: {reason}")]
    Map {
        /// Its name.
        map: String,
        /// The driver's words.
        reason: String,
    },
    /// An entry can't be written.
    #[error("the NIC does not take an entry of the map `{map}`: {reason}")]
    Entry {
        /// The map.
        map: String,
        /// The driver's words.
        reason: String,
    },
    /// The program is not taken: it is not bound to the device, or the verifier or the driver refuses it.
    #[error("the NIC does not take the program: {reason}")]
    Program {
        /// The words of the verifier and the driver.
        reason: String,
    },
    /// The program is loaded and not attached.
    #[error("the NIC does not run the program: {reason}")]
    Attach {
        /// The driver's words.
        reason: String,
    },
    /// It is not taken in the place of the one that ran, nor attached after that one was taken out.
    #[error(
        "the NIC does not take the program in the place of the one that it ran ({live}), nor does it run it without that one: {reason}"
    )]
    Exchange {
        /// The kernel's words while the other one ran.
        live: String,
        /// The driver's words when none did.
        reason: String,
    },
}

/// What hardware can be asked, one step each.
pub(super) trait Hardware {
    /// A map on a device.
    type Map;
    /// A program on a device.
    type Program;

    fn make_map(&mut self, index: IfIndex, map: &Map) -> Result<Self::Map, String>;
    fn write(&mut self, map: &Self::Map, key: &[u8], value: &[u8]) -> Result<(), String>;
    fn load(
        &mut self,
        index: IfIndex,
        program: &NicProgram,
        maps: &[Self::Map],
    ) -> Result<Self::Program, String>;
    /// Puts a program in the place of the one that runs, while packets pass; `false` where none runs.
    fn replace(&mut self, port: &PortName, program: &Self::Program) -> Result<bool, String>;
    /// Takes the program of a port out, and its pin away, if there is one.
    fn take_out(&mut self, port: &PortName) -> io::Result<()>;
    fn attach(&mut self, port: &PortName, index: IfIndex, program: &Self::Program) -> Result<(), String>;
}

/// Makes `program` the one in the NIC of `port`. Where that is refused, there is none in it afterwards.
pub(super) fn put<H: Hardware>(
    hardware: &mut H,
    port: &PortName,
    index: IfIndex,
    program: &NicProgram,
) -> io::Result<Result<(), NicRefusal>> {
    let loaded = match load(hardware, index, program) {
        Ok(loaded) => loaded,
        Err(refusal) => {
            hardware.take_out(port)?;
            return Ok(Err(refusal));
        }
    };
    let live = match hardware.replace(port, &loaded) {
        Ok(true) => return Ok(Ok(())),
        Ok(false) => None,
        Err(live) => {
            tracing::info!(%port, reason = live, "the NIC does not change programs while packets pass; it goes without one meanwhile");
            Some(live)
        }
    };
    hardware.take_out(port)?;
    Ok(hardware.attach(port, index, &loaded).map_err(|reason| match live {
        Some(live) => NicRefusal::Exchange { live, reason },
        None => NicRefusal::Attach { reason },
    }))
}

/// Makes the maps, loads the program, and fills the maps: that takes longest, and is for a program that the NIC has taken.
fn load<H: Hardware>(
    hardware: &mut H,
    index: IfIndex,
    program: &NicProgram,
) -> Result<H::Program, NicRefusal> {
    let maps = &program.program.maps;
    let mut made = Vec::new();
    for map in maps {
        let refused = |reason| NicRefusal::Map { map: map.name.clone(), reason };
        made.push(hardware.make_map(index, map).map_err(refused)?);
    }
    let loaded = hardware.load(index, program, &made).map_err(|reason| NicRefusal::Program { reason })?;
    for (map, made) in maps.iter().zip(&made) {
        let refused = |reason| NicRefusal::Entry { map: map.name.clone(), reason };
        map.entries.iter().try_for_each(|(key, value)| hardware.write(made, key, value)).map_err(refused)?;
    }
    Ok(loaded)
}

/// The pinned links, by port.
pub(super) fn links(pins: &Pins) -> Result<BTreeMap<PortName, (NicLink, u32)>, PinError> {
    let links = pins.pinned_nics()?.into_iter().map(|(port, link)| {
        let index = Some(IfIndex(link.info.ifindex)).filter(|index| index.0 != 0);
        // A program that went with its device has no name; no plan asks for one.
        let name = device::program_name(link.info.program).unwrap_or_default();
        (port, (NicLink { index, program: ProgramName::found(name) }, link.info.program))
    });
    Ok(links.collect())
}

#[cfg(test)]
mod tests;
