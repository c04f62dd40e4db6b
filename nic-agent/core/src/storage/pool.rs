//! Values that many entries share: each is in an array once, and the entries say where.

use std::collections::BTreeMap;

use super::cuckoo::{Full, Memory};
use crate::tables::Slot;

/// The array of values, half of it each slot's, and which of them are in use by how many entries.
pub(super) struct Pool<V> {
    memory: Box<dyn Memory<V> + Send>,
    /// Values of one slot.
    room: u32,
    used: [Used<V>; 2],
}

struct Used<V> {
    indexes: BTreeMap<V, u32>,
    users: BTreeMap<u32, u32>,
    /// No index below is free.
    free_from: u32,
}

impl<V: Copy + Ord> Pool<V> {
    /// The array as it is, with nothing in use yet.
    pub(super) fn new(memory: Box<dyn Memory<V> + Send>, room: u32) -> Self {
        let nothing = || Used { indexes: BTreeMap::new(), users: BTreeMap::new(), free_from: 0 };
        Self { memory, room, used: [nothing(), nothing()] }
    }

    /// As [`Memory::rest`].
    pub(super) fn rest(&mut self) {
        self.memory.rest();
    }

    /// The value at an index.
    pub(super) fn get(&self, slot: Slot, index: u32) -> V {
        self.memory.load(self.place(slot, index))
    }

    /// Where the value is, which has one user more.
    pub(super) fn acquire(&mut self, slot: Slot, value: V) -> Result<u32, Full> {
        let Used { indexes, users, free_from } = &mut self.used[slot.number() as usize];
        let index = match indexes.get(&value) {
            Some(index) => *index,
            None => {
                let index = (*free_from..self.room).find(|index| !users.contains_key(index)).ok_or(Full)?;
                *free_from = index + 1;
                indexes.insert(value, index);
                index
            }
        };
        *users.entry(index).or_default() += 1;
        let place = self.place(slot, index);
        if self.memory.load(place) != value {
            self.memory.store(place, &value);
        }
        Ok(index)
    }

    /// Takes note of a user that is there already.
    pub(super) fn note(&mut self, slot: Slot, index: u32) {
        let value = self.get(slot, index);
        let Used { indexes, users, .. } = &mut self.used[slot.number() as usize];
        indexes.insert(value, index);
        *users.entry(index).or_default() += 1;
    }

    /// Takes note of one user less.
    pub(super) fn release(&mut self, slot: Slot, index: u32) {
        let value = self.get(slot, index);
        let Used { indexes, users, free_from } = &mut self.used[slot.number() as usize];
        let Some(count) = users.get_mut(&index) else { return };
        *count -= 1;
        if *count == 0 {
            users.remove(&index);
            indexes.remove(&value);
            *free_from = index.min(*free_from);
        }
    }

    fn place(&self, slot: Slot, index: u32) -> u32 {
        (slot.number() * self.room).wrapping_add(index)
    }
}
