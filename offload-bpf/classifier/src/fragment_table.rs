//! The table of datagrams of which the first fragment was allowed and the last one has not come.

use selvedge_abi::{FragmentEntry, FragmentKey};

/// Why a datagram was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdded {
    /// Another one has the key.
    Exists,
    /// The table has no room for one more.
    Full,
}

/// [`selvedge_abi::map::FRAGMENTS`].
pub trait FragmentTable {
    /// A found datagram, which can be advanced in place.
    type Datagram: Unfinished;

    /// The datagram, whether its time is over or not.
    fn fragment(&self, key: &FragmentKey) -> Option<Self::Datagram>;
    /// Adds a datagram.
    fn insert_fragment(&self, key: &FragmentKey, entry: &FragmentEntry) -> Result<(), NotAdded>;
    /// Forgets a datagram.
    fn remove_fragment(&self, key: &FragmentKey);
}

/// An entry of the fragment table, in place.
pub trait Unfinished {
    /// The entry as it is now.
    fn load(&self) -> FragmentEntry;
    /// Changes [`FragmentEntry::progress`] from `from` to `to` in one step that no other CPU can come between; `false`
    /// where it is another by now.
    fn advance(&self, from: u64, to: u64) -> bool;
}
