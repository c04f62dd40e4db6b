//! Which prefix lengths a slot has.

use std::collections::BTreeMap;

use selvedge_abi::{Lengths, MAX_PREFIX_LENGTHS};

use super::cuckoo::{Full, Memory};
use crate::tables::Slot;

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

/// The array of lengths, and how many prefixes have each.
pub(super) struct LengthLists {
    memory: Box<dyn Memory<Lengths> + Send>,
    prefixes: BTreeMap<(Slot, Family, u8), u32>,
}

impl LengthLists {
    /// Nothing is counted yet, and nothing written.
    pub(super) fn new(memory: Box<dyn Memory<Lengths> + Send>) -> Self {
        Self { memory, prefixes: BTreeMap::new() }
    }

    /// Takes note of a prefix that is there already.
    pub(super) fn note(&mut self, slot: Slot, (family, length): (Family, u8)) {
        *self.prefixes.entry((slot, family, length)).or_default() += 1;
    }

    /// Takes note of one prefix more, if the key is of one.
    pub(super) fn add(&mut self, slot: Slot, prefix: Option<(Family, u8)>) -> Result<(), Full> {
        let Some((family, length)) = prefix else { return Ok(()) };
        let is_new = !self.prefixes.contains_key(&(slot, family, length));
        if is_new && self.of(slot, family).count() == MAX_PREFIX_LENGTHS {
            return Err(Full);
        }
        self.note(slot, (family, length));
        if is_new {
            self.write(slot);
        }
        Ok(())
    }

    /// Takes note of one prefix less, if the key is of one.
    pub(super) fn remove(&mut self, slot: Slot, prefix: Option<(Family, u8)>) {
        let Some((family, length)) = prefix else { return };
        let Some(count) = self.prefixes.get_mut(&(slot, family, length)) else { return };
        *count -= 1;
        if *count == 0 {
            self.prefixes.remove(&(slot, family, length));
            self.write(slot);
        }
    }

    fn of(&self, slot: Slot, family: Family) -> impl DoubleEndedIterator<Item = u8> {
        let all = self.prefixes.range((slot, family, 0)..=(slot, family, u8::MAX));
        all.map(|((_, _, length), _)| *length)
    }

    fn write(&mut self, slot: Slot) {
        let list = |family| {
            let mut list = [0; MAX_PREFIX_LENGTHS];
            for (place, length) in list.iter_mut().zip(self.of(slot, family).rev()) {
                *place = length + 1;
            }
            list
        };
        let lengths = Lengths { ipv4: list(Family::Ipv4), ipv6: list(Family::Ipv6) };
        self.memory.store(slot.number(), &lengths);
    }
}
