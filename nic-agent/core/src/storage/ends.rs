//! Entries of addresses, each once: what buckets say by index.

use selvedge_abi::{AddressEntry, End, MAX_ENDS};

use super::cuckoo::{Full, Memory};
use super::pool::Pool;
use crate::tables::Slot;

/// What the numbers in buckets stand for.
pub(super) struct Ends(Pool<AddressEntry>);

impl Ends {
    pub(super) fn new(memory: Box<dyn Memory<AddressEntry> + Send>) -> Self {
        Self(Pool::new(memory, MAX_ENDS))
    }

    /// As [`Memory::rest`].
    pub(super) fn rest(&mut self) {
        self.0.rest();
    }

    /// The entry that a bucket's number stands for.
    pub(super) fn resolve(&self, slot: Slot, number: u32) -> AddressEntry {
        match End::from_number(number) {
            End::Elsewhere(identity) => AddressEntry { identity, class: identity, ifindex: 0 },
            End::Indexed(index) => self.0.get(slot, index),
        }
    }

    /// The number for an entry, which has one user more.
    pub(super) fn acquire(&mut self, slot: Slot, entry: AddressEntry) -> Result<u32, Full> {
        let end = match End::elsewhere(&entry) {
            Some(end) => end,
            None => End::Indexed(self.0.acquire(slot, entry)?),
        };
        Ok(end.to_number())
    }

    /// Takes note of a number that a bucket holds already.
    pub(super) fn note(&mut self, slot: Slot, number: u32) {
        if let End::Indexed(index) = End::from_number(number) {
            self.0.note(slot, index);
        }
    }

    /// Takes note that a bucket no longer holds the number.
    pub(super) fn release(&mut self, slot: Slot, number: u32) {
        if let End::Indexed(index) = End::from_number(number) {
            self.0.release(slot, index);
        }
    }
}
