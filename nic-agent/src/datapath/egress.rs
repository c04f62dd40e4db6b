//! Judging what the node sends: by tcx links, pinned at once.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use aya::programs::SchedClassifier;
use aya::programs::links::{FdLink, LinkOrder};
use aya::programs::tc::{TcAttachOptions, TcAttachType};
use selvedge_agent_core::{EgressLink, Hook, IfIndex, Program, Support};
use selvedge_topology::names::PortName;

use super::kernel::{DatapathError, chain};
use super::pins::{PinError, Pins};

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

/// The pinned links by port. `current` is the number of the program that they should run.
pub(super) fn links(pins: &Pins, current: u32) -> Result<BTreeMap<PortName, EgressLink>, PinError> {
    let links = pins.pinned_links(Hook::Egress)?.into_iter().map(|(port, link)| {
        let index = Some(IfIndex(link.info.ifindex)).filter(|index| index.0 != 0);
        let program = if link.info.program == current { Program::Current } else { Program::Outdated };
        (port, EgressLink { index, program })
    });
    Ok(links.collect())
}

/// Attaches `program` before whatever else judges what is sent there, for another program may end the chain; and pins the link.
pub(super) fn attach(
    program: &mut SchedClassifier,
    port: &PortName,
    pin: &Path,
) -> Result<(), DatapathError> {
    let failed = |error: &dyn Error| DatapathError::AttachEgress { port: port.clone(), reason: chain(error) };
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program
        .attach_with_options(port.as_str(), TcAttachType::Egress, first)
        .map_err(|error| failed(&error))?;
    let link = program.take_link(id).map_err(|error| failed(&error))?;
    let link = FdLink::try_from(link).map_err(|error| failed(&error))?;
    link.pin(pin).map(drop).map_err(|error| failed(&error))
}
