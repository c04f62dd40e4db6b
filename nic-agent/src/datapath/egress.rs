//! Judging what the node sends: by tcx links, pinned at once.

use std::collections::BTreeMap;
use std::error::Error;
use std::os::fd::AsFd;
use std::path::Path;
use std::{fs, io};

use aya::programs::links::{FdLink, LinkError, LinkOrder};
use aya::programs::tc::{TcAttachOptions, TcAttachType};
use aya::programs::{ProgramError, ProgramInfo, SchedClassifier};
use selvedge_agent_core::{EgressLink, Hook, IfIndex, Precedence, Support};
use selvedge_topology::names::PortName;

use super::kernel::{DatapathError, chain};
use super::lineage::Lineage;
use super::pins::Pins;
use super::programs;
use crate::sys::bpf;

/// Whether the kernel has tcx, asked of an interface that every namespace has. Without it, a filter of a queueing discipline
/// would be left, which anybody replaces.
pub(super) fn support() -> Support {
    match SchedClassifier::query_tcx("lo", TcAttachType::Egress) {
        Ok(_) => Support::Tcx,
        Err(error) => {
            Support::Missing { reason: format!("the kernel has no tcx (Linux 6.6): {}", chain(&error)) }
        }
    }
}

/// The pinned links by port.
pub(super) fn links(pins: &Pins, lineage: Lineage) -> Result<BTreeMap<PortName, EgressLink>, DatapathError> {
    let links = pins.pinned_links(Hook::Egress)?.into_iter().map(|(port, link)| {
        let index = Some(IfIndex(link.info.ifindex)).filter(|index| index.0 != 0);
        let program = lineage.of(&link.info)?;
        let place = place(&port, link.info.program);
        Ok((port, EgressLink { index, program, place }))
    });
    links.collect()
}

/// Where a program stands among those on a port. An interface that just went away has none; the next event says so.
fn place(port: &PortName, program: u32) -> Precedence {
    let all = SchedClassifier::query_tcx(port.as_str(), TcAttachType::Egress);
    let before = |(_, all): (u64, Vec<ProgramInfo>)| all.iter().position(|one| one.id() == program);
    match all.ok().and_then(before) {
        None | Some(0) => Precedence::First,
        Some(_) => Precedence::Behind,
    }
}

/// Attaches `program` before whatever else judges what is sent there, for another program may end the chain; and pins the link.
pub(super) fn attach(
    program: &mut SchedClassifier,
    port: &PortName,
    pin: &Path,
) -> Result<(), DatapathError> {
    let link = attach_first(program, port, TcAttachType::Egress).map_err(|error| failed(port, &error))?;
    link.pin(pin).map(drop).map_err(|error| failed(port, &error))
}

/// Takes the first place on `port` again: a second copy of the program is attached there, its link put in the place of the
/// one before, and given the `program` that every link runs. A packet in between is judged twice. Whatever is left where this
/// ends early is taken up by the next time, or by nobody: a link without a pin ends with this process.
pub(super) fn advance(program: &SchedClassifier, pins: &Pins, port: &PortName) -> Result<(), DatapathError> {
    let (pin, beside) = (pins.link(Hook::Egress, port), pins.advancing());
    let in_pin = |source: io::Error| DatapathError::Pin { path: pin.clone(), source };
    let before = bpf::open_pin(&pin).map_err(in_pin)?;
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(in_pin(error)),
        _ => {}
    }
    let mut object = programs::over_pinned_maps(pins)?;
    let link = attach_first(programs::load(&mut object)?, port, TcAttachType::Egress)
        .map_err(|error| failed(port, &error))?;
    let link = link.pin(&beside).map_err(|error| failed(port, &error))?;
    fs::rename(&beside, &pin).map_err(in_pin)?;
    bpf::detach_link(before.as_fd()).map_err(in_pin)?;
    drop(link);
    let link = bpf::open_pin(&pin).map_err(in_pin)?;
    bpf::update_link(link.as_fd(), program.fd()?.as_fd()).map_err(in_pin)
}

fn failed(port: &PortName, error: &dyn Error) -> DatapathError {
    DatapathError::AttachEgress { port: port.clone(), reason: chain(error) }
}

/// Attaches `program` before whoever else is there.
pub(super) fn attach_first(
    program: &mut SchedClassifier,
    port: &PortName,
    hook: TcAttachType,
) -> Result<FdLink, TcxError> {
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(port.as_str(), hook, first)?;
    Ok(FdLink::try_from(program.take_link(id)?)?)
}

/// A program can't be attached by tcx.
#[derive(Debug, thiserror::Error)]
pub(super) enum TcxError {
    /// The kernel has its reasons.
    #[error(transparent)]
    Attach(#[from] ProgramError),
    /// It was attached otherwise.
    #[error(transparent)]
    Link(#[from] LinkError),
}
