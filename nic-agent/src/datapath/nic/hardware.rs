//! The kernel's devices.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use selvedge_agent_core::{IfIndex, NicProgram};
use selvedge_codegen::Map;
use selvedge_hw_profiles::Mode;
use selvedge_topology::names::PortName;

use super::Hardware;
use crate::datapath::pins::Pins;
use crate::sys::device::{self, MapShape};
use crate::sys::{bpf, extack};

/// Devices behind bpf(2), links under pins.
pub(in crate::datapath) struct Kernel<'a> {
    pub(in crate::datapath) pins: &'a Pins,
}

#[expect(clippy::needless_pass_by_value, reason = "so that `map_err(words)` reads well")]
fn words(error: impl ToString) -> String {
    error.to_string()
}

impl Hardware for Kernel<'_> {
    type Map = OwnedFd;
    type Program = OwnedFd;

    fn make_map(&mut self, index: IfIndex, map: &Map) -> Result<OwnedFd, String> {
        let Map { name, kind, key_size, value_size, max_entries, entries: _ } = map;
        let shape = MapShape { kind: *kind, key: *key_size, value: *value_size, entries: *max_entries };
        device::create_map(index.0, name, shape).map_err(words)
    }

    fn write(&mut self, map: &OwnedFd, key: &[u8], value: &[u8]) -> Result<(), String> {
        device::update_map(map.as_fd(), key, value).map_err(words)
    }

    fn load(&mut self, index: IfIndex, program: &NicProgram, maps: &[OwnedFd]) -> Result<OwnedFd, String> {
        let descriptors: Vec<_> = maps.iter().map(std::os::fd::AsRawFd::as_raw_fd).collect();
        let code = program.program.code(&descriptors).ok_or("it names a map that it does not have")?;
        device::load_program(index.0, program.name.as_str(), &code).map_err(words)
    }

    fn replace(&mut self, port: &PortName, program: &OwnedFd) -> Result<bool, String> {
        let link = match bpf::open_pin(&self.pins.nic(port)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            link => link.map_err(words)?,
        };
        if bpf::link_info(link.as_fd()).map_err(words)?.ifindex == 0 {
            return Ok(false);
        }
        bpf::update_link(link.as_fd(), program.as_fd()).map(|()| true).map_err(words)
    }

    fn take_out(&mut self, port: &PortName) -> io::Result<()> {
        let pin = self.pins.nic(port);
        let link = match bpf::open_pin(&pin) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            link => link?,
        };
        if bpf::link_info(link.as_fd())?.ifindex != 0 {
            bpf::detach_link(link.as_fd())?;
        }
        std::fs::remove_file(pin)
    }

    fn attach(&mut self, port: &PortName, index: IfIndex, program: &OwnedFd) -> Result<(), String> {
        let link = device::link_program(index.0, program.as_fd()).map_err(|error| {
            let message = extack::refusal(index, program.as_fd(), Mode::Offload);
            message.map_or(error.to_string(), |message| format!("{message} ({error})"))
        })?;
        bpf::pin(link.as_fd(), &self.pins.nic(port)).map_err(|error| format!("can't pin the link: {error}"))
    }
}
