//! The fragment table in the kernel.

use core::intrinsics::{AtomicOrdering, atomic_cxchg};

use aya_ebpf::{bindings::BPF_NOEXIST, macros::map, maps::HashMap};
use selvedge_abi::{FragmentEntry, FragmentKey, MAX_FRAGMENTS};
use selvedge_classifier::{FragmentTable, NotAdded, Unfinished};

use crate::maps::{EEXIST, Maps};

/// Preallocated, because programs insert.
#[map]
static FRAGMENTS: HashMap<FragmentKey, FragmentEntry> = HashMap::with_max_entries(MAX_FRAGMENTS, 0);

impl FragmentTable for Maps {
    type Datagram = Tracked;

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<Tracked> {
        FRAGMENTS.get_ptr_mut(key).map(Tracked)
    }

    #[inline(always)]
    fn insert_fragment(&self, key: &FragmentKey, entry: &FragmentEntry) -> Result<(), NotAdded> {
        FRAGMENTS.insert(key, entry, BPF_NOEXIST as u64).map_err(|error| match error {
            EEXIST => NotAdded::Exists,
            _ => NotAdded::Full,
        })
    }

    #[inline(always)]
    fn remove_fragment(&self, key: &FragmentKey) {
        let _absent = FRAGMENTS.remove(key); // another CPU may have been faster
    }
}

/// An unfinished datagram in the map.
pub(crate) struct Tracked(*mut FragmentEntry);

impl Unfinished for Tracked {
    #[inline(always)]
    fn load(&self) -> FragmentEntry {
        // SAFETY: the element lives as long as the map. It may be given to another datagram meanwhile; `progress`
        // says whose it is.
        unsafe { self.0.read_volatile() }
    }

    /// By intrinsic: this target's atomic types have no compare-and-exchange, though its instruction set has (v3).
    #[inline(always)]
    fn advance(&self, from: u64, to: u64) -> bool {
        // SAFETY: as above; eight bytes of a map's value, aligned to eight.
        let (_, is_next) = unsafe {
            atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
                &raw mut (*self.0).progress,
                from,
                to,
            )
        };
        is_next
    }
}
