//! Whose program a link runs: by the tables it goes by, which its agent made, whatever their pins have become.

use std::os::fd::AsFd;

use aya::maps::{MapData, MapInfo};
use aya::programs::{ProgramInfo, loaded_programs};
use selvedge_abi::map;
use selvedge_agent_core::{Hook, Program};
use selvedge_topology::plan::Generation;

use super::kernel::{DatapathError, chain};
use super::pins::Pins;
use super::shapes;
use super::tables::in_map;
use crate::sys::bpf;

/// What links of this agent's making run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lineage {
    /// The kernel's number of the program.
    pub(super) program: u32,
    /// That of the configuration, which every set of tables has its own of.
    pub(super) config: u32,
}

impl Lineage {
    /// Which program a link runs.
    pub(super) fn of(self, link: &bpf::LinkInfo) -> Result<Program, DatapathError> {
        if link.program == self.program {
            return Ok(Program::Current);
        }
        let config = maps(link.program)?.into_iter().find(|map| map.name_as_str() == Some(map::CONFIG));
        let apart = config.filter(|config| config.id() != self.config).map(|config| generation(&config));
        Ok(match apart.transpose()? {
            None | Some(Generation(0)) => Program::Outdated,
            Some(generation) => Program::Apart(generation),
        })
    }
}

/// The maps that a program uses; none where it is gone.
fn maps(program: u32) -> Result<Vec<MapInfo>, DatapathError> {
    let found = loaded_programs().flatten().find(|info| info.id() == program);
    let ids = found.as_ref().map(ProgramInfo::map_ids).transpose()?.flatten().unwrap_or_default();
    ids.into_iter().map(|id| MapInfo::from_id(id).map_err(in_map(map::CONFIG))).collect()
}

/// The generation in a configuration of any version: it begins with that.
fn generation(config: &MapInfo) -> Result<Generation, DatapathError> {
    let fd = config.fd().map_err(in_map(map::CONFIG))?;
    let bytes = bpf::first_entry(fd.as_fd(), config.value_size())
        .map_err(|error| in_map(map::CONFIG)(aya::maps::MapError::IoError(error)))?;
    Ok(Generation(bytes.first_chunk().map_or(0, |first| u64::from_ne_bytes(*first))))
}

/// Pins, in the place of what is missing here, the tables of what is remembered that the programs of links go by: so that the programs
/// before and the ones to come know the same connections.
pub(super) fn inherit(pins: &Pins) -> Result<(), DatapathError> {
    for hook in [Hook::Ingress, Hook::Egress] {
        for (_, link) in pins.pinned_links(hook)? {
            for info in maps(link.info.program)? {
                inherit_one(pins, &info)?;
            }
        }
    }
    Ok(())
}

fn inherit_one(pins: &Pins, info: &MapInfo) -> Result<(), DatapathError> {
    let called = map::REMEMBERED.into_iter().find(|name| info.name_as_str() == Some(*name));
    let Some(name) = called.filter(|name| shapes::check(name, info).is_ok()) else { return Ok(()) };
    let path = pins.map(name);
    if path.exists() {
        return Ok(());
    }
    let table = MapData::from_id(info.id()).map_err(in_map(name))?;
    table
        .pin(&path)
        .map_err(|error| DatapathError::Pin { path, source: std::io::Error::other(chain(&error)) })
}
