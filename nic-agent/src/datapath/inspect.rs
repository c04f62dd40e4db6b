//! What is pinned, read without changing anything and without an agent.

use selvedge_agent_core::{Hook, IfIndex, Tables};
use selvedge_hw_profiles::Mode;
use selvedge_topology::names::PortName;

use super::kernel::DatapathError;
use super::pins::{PinnedLink, Pins};
use super::tables::KernelTables;
use crate::machine::RawInterface;

/// The pins of a node, opened.
pub struct PinnedState {
    /// The maps.
    pub tables: Tables,
    /// The XDP links, by port.
    pub links: Vec<PinnedPort>,
    /// The links that judge what the node sends, by port.
    pub egress: Vec<PlainLink>,
    /// The links by which programs are in NICs, by port.
    pub nics: Vec<PlainLink>,
    /// The links that judge ports while their programs are exchanged, by port.
    pub stand_ins: Vec<PlainLink>,
}

/// A pinned XDP link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedPort {
    /// The port it was made for.
    pub port: PortName,
    /// The interface it is on; `None` when that is gone.
    pub index: Option<IfIndex>,
    /// The mode it runs in; `None` with the interface.
    pub mode: Option<Mode>,
    /// The kernel's number of the link.
    pub id: u32,
    /// The kernel's number of the program.
    pub program: u32,
}

/// A pinned link whose mode is that of its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainLink {
    /// The port it was made for.
    pub port: PortName,
    /// The interface it is on; `None` when that is gone.
    pub index: Option<IfIndex>,
    /// The kernel's number of the link.
    pub id: u32,
    /// The kernel's number of the program.
    pub program: u32,
}

impl PinnedState {
    /// Reads the pins, in the order that an agent at work meanwhile can't make contradict itself: the generation in
    /// force before the links that were made for it, and the interfaces (which `interfaces` lists) after the links
    /// on them.
    pub fn read<E: From<DatapathError>>(
        pins: &Pins,
        interfaces: impl FnOnce() -> Result<Vec<RawInterface>, E>,
    ) -> Result<Self, E> {
        let tables = KernelTables::open(pins).and_then(|tables| tables.read())?;
        let pinned = pins.pinned_links(Hook::Ingress).map_err(DatapathError::from)?;
        let sent = pins.pinned_links(Hook::Egress).map_err(DatapathError::from)?;
        let in_nics = pins.pinned_nics().map_err(DatapathError::from)?;
        let standing = pins.pinned_stand_ins().map_err(DatapathError::from)?;
        let interfaces = interfaces()?;
        let links = pinned.into_iter().map(|(port, link)| {
            let index = Some(IfIndex(link.info.ifindex)).filter(|index| index.0 != 0);
            let on = interfaces.iter().find(|interface| Some(interface.index) == index);
            let mode = on
                .and_then(|on| on.xdp.iter().find(|(_, id)| *id == link.info.program))
                .map(|(mode, _)| *mode);
            PinnedPort { port, index, mode, id: link.info.id, program: link.info.program }
        });
        let plain = |(port, link): (PortName, PinnedLink)| {
            let index = Some(IfIndex(link.info.ifindex)).filter(|index| index.0 != 0);
            PlainLink { port, index, id: link.info.id, program: link.info.program }
        };
        let all = |links: Vec<_>| links.into_iter().map(plain).collect();
        let (egress, nics, stand_ins) = (all(sent), all(in_nics), all(standing));
        Ok(Self { tables, links: links.collect(), egress, nics, stand_ins })
    }
}
