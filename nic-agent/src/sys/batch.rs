//! Reading a hash map many entries at a time: one system call a few thousand entries, where walking it costs two an entry.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::bpf::{BPF_MAP_LOOKUP_BATCH, call};

/// Entries read at a time. More than any bucket of a hash map with a sound hash holds, which the kernel reads whole or not at all.
const BATCH: usize = 4096;

/// `struct { … } batch` of `union bpf_attr` (include/uapi/linux/bpf.h).
#[repr(C)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    elem_flags: u64,
    flags: u64,
}

/// Shows `see` every entry of a HASH or LRU_HASH map of at most `entries`, in batches. What is inserted or removed meanwhile may or may
/// not be among them. Sees at most about twice `entries`, whatever happens to the map. `K` and `V` are those of the map.
pub(crate) fn each<K: Plain, V: Plain>(
    map: BorrowedFd<'_>,
    entries: u32,
    mut see: impl FnMut(&K, &V),
) -> io::Result<()> {
    let (mut keys, mut values) = (vec![K::new_zeroed(); BATCH], vec![V::new_zeroed(); BATCH]);
    let mut position = 0_u32; // the kernel's own, of the bucket to go on with
    for batch in 0..2 * entries as usize / BATCH + 2 {
        let mut attributes = Attributes {
            in_batch: if batch == 0 { 0 } else { &raw const position as u64 },
            out_batch: &raw mut position as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: BATCH as u32,
            map: map.as_raw_fd() as u32,
            elem_flags: 0,
            flags: 0,
        };
        let last = match call(BPF_MAP_LOOKUP_BATCH, &mut attributes) {
            Ok(_) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error),
        };
        let read = (attributes.count as usize).min(BATCH);
        keys.iter().zip(values.iter()).take(read).for_each(|(key, value)| see(key, value));
        if last {
            break;
        }
    }
    Ok(())
}

/// A key or value of which any bytes are one, and no byte is padding.
pub(crate) trait Plain: FromBytes + IntoBytes + Immutable + Copy {}
impl<T: FromBytes + IntoBytes + Immutable + Copy> Plain for T {}
