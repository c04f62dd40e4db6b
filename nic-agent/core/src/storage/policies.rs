//! The table of policies.

use selvedge_abi::{Layout, PolicyBucket, PolicyEntry, PolicyKey};

use super::cuckoo::{Cuckoo, Full, Memory};
use crate::tables::{Slot, SlotTables};

/// Policies of both slots. Where the intervals are of those that don't hold them is not its business.
pub struct PolicyTable {
    buckets: Cuckoo<PolicyBucket>,
}

impl PolicyTable {
    /// The table as the array has it.
    pub fn new(layout: &Layout, memory: Box<dyn Memory<PolicyBucket> + Send>) -> Self {
        Self { buckets: Cuckoo::new(memory, layout.seeds, layout.policies) }
    }

    /// Reads the policies of a slot.
    pub fn read(&self, slot: Slot, into: &mut SlotTables) {
        let entries = self.buckets.entries(slot);
        into.policies =
            entries.map(|(words, entry)| (PolicyKey::from_words(slot.number(), words), entry)).collect();
    }

    /// The entry of a policy, found as the programs find it.
    pub fn get(&self, key: &PolicyKey) -> Option<PolicyEntry> {
        self.buckets.get(Slot::of(key.slot), key.to_words())
    }

    /// Writes the entry of a policy.
    pub fn put(&mut self, key: &PolicyKey, entry: PolicyEntry) -> Result<(), Full> {
        self.buckets.insert(Slot::of(key.slot), key.to_words(), entry)
    }

    /// Deletes the entry of a policy, if there is one.
    pub fn delete(&mut self, key: &PolicyKey) {
        self.buckets.remove(Slot::of(key.slot), key.to_words());
    }
}
