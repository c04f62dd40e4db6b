//! Judging what a port receives while its XDP program is exchanged for one in another mode: by a tcx link, pinned at once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use aya::programs::SchedClassifier;
use aya::programs::tc::TcAttachType;
use selvedge_abi::PROGRAM_STAND_IN;
use selvedge_agent_core::{IfIndex, StandIn};
use selvedge_topology::names::PortName;

use super::kernel::{DatapathError, chain};
use super::pins::{PinError, Pins};
use super::{egress, programs};
use crate::sys::bpf;

/// The pinned links by port.
pub(super) fn links(pins: &Pins) -> Result<BTreeMap<PortName, StandIn>, PinError> {
    let links = pins.pinned_stand_ins()?.into_iter().map(|(port, link)| {
        (port, StandIn { index: Some(IfIndex(link.info.ifindex)).filter(|index| index.0 != 0) })
    });
    Ok(links.collect())
}

/// Lets a copy of the stand-in judge what `port` receives, before whoever else is there. It is loaded for this only, since ports
/// seldom change their modes.
pub(super) fn attach(pins: &Pins, port: &PortName) -> Result<(), DatapathError> {
    let mut object = programs::over_pinned_maps(pins)?;
    let missing = DatapathError::MissingProgram { name: PROGRAM_STAND_IN };
    let program: &mut SchedClassifier = object.program_mut(PROGRAM_STAND_IN).ok_or(missing)?.try_into()?;
    program.load()?;
    let failed =
        |error: &dyn std::error::Error| DatapathError::StandIn { port: port.clone(), reason: chain(error) };
    let link = egress::attach_first(program, port, TcAttachType::Ingress).map_err(|error| failed(&error))?;
    link.pin(pins.stand_in(port)).map(drop).map_err(|error| failed(&error))
}

/// Takes the stand-in off, and its pin away.
pub(super) fn relieve(pin: &Path) -> io::Result<()> {
    let link = bpf::open_pin(pin)?;
    if bpf::link_info(link.as_fd())?.ifindex != 0 {
        bpf::detach_link(link.as_fd())?;
    }
    fs::remove_file(pin)
}
