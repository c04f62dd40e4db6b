//! What is pinned, held by this process besides: where somebody removes a pin, or puts another in its place, nothing ends with it as long
//! as the agent runs, and the pin is put back.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::{fs, os::fd::OwnedFd};

use aya::maps::{MapData, MapInfo};
use aya::programs::{ProgramInfo, SchedClassifier, Xdp};
use selvedge_abi::map;
use selvedge_agent_core::Hook;
use selvedge_topology::names::PortName;

use super::kernel::{DatapathError, chain};
use super::pins::Pins;
use super::programs::Pinnable;
use super::tables::in_map;
use crate::sys::bpf;

/// Maps and links, by what they are pinned as.
pub(super) struct Held {
    maps: Vec<(&'static str, u32, MapData)>,
    links: BTreeMap<(Hook, PortName), (u32, OwnedFd)>,
}

impl Held {
    /// Every pinned map; links are [taken](Self::take_links) as they come.
    pub(super) fn open(pins: &Pins) -> Result<Self, DatapathError> {
        let open = |name: &'static str| {
            let data = MapData::from_pin(pins.map(name)).map_err(in_map(name))?;
            let id = data.info().map_err(in_map(name))?.id();
            Ok((name, id, data))
        };
        let maps = map::ALL.into_iter().map(open).collect::<Result<_, DatapathError>>()?;
        Ok(Self { maps, links: BTreeMap::new() })
    }

    /// Takes hold of the links that are pinned.
    pub(super) fn take_links(&mut self, pins: &Pins) -> Result<(), DatapathError> {
        self.links.clear();
        for hook in [Hook::Ingress, Hook::Egress] {
            let links = pins.pinned_links(hook)?.into_iter();
            self.links.extend(links.map(|(port, link)| ((hook, port), (link.info.id, link.fd))));
        }
        Ok(())
    }

    /// Lets go of a link, because it goes or another takes its place.
    pub(super) fn release(&mut self, hook: Hook, port: &PortName) {
        self.links.remove(&(hook, port.clone()));
    }

    /// Puts every pin back that is not where it belongs.
    pub(super) fn put_back(
        &self,
        pins: &Pins,
        program: &mut Xdp,
        egress: &mut SchedClassifier,
    ) -> Result<(), DatapathError> {
        pins.make_directories()?;
        for (name, id, data) in &self.maps {
            let path = pins.map(name);
            let found = MapInfo::from_pin(&path).ok().map(|info| info.id());
            mend(&path, found, *id, || data.pin(&path).map_err(|error| io::Error::other(chain(&error))))?;
        }
        put_back_program(&pins.program(Hook::Ingress), program)?;
        put_back_program(&pins.program(Hook::Egress), egress)?;
        for ((hook, port), (id, fd)) in &self.links {
            let path = pins.link(*hook, port);
            let found = bpf::open_pin(&path).and_then(|fd| bpf::link_info(fd.as_fd())).ok();
            mend(&path, found.map(|info| info.id), *id, || bpf::pin(fd.as_fd(), &path))?;
        }
        Ok(())
    }
}

fn put_back_program<P: Pinnable>(path: &Path, program: &mut P) -> Result<(), DatapathError> {
    let found = ProgramInfo::from_pin(path).ok().map(|info| info.id());
    let id = program.info()?.id();
    mend(path, found, id, || program.pin(path).map_err(|error| io::Error::other(chain(&error))))
}

/// Pins anew what has the number `id`, where `found` lies under its pin.
fn mend(
    path: &Path,
    found: Option<u32>,
    id: u32,
    pin: impl FnOnce() -> io::Result<()>,
) -> Result<(), DatapathError> {
    if found == Some(id) {
        return Ok(());
    }
    tracing::warn!(pin = %path.display(), "somebody else removed or replaced a pin; it is put back");
    let removed = fs::remove_file(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    });
    removed.and_then(|()| pin()).map_err(|source| DatapathError::Pin { path: path.to_owned(), source })
}
