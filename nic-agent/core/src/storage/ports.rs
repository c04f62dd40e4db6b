//! Ports in their array: each at the first place that was vacant from its home on.

use std::collections::BTreeMap;

use selvedge_abi::{PORT_PLACES, PORT_PROBES, PortEntry, PortPlace, port_place};

use super::cuckoo::{Full, Memory};
use crate::machine::IfIndex;

/// The table of ports.
pub struct PortTable {
    memory: Box<dyn Memory<PortPlace> + Send>,
}

impl PortTable {
    /// The table as the array, of [`PORT_PLACES`] elements, has it.
    pub fn new(memory: Box<dyn Memory<PortPlace> + Send>) -> Self {
        Self { memory }
    }

    /// All of it.
    pub fn read(&self) -> BTreeMap<IfIndex, PortEntry> {
        let places = (0..PORT_PLACES).map(|place| self.memory.load(place));
        let taken = places.filter(|place| place.ifindex != 0);
        taken.map(|PortPlace { ifindex, role }| (IfIndex(ifindex), PortEntry { role })).collect()
    }

    /// Where the port is, if it is anywhere.
    pub fn place(&self, index: IfIndex) -> Option<u32> {
        places(index).find(|place| self.memory.load(*place).of(index.0).is_some())
    }

    /// Where the port is, or would be.
    pub fn place_for(&self, index: IfIndex) -> Result<u32, Full> {
        let vacant = || places(index).find(|place| self.memory.load(*place) == PortPlace::default());
        self.place(index).or_else(vacant).ok_or(Full)
    }

    /// Writes a port's entry; the place.
    pub fn put(&mut self, index: IfIndex, entry: PortEntry) -> Result<u32, Full> {
        let place = self.place_for(index)?;
        self.memory.store(place, &PortPlace { ifindex: index.0, role: entry.role });
        Ok(place)
    }

    /// Deletes a port, if it is there.
    pub fn delete(&mut self, index: IfIndex) {
        while let Some(place) = self.place(index) {
            self.memory.store(place, &PortPlace::default());
        }
    }
}

fn places(index: IfIndex) -> impl Iterator<Item = u32> {
    (0..PORT_PROBES).map(move |probe| port_place(index.0, probe))
}

#[cfg(test)]
mod tests {
    use selvedge_abi::PortRole;

    use super::*;
    use crate::storage::tests::Shared;

    const ENTRY: PortEntry = PortEntry { role: PortRole::Workload as u32 };

    fn table() -> PortTable {
        PortTable::new(Box::new(Shared::of(PORT_PLACES)))
    }

    #[test]
    fn ports_that_share_a_home_are_found_until_there_is_no_place_for_one_more() {
        let mut table = table();
        let neighbours: Vec<IfIndex> =
            (0..PORT_PROBES).map(|round| IfIndex(7 + round * PORT_PLACES)).collect();
        for (index, expected) in neighbours.iter().zip(7..) {
            assert_eq!(table.put(*index, ENTRY), Ok(expected));
        }
        assert_eq!(table.put(IfIndex(7 + PORT_PROBES * PORT_PLACES), ENTRY), Err(Full));
        assert_eq!(table.read().into_keys().collect::<Vec<_>>(), neighbours);
        table.delete(neighbours[2]);
        assert_eq!(table.place(neighbours[2]), None);
        assert!(neighbours.iter().skip(3).all(|index| table.place(*index).is_some()), "behind the gap too");
        assert_eq!(table.put(IfIndex(7 + PORT_PROBES * PORT_PLACES), ENTRY), Ok(9), "in the gap");
    }

    #[test]
    fn a_port_is_written_over_where_it_is_and_deleted_wherever_it_is() {
        let mut table = table();
        let (first, second) = (IfIndex(3), IfIndex(3 + PORT_PLACES));
        table.put(first, ENTRY).unwrap();
        table.put(second, ENTRY).unwrap();
        table.delete(first);
        let uplink = PortEntry { role: PortRole::Uplink as u32 };
        assert_eq!(table.put(second, uplink), Ok(4), "not moved home: packets may look for it now");
        assert_eq!(table.read(), BTreeMap::from([(second, uplink)]));
        table.delete(second);
        table.delete(second);
        assert!(table.read().is_empty());
    }
}
