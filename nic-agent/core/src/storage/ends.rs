//! Entries of addresses, each once: what buckets say by index.

use std::collections::BTreeMap;

use selvedge_abi::{AddressEntry, End, MAX_ENDS};

use super::cuckoo::{Full, Memory};
use crate::tables::Slot;

/// The array of entries, and which of it are in use by how many addresses and prefixes.
pub(super) struct Ends {
    memory: Box<dyn Memory<AddressEntry> + Send>,
    used: [Used; 2],
}

#[derive(Default)]
struct Used {
    indexes: BTreeMap<AddressEntry, u32>,
    users: BTreeMap<u32, u32>,
    /// No index below is free.
    free_from: u32,
}

impl Ends {
    pub(super) fn new(memory: Box<dyn Memory<AddressEntry> + Send>) -> Self {
        Self { memory, used: Default::default() }
    }

    /// The entry that a bucket's number stands for.
    pub(super) fn resolve(&self, slot: Slot, number: u32) -> AddressEntry {
        match End::from_number(number) {
            End::Elsewhere(identity) => AddressEntry { identity, class: identity, ifindex: 0 },
            End::Indexed(index) => self.memory.load(place(slot, index)),
        }
    }

    /// The number for an entry, which has one user more.
    pub(super) fn acquire(&mut self, slot: Slot, entry: AddressEntry) -> Result<u32, Full> {
        if let Some(end) = End::elsewhere(&entry) {
            return Ok(end.to_number());
        }
        let Used { indexes, users, free_from } = &mut self.used[slot.number() as usize];
        let index = match indexes.get(&entry) {
            Some(index) => *index,
            None => {
                let index = (*free_from..MAX_ENDS).find(|index| !users.contains_key(index)).ok_or(Full)?;
                *free_from = index + 1;
                self.memory.store(place(slot, index), &entry);
                indexes.insert(entry, index);
                index
            }
        };
        *users.entry(index).or_default() += 1;
        Ok(End::Indexed(index).to_number())
    }

    /// Takes note of a number that a bucket holds already.
    pub(super) fn note(&mut self, slot: Slot, number: u32) {
        if let End::Indexed(index) = End::from_number(number) {
            let Used { indexes, users, .. } = &mut self.used[slot.number() as usize];
            indexes.insert(self.memory.load(place(slot, index)), index);
            *users.entry(index).or_default() += 1;
        }
    }

    /// Takes note that a bucket no longer holds the number.
    pub(super) fn release(&mut self, slot: Slot, number: u32) {
        let End::Indexed(index) = End::from_number(number) else { return };
        let Used { indexes, users, free_from } = &mut self.used[slot.number() as usize];
        let Some(count) = users.get_mut(&index) else { return };
        *count -= 1;
        if *count == 0 {
            users.remove(&index);
            indexes.remove(&self.memory.load(place(slot, index)));
            *free_from = index.min(*free_from);
        }
    }
}

fn place(slot: Slot, index: u32) -> u32 {
    (slot.number() * MAX_ENDS).wrapping_add(index)
}
