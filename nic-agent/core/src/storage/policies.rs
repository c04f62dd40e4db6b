//! The table of policies.

use selvedge_abi::{Layout, ListNumber, MAX_POLICIES, PolicyBucket, PolicyEntry, PolicyKey};

use super::cuckoo::{Cuckoo, Full, Memory};
use super::pool::Pool;
use crate::tables::{Slot, SlotTables};

/// The array maps.
pub struct PolicyArrays {
    /// Which list each policy has.
    pub policies: Box<dyn Memory<PolicyBucket> + Send>,
    /// The lists.
    pub lists: Box<dyn Memory<PolicyEntry> + Send>,
}

/// Policies of both slots. Where the intervals are of those whose lists don't hold them is not its business.
pub struct PolicyTable {
    buckets: Cuckoo<PolicyBucket>,
    lists: Pool<PolicyEntry>,
}

impl PolicyTable {
    /// The table as the arrays have it.
    pub fn new(layout: &Layout, arrays: PolicyArrays) -> Self {
        let buckets = Cuckoo::new(arrays.policies, layout.seeds, layout.policies);
        let mut lists = Pool::new(arrays.lists, MAX_POLICIES);
        for slot in Slot::BOTH {
            buckets.entries(slot).for_each(|(_, list)| lists.note(slot, list.index()));
        }
        Self { buckets, lists }
    }

    /// As [`Memory::rest`].
    pub fn rest(&mut self) {
        self.buckets.rest();
        self.lists.rest();
    }

    /// Reads the policies of a slot.
    pub fn read(&self, slot: Slot, into: &mut SlotTables) {
        let entries = self.buckets.entries(slot).map(|(words, list)| {
            (PolicyKey::from_words(slot.number(), words), self.lists.get(slot, list.index()))
        });
        into.policies = entries.collect();
    }

    /// The entry of a policy, found as the programs find it.
    pub fn get(&self, key: &PolicyKey) -> Option<PolicyEntry> {
        let slot = Slot::of(key.slot);
        self.buckets.get(slot, key.to_words()).map(|list| self.lists.get(slot, list.index()))
    }

    /// Writes the entry of a policy.
    pub fn put(&mut self, key: &PolicyKey, entry: PolicyEntry) -> Result<(), Full> {
        let slot = Slot::of(key.slot);
        let before = self.buckets.get(slot, key.to_words());
        let index = self.lists.acquire(slot, entry)?;
        let written = self.buckets.insert(slot, key.to_words(), ListNumber::of(index));
        let unused = if written.is_ok() { before.map(ListNumber::index) } else { Some(index) };
        unused.into_iter().for_each(|index| self.lists.release(slot, index));
        written
    }

    /// Deletes the entry of a policy, if there is one.
    pub fn delete(&mut self, key: &PolicyKey) {
        let slot = Slot::of(key.slot);
        if let Some(list) = self.buckets.get(slot, key.to_words()) {
            self.buckets.remove(slot, key.to_words());
            self.lists.release(slot, list.index());
        }
    }
}
