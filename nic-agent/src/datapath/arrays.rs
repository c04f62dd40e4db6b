//! The pinned arrays of buckets, and the layout that says how programs find their way in them.

use std::fs::File;
use std::io::{self, Read};

use aya::maps::{Array, MapData, MapError};
use selvedge_abi::{Layout, SLOTS, map};
use selvedge_agent_core::storage::{
    AddressArrays, AddressTables, Memory, PolicyArrays, PolicyTable, PortTable,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::kernel::DatapathError;
use super::pins::Pins;
use super::plain::Plain;
use super::tables::{in_map, open};
use crate::sys::shared::SharedArray;

/// Lays new arrays out: seeds of this node's own, and sizes as the maps have them. Arrays that are laid out stay so.
pub(super) fn establish(pins: &Pins) -> Result<(), DatapathError> {
    let mut map: Array<MapData, Plain<Layout>> = open(pins, map::LAYOUT)?;
    let failed = in_map(map::LAYOUT);
    if map.get(&0, 0).map_err(&failed)?.0 != Layout::default() {
        return Ok(());
    }
    let all = |name| elements(&data(pins, name)?, name);
    let half = |name| Ok::<_, DatapathError>(all(name)? / SLOTS);
    let unread = |error| failed(MapError::IoError(error));
    let layout = Layout {
        seeds: random().map_err(unread)?,
        notes: random().map_err(unread)?,
        ipv4: half(map::IPV4)?,
        ipv6: half(map::IPV6)?,
        ipv4_prefixes: half(map::IPV4_PREFIXES)?,
        ipv6_prefixes: half(map::IPV6_PREFIXES)?,
        policies: half(map::POLICIES)?,
        passages: all(map::PASSAGES)?,
        denials: all(map::DENIALS)?,
        reserved: 0,
    };
    map.set(0, Plain(layout), 0).map_err(failed)
}

/// Numbers that nobody can guess.
fn random<T: FromBytes + IntoBytes>() -> io::Result<T> {
    let mut numbers = T::new_zeroed();
    File::open("/dev/urandom")?.read_exact(numbers.as_mut_bytes())?;
    Ok(numbers)
}

/// The tables of addresses.
pub(super) fn addresses(pins: &Pins) -> Result<AddressTables, DatapathError> {
    let arrays = AddressArrays {
        ipv4: shared(pins, map::IPV4)?,
        ipv6: shared(pins, map::IPV6)?,
        ipv4_prefixes: shared(pins, map::IPV4_PREFIXES)?,
        ipv6_prefixes: shared(pins, map::IPV6_PREFIXES)?,
        lengths: shared(pins, map::LENGTHS)?,
        ends: shared(pins, map::ENDS)?,
    };
    Ok(AddressTables::new(&layout(pins)?, arrays))
}

/// The table of policies.
pub(super) fn policies(pins: &Pins) -> Result<PolicyTable, DatapathError> {
    let arrays = PolicyArrays { policies: shared(pins, map::POLICIES)?, lists: shared(pins, map::LISTS)? };
    Ok(PolicyTable::new(&layout(pins)?, arrays))
}

fn layout(pins: &Pins) -> Result<Layout, DatapathError> {
    let layout: Array<MapData, Plain<Layout>> = open(pins, map::LAYOUT)?;
    Ok(layout.get(&0, 0).map_err(in_map(map::LAYOUT))?.0)
}

/// The table of ports.
pub(super) fn ports(pins: &Pins) -> Result<PortTable, DatapathError> {
    ports_of(&data(pins, map::PORTS)?)
}

/// The table of ports in a map that may be pinned nowhere.
pub(super) fn ports_of(data: &MapData) -> Result<PortTable, DatapathError> {
    Ok(PortTable::new(share(data, map::PORTS)?))
}

fn shared<T: FromBytes + IntoBytes + Immutable + Copy + Send + 'static>(
    pins: &Pins,
    name: &'static str,
) -> Result<Box<dyn Memory<T> + Send>, DatapathError> {
    share(&data(pins, name)?, name)
}

fn share<T: FromBytes + IntoBytes + Immutable + Copy + Send + 'static>(
    data: &MapData,
    name: &'static str,
) -> Result<Box<dyn Memory<T> + Send>, DatapathError> {
    let array = SharedArray::<T>::new(data.fd(), elements(data, name)?);
    Ok(Box::new(array.map_err(|error| in_map(name)(MapError::IoError(error)))?))
}

fn data(pins: &Pins, name: &'static str) -> Result<MapData, DatapathError> {
    MapData::from_pin(pins.map(name)).map_err(in_map(name))
}

fn elements(data: &MapData, name: &'static str) -> Result<u32, DatapathError> {
    Ok(data.info().map_err(in_map(name))?.max_entries())
}
