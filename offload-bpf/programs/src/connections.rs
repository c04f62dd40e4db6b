//! The tables of connections. What writes them is in global functions, which the verifier follows once and not once for
//! each way that leads to them; so their pointers have to be looked at, though they are never null.

use core::intrinsics::{AtomicOrdering, atomic_or};

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{HashMap, LruHashMap},
};
use selvedge_abi::{ConnectionEntry, ConnectionKey, DEFAULT_CONNECTIONS, DEFAULT_HALF_OPEN};
use selvedge_classifier::TableFull;

use crate::maps::EEXIST;

#[map]
static CONNECTIONS: HashMap<ConnectionKey, ConnectionEntry> =
    HashMap::with_max_entries(DEFAULT_CONNECTIONS, 0);
#[map]
static HALF_OPEN: LruHashMap<ConnectionKey, ConnectionEntry> =
    LruHashMap::with_max_entries(DEFAULT_HALF_OPEN, 0);

#[inline(always)]
pub(crate) fn load(key: &ConnectionKey, entry: &mut ConnectionEntry) -> bool {
    selvedge_load_connection(key, entry) != 0
}

#[inline(always)]
pub(crate) fn touch(key: &ConnectionKey, now: u64) {
    selvedge_touch_connection(key, now);
}

#[inline(always)]
pub(crate) fn store(key: &ConnectionKey, entry: &ConnectionEntry) {
    selvedge_store_connection(key, entry);
}

#[inline(always)]
pub(crate) fn open(key: &ConnectionKey, entry: &ConnectionEntry) -> Result<(), TableFull> {
    match selvedge_open_connection(key, entry) {
        0 => Ok(()),
        _ => Err(TableFull),
    }
}

#[inline(always)]
pub(crate) fn keep(key: &ConnectionKey, entry: &ConnectionEntry) -> Result<(), TableFull> {
    match selvedge_keep_connection(key, entry) {
        0 => Ok(()),
        _ => Err(TableFull),
    }
}

#[inline(always)]
pub(crate) fn mark(key: &ConnectionKey, flags: u32) -> u32 {
    selvedge_mark_connection(key, flags)
}

#[inline(always)]
pub(crate) fn remove(key: &ConnectionKey) -> bool {
    selvedge_remove_connection(key) != 0
}

#[inline(always)]
fn find(key: &ConnectionKey) -> Option<*mut ConnectionEntry> {
    CONNECTIONS.get_ptr_mut(key).or_else(|| HALF_OPEN.get_ptr_mut(key))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selvedge_load_connection(key: *const ConnectionKey, entry: *mut ConnectionEntry) -> u32 {
    // SAFETY: the caller's references.
    let (Some(key), Some(entry)) = (unsafe { (key.as_ref(), entry.as_mut()) }) else { return 0 };
    let Some(found) = find(key) else { return 0 };
    // SAFETY: the kernel keeps the element while the program runs. Another CPU may write it at the same time; every
    // field is a word that is right by itself.
    *entry = unsafe { found.read_volatile() };
    1
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selvedge_touch_connection(key: *const ConnectionKey, now: u64) -> u32 {
    // SAFETY: the caller's reference.
    let Some(key) = (unsafe { key.as_ref() }) else { return 0 };
    if let Some(entry) = find(key) {
        // SAFETY: as for loading.
        unsafe { (&raw mut (*entry).last_seen).write_volatile(now) }
    }
    0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selvedge_store_connection(key: *const ConnectionKey, entry: *const ConnectionEntry) -> u32 {
    // SAFETY: the caller's references.
    let (Some(key), Some(entry)) = (unsafe { (key.as_ref(), entry.as_ref()) }) else { return 0 };
    if let Some(place) = find(key) {
        // SAFETY: as for loading.
        unsafe { place.write_volatile(*entry) }
    }
    0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selvedge_open_connection(key: *const ConnectionKey, entry: *const ConnectionEntry) -> u32 {
    // SAFETY: the caller's references.
    let (Some(key), Some(entry)) = (unsafe { (key.as_ref(), entry.as_ref()) }) else { return 1 };
    is_full(HALF_OPEN.insert(key, entry, BPF_NOEXIST as u64))
}

/// By intrinsic: this target's atomic types have no such method, though its instruction set has (v3).
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selvedge_mark_connection(key: *const ConnectionKey, flags: u32) -> u32 {
    // SAFETY: the caller's reference.
    let Some(key) = (unsafe { key.as_ref() }) else { return u32::MAX };
    let Some(entry) = find(key) else { return u32::MAX };
    // SAFETY: as for loading; four bytes of a map's value, aligned to four.
    unsafe { atomic_or::<u32, u32, { AtomicOrdering::SeqCst }>(&raw mut (*entry).flags, flags) }
}

/// In the one table before it leaves the other, so that no packet finds it in neither.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selvedge_keep_connection(key: *const ConnectionKey, entry: *const ConnectionEntry) -> u32 {
    // SAFETY: the caller's references.
    let (Some(key), Some(entry)) = (unsafe { (key.as_ref(), entry.as_ref()) }) else { return 1 };
    let full = is_full(CONNECTIONS.insert(key, entry, BPF_NOEXIST as u64));
    if full == 0 {
        let _absent = HALF_OPEN.remove(key); // another CPU may have been faster
    }
    full
}

/// It is in one of them, and another CPU may be faster.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selvedge_remove_connection(key: *const ConnectionKey) -> u32 {
    // SAFETY: the caller's reference.
    let Some(key) = (unsafe { key.as_ref() }) else { return 0 };
    let (kept, half_open) = (CONNECTIONS.remove(key), HALF_OPEN.remove(key));
    (kept.is_ok() || half_open.is_ok()).into()
}

#[inline(always)]
fn is_full(inserted: Result<(), i32>) -> u32 {
    match inserted {
        Ok(()) | Err(EEXIST) => 0,
        Err(_) => 1,
    }
}
