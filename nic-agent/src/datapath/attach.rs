//! Attaching: the best mode the kernel grants, pinned at once, and why it is no better.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use aya::programs::links::FdLink;
use aya::programs::{ProgramError, Xdp, XdpMode};
use selvedge_agent_core::{IfIndex, Placement, Refused, XdpProgram};
use selvedge_hw_profiles::{Mode, ModeChoice};
use selvedge_topology::names::PortName;

use super::kernel::{DatapathError, chain};
use crate::sys::{bpf, extack};

/// Attaches `program` in the first mode of `choice` that works, and pins the link.
pub(super) fn attach(
    program: &mut Xdp,
    port: &PortName,
    index: IfIndex,
    choice: &ModeChoice,
    pin: &Path,
) -> Result<Placement, DatapathError> {
    let mut refused = Vec::new();
    for mode in std::iter::once(choice.first).chain(choice.fallbacks.iter().copied()) {
        match try_mode(program, index, mode, pin) {
            Ok(()) => return Ok(Placement::after_attach(choice, &refused, mode)),
            Err(reason) => refused.push(Refused { mode, reason }),
        }
    }
    Err(DatapathError::Attach { port: port.clone(), refused })
}

fn try_mode(program: &mut Xdp, index: IfIndex, mode: Mode, pin: &Path) -> Result<(), String> {
    let xdp_mode = match mode {
        Mode::Offload => XdpMode::Hardware,
        Mode::Native => XdpMode::Driver,
        Mode::Generic => XdpMode::Skb,
    };
    let id = match program.attach_to_if_index(index.0, xdp_mode) {
        Ok(id) => id,
        Err(error) => return Err(words(program, index, mode, &error)),
    };
    let link = program.take_link(id).map_err(|error| chain(&error))?;
    // Without a bpf link (kernels before 5.9) nothing could outlive the agent; dropping the link takes it off again.
    let link = FdLink::try_from(link).map_err(|error| format!("no bpf link: {}", chain(&error)))?;
    link.pin(pin).map(drop).map_err(|error| format!("can't pin the link: {}", chain(&error)))
}

/// The kernel's words where it has some, and the errno.
fn words(program: &Xdp, index: IfIndex, mode: Mode, error: &ProgramError) -> String {
    let errno = chain(error);
    let fd = program.fd().ok();
    let message = fd.and_then(|fd| extack::refusal(index, fd.as_fd(), mode));
    message.map_or(errno.clone(), |message| format!("{message} ({errno})"))
}

/// Takes somebody else's programs off a port.
pub(super) fn displace(
    port: &PortName,
    index: IfIndex,
    programs: &[XdpProgram],
) -> Result<(), DatapathError> {
    for program in programs {
        tracing::warn!(%port, %program, "taking somebody else's program off the port");
        let failed = |reason: String| DatapathError::Displace {
            port: port.clone(),
            program: program.to_string(),
            reason,
        };
        match foreign_link(index, program.id).map_err(|error| failed(error.to_string()))? {
            Some(link) => bpf::detach_link(link.as_fd()).map_err(|error| failed(error.to_string()))?,
            None => extack::remove(index, program.mode).map_err(|error| failed(error.to_string()))?,
        }
    }
    Ok(())
}

/// The link by which a program is on an interface, if it is there by one.
fn foreign_link(index: IfIndex, program: u32) -> io::Result<Option<std::os::fd::OwnedFd>> {
    for info in aya::programs::loaded_links().flatten().filter(|link| link.program_id() == program) {
        let link = bpf::open_link(info.id())?;
        if bpf::link_info(link.as_fd())?.ifindex == index.0 {
            return Ok(Some(link));
        }
    }
    Ok(None)
}
