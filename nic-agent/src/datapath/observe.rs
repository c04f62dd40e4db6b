//! The agent's own links and the machine's interfaces, brought together.

use std::collections::BTreeMap;

use selvedge_agent_core::{Attachment, Hook, IfIndex, Interface, Machine, Owner, Program, XdpProgram};
use selvedge_hw_profiles::Mode;
use selvedge_topology::names::PortName;

use super::kernel::DatapathError;
use super::lineage::Lineage;
use super::pins::Pins;
use crate::machine::RawInterface;

/// A pinned link, and what netlink says of its interface.
pub(super) struct Link {
    pub(super) index: Option<IfIndex>,
    pub(super) mode: Mode,
    program_id: u32,
    program: Program,
}

impl Link {
    pub(super) fn attachment(&self) -> Attachment {
        Attachment { index: self.index, mode: self.mode, program: self.program }
    }
}

/// The pinned XDP links by port.
pub(super) fn links(
    pins: &Pins,
    interfaces: &[RawInterface],
    lineage: Lineage,
) -> Result<BTreeMap<PortName, Link>, DatapathError> {
    let links = pins.pinned_links(Hook::Ingress)?.into_iter().map(|(port, link)| {
        let index = Some(IfIndex(link.info.ifindex)).filter(|index| index.0 != 0);
        let on = interfaces.iter().find(|interface| Some(interface.index) == index);
        let program_id = link.info.program;
        let mode = on.and_then(|interface| interface.xdp.iter().find(|(_, id)| *id == program_id));
        // An interface that went away since the dump is as good as gone; the next event says so.
        let mode = mode.map_or(Mode::Generic, |(mode, _)| *mode);
        let program = lineage.of(&link.info)?;
        Ok((port, Link { index, mode, program_id, program }))
    });
    links.collect()
}

/// The interfaces, with whose programs are on them; `in_nics` are the agent's own in NICs.
pub(super) fn machine(
    interfaces: &[RawInterface],
    links: &BTreeMap<PortName, Link>,
    in_nics: &BTreeMap<IfIndex, u32>,
) -> Machine {
    let interfaces = interfaces.iter().map(|raw| {
        let RawInterface { name, index, seen, xdp } = raw;
        let programs = xdp.iter().map(|(mode, id)| {
            let own = links.values().any(|link| link.index == Some(*index) && link.program_id == *id)
                || in_nics.get(index) == Some(id);
            let owner = if own { Owner::Agent } else { Owner::Foreign };
            XdpProgram { id: *id, name: program_name(*id, owner), mode: *mode, owner }
        });
        let programs = programs.collect();
        (name.clone(), Interface { index: *index, seen: seen.clone(), programs })
    });
    Machine { interfaces: interfaces.collect() }
}

/// The name of a program; needs CAP_SYS_ADMIN, so it may stay unknown.
fn program_name(id: u32, owner: Owner) -> String {
    match owner {
        Owner::Agent => selvedge_abi::PROGRAM_XDP.to_owned(),
        Owner::Foreign => {
            let found = aya::programs::loaded_programs().flatten().find(|program| program.id() == id);
            found
                .and_then(|program| program.name_as_str().map(ToOwned::to_owned))
                .unwrap_or_else(|| "?".to_owned())
        }
    }
}
