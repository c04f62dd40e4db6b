//! The fragment table in memory.

use selvedge_abi::{FragmentEntry, FragmentKey};

use super::{FRAGMENT_LIMIT, MemoryTables};
use crate::{FragmentTable, NotAdded, Unfinished};

impl<'a> FragmentTable for &'a MemoryTables {
    type Datagram = InMemory<'a>;

    fn fragment(&self, key: &FragmentKey) -> Option<InMemory<'a>> {
        self.fragments.borrow().contains_key(key).then_some(InMemory { tables: self, key: *key })
    }

    fn insert_fragment(&self, key: &FragmentKey, entry: &FragmentEntry) -> Result<(), NotAdded> {
        let mut fragments = self.fragments.borrow_mut();
        if fragments.contains_key(key) {
            return Err(NotAdded::Exists);
        }
        if fragments.len() >= FRAGMENT_LIMIT as usize {
            return Err(NotAdded::Full);
        }
        fragments.insert(*key, *entry);
        Ok(())
    }

    fn remove_fragment(&self, key: &FragmentKey) {
        self.fragments.borrow_mut().remove(key);
    }
}

/// An unfinished datagram of [`MemoryTables`].
pub struct InMemory<'a> {
    tables: &'a MemoryTables,
    key: FragmentKey,
}

impl Unfinished for InMemory<'_> {
    fn load(&self) -> FragmentEntry {
        *self.tables.fragments.borrow().get(&self.key).expect("found a moment ago")
    }

    fn advance(&self, from: u64, to: u64) -> bool {
        let mut fragments = self.tables.fragments.borrow_mut();
        let entry = fragments.get_mut(&self.key).expect("found a moment ago");
        let is_next = entry.progress == from;
        if is_next {
            entry.progress = to;
        }
        is_next
    }
}
