//! What programs in NICs have counted, read from the maps on the devices.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use selvedge_agent_core::device::Reading;
use selvedge_agent_core::{Choice, Choices, NicLink, NicProgram};
use selvedge_codegen::{Counter, DeviceProgram};
use selvedge_topology::model::RuleId;
use selvedge_topology::names::PortName;

use super::links;
use crate::datapath::pins::{PinError, Pins};
use crate::datapath::{Counted, Last};
use crate::sys::{bpf, device};

/// Where the programs in NICs count, by port.
#[derive(Default)]
pub(in crate::datapath) struct Counts(BTreeMap<PortName, Counting>);

impl Counts {
    /// Takes note of the program that `port` was just given.
    pub(in crate::datapath) fn begin(&mut self, pins: &Pins, port: &PortName, program: &NicProgram) {
        let link = bpf::open_pin(&pins.nic(port)).and_then(|link| bpf::link_info(link.as_fd()));
        match link.and_then(|link| Counting::open(link.program, &program.program)) {
            Ok(counting) => drop(self.0.insert(port.clone(), counting)),
            Err(error) => tracing::warn!(%port, %error, "what the NIC counts can't be read"),
        }
    }

    /// What the program that was in the NIC of `port` has counted to its end.
    pub(in crate::datapath) fn last(&mut self, port: &PortName) -> Last {
        let counting = self.0.remove(port)?;
        Some(counting.read().map_err(|error| error.to_string()))
    }

    /// What all have counted. Where those of an agent before this one count is known by their names, from `nics`.
    pub(in crate::datapath) fn read(
        &mut self,
        pins: &Pins,
        nics: &Choices,
    ) -> Result<BTreeMap<PortName, Counted>, PinError> {
        let live = links(pins)?.into_iter().filter(|(_, (link, _))| link.index.is_some());
        let read = live.map(|(port, (link, program))| {
            let reading = self.reading(&port, &link, program, nics).map_err(|error| error.to_string());
            (port, Counted { program, reading })
        });
        Ok(read.collect())
    }

    fn reading(&mut self, port: &PortName, link: &NicLink, id: u32, nics: &Choices) -> io::Result<Reading> {
        if let Some(counting) = self.0.get(port).filter(|counting| counting.program == id) {
            return counting.read();
        }
        let made = match nics.get(port) {
            Some(Choice::Runs(made)) if made.name == link.program => made,
            _ => {
                return Err(io::Error::other(
                    "nobody here made the program, so where it counts is not known",
                ));
            }
        };
        let counting = Counting::open(id, &made.program)?;
        let reading = counting.read();
        self.0.insert(port.clone(), counting);
        reading
    }
}

/// Where a program counts. Its maps are held, so that they can be read once more after it is gone.
struct Counting {
    /// The kernel's number of the program.
    program: u32,
    counters: Vec<Counter>,
    /// In the order of the program's, as far as it counts in them: the map, and bytes of a value.
    maps: BTreeMap<usize, (OwnedFd, u32)>,
}

impl Counting {
    /// That of the program of number `id`, which was made of `program`.
    fn open(id: u32, program: &DeviceProgram) -> io::Result<Self> {
        let mut found = device::maps_of(id)?;
        let mut maps = BTreeMap::new();
        for Counter { map, .. } in &program.counters {
            let shape = &program.maps[*map];
            if let Some(made) = found.remove(&shape.name) {
                maps.insert(*map, (made, shape.value_size));
            }
        }
        Ok(Self { program: id, counters: program.counters.clone(), maps })
    }

    /// The words as they are now.
    fn read(&self) -> io::Result<Reading> {
        let mut elements: BTreeMap<(usize, u32), Vec<u8>> = BTreeMap::new();
        let mut words = BTreeMap::new();
        for Counter { rule, map, element, offset } in &self.counters {
            let value = match elements.entry((*map, *element)) {
                Entry::Occupied(read) => read.into_mut(),
                Entry::Vacant(unread) => unread.insert(self.element(*map, *element)?),
            };
            let bytes = value.get(*offset as usize..).and_then(|rest| rest.first_chunk());
            words.insert(RuleId(*rule), bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes)));
        }
        Ok(Reading { program: self.program, words })
    }

    fn element(&self, map: usize, element: u32) -> io::Result<Vec<u8>> {
        let missing = || io::Error::other("the program has no map of counters");
        let (map, size) = self.maps.get(&map).ok_or_else(missing)?;
        let mut value = vec![0; *size as usize];
        device::look_up(map.as_fd(), &element.to_ne_bytes(), &mut value)?;
        Ok(value)
    }
}
