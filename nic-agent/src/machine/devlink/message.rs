//! Requests to devlink and its answers, attribute by attribute.

use std::collections::BTreeMap;
use std::fmt;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NlasIterator, ParseableParametrized, parse_string, parse_u8,
    parse_u16, parse_u32,
};
use netlink_packet_generic::{GenlFamily, GenlHeader};
use selvedge_agent_core::IfIndex;
use selvedge_hw_profiles::port::{Encap, Eswitch, EswitchMode, Flavour, InlineMode, Versions};

const BUS_NAME: u16 = 1;
const DEV_NAME: u16 = 2;
const PORT_NETDEV_IFINDEX: u16 = 6;
const ESWITCH_MODE: u16 = 25;
const ESWITCH_INLINE_MODE: u16 = 26;
const ESWITCH_ENCAP_MODE: u16 = 62;
const PORT_FLAVOUR: u16 = 77;
const INFO_DRIVER_NAME: u16 = 98;
const INFO_VERSION_FIXED: u16 = 100;
const INFO_VERSION_RUNNING: u16 = 101;
const INFO_VERSION_STORED: u16 = 102;
const INFO_VERSION_NAME: u16 = 103;
const INFO_VERSION_VALUE: u16 = 104;

/// What is asked (`DEVLINK_CMD_…_GET`), by its number in `enum devlink_command`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Command {
    /// Of ports, what each is.
    Port = 5,
    /// Of a device, how its switch is set.
    Eswitch = 29,
    /// Of a device, what it is made of.
    Info = 51,
}

/// A device, by its bus and its name there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Handle {
    bus: String,
    name: String,
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bus, self.name)
    }
}

/// What an interface is on which device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DevicePort {
    pub(super) device: Handle,
    pub(super) flavour: Option<Flavour>,
}

/// What a device is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Information {
    pub(super) driver: Option<String>,
    pub(super) versions: Versions,
}

/// A request or an answer: attributes of netlink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    command: u8,
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Message {
    /// A request for all there are.
    pub(super) fn all(command: Command) -> Self {
        Self { command: command as u8, attributes: Vec::new() }
    }

    /// A request about a device.
    pub(super) fn of(command: Command, Handle { bus, name }: &Handle) -> Self {
        let text = |text: &str| [text.as_bytes(), &[0]].concat();
        Self { command: command as u8, attributes: vec![(BUS_NAME, text(bus)), (DEV_NAME, text(name))] }
    }

    /// The answer to [`Command::Port`]: `None` where the port has no interface in this network namespace.
    pub(super) fn port(&self) -> Option<(IfIndex, DevicePort)> {
        let index = parse_u32(self.first(PORT_NETDEV_IFINDEX)?).ok()?;
        let device = Handle { bus: self.text(BUS_NAME)?, name: self.text(DEV_NAME)? };
        let flavour = self.first(PORT_FLAVOUR).and_then(|it| parse_u16(it).ok()).map(Flavour::numbered);
        Some((IfIndex(index), DevicePort { device, flavour }))
    }

    /// The answer to [`Command::Eswitch`].
    pub(super) fn eswitch(&self) -> Option<Eswitch> {
        let byte = |kind| self.first(kind).and_then(|value| parse_u8(value).ok());
        Some(Eswitch {
            mode: EswitchMode::numbered(parse_u16(self.first(ESWITCH_MODE)?).ok()?)?,
            inline_mode: byte(ESWITCH_INLINE_MODE).and_then(InlineMode::numbered),
            encap: byte(ESWITCH_ENCAP_MODE).and_then(Encap::numbered),
        })
    }

    /// The answer to [`Command::Info`], without the serial numbers that are in it.
    pub(super) fn information(&self) -> Information {
        let versions = |kind| self.all_of(kind).filter_map(version).collect::<BTreeMap<_, _>>();
        Information {
            driver: self.text(INFO_DRIVER_NAME),
            versions: Versions {
                fixed: versions(INFO_VERSION_FIXED),
                running: versions(INFO_VERSION_RUNNING),
                stored: versions(INFO_VERSION_STORED),
            },
        }
    }

    fn all_of(&self, kind: u16) -> impl Iterator<Item = &[u8]> {
        self.attributes.iter().filter(move |(other, _)| *other == kind).map(|(_, value)| value.as_slice())
    }

    fn first(&self, kind: u16) -> Option<&[u8]> {
        self.all_of(kind).next()
    }

    fn text(&self, kind: u16) -> Option<String> {
        parse_string(self.first(kind)?).ok()
    }
}

/// A version's name and text, out of the attributes in one.
fn version(bytes: &[u8]) -> Option<(String, String)> {
    let inner = Message { command: 0, attributes: attributes(bytes).ok()? };
    Some((inner.text(INFO_VERSION_NAME)?, inner.text(INFO_VERSION_VALUE)?))
}

fn attributes(bytes: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, DecodeError> {
    NlasIterator::new(bytes).map(|it| it.map(|it| (it.kind(), it.value().to_vec()))).collect()
}

impl GenlFamily for Message {
    fn family_name() -> &'static str {
        "devlink"
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Message {
    fn buffer_len(&self) -> usize {
        self.encoded().iter().map(Emitable::buffer_len).sum()
    }

    fn emit(&self, buffer: &mut [u8]) {
        let mut rest = buffer;
        for attribute in self.encoded() {
            let (here, after) = rest.split_at_mut(attribute.buffer_len());
            attribute.emit(here);
            rest = after;
        }
    }
}

impl Message {
    fn encoded(&self) -> Vec<DefaultNla> {
        self.attributes.iter().map(|(kind, value)| DefaultNla::new(*kind, value.clone())).collect()
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Message {
    fn parse_with_param(bytes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        Ok(Self { command: header.cmd, attributes: attributes(bytes)? })
    }
}

#[cfg(test)]
mod tests;
