//! Maps that are there, whoever made them.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::syscall::{ById, MAP_GET_FD_BY_ID, bpf, by_id, info};

const MAP_GET_NEXT_ID: i32 = 12;

/// What a map is; sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub struct MapInfo {
    /// What [`MapKind`](super::MapKind) numbers.
    pub kind: u32,
    /// Of a key.
    pub key_size: usize,
    /// Of a value.
    pub value_size: usize,
    /// The interface of the device that has it; 0: the kernel has it.
    pub ifindex: u32,
}

/// The numbers of all maps.
pub fn maps() -> impl Iterator<Item = u32> {
    let next = |id: &u32| {
        let mut attributes = ById { id: *id, next: 0, flags: 0 };
        bpf(MAP_GET_NEXT_ID, &mut attributes).ok().map(|_| attributes.next)
    };
    std::iter::successors(next(&0), next)
}

/// The map with this number.
pub fn map(id: u32) -> io::Result<OwnedFd> {
    by_id(MAP_GET_FD_BY_ID, id)
}

/// What the kernel says of a map.
pub fn map_info(map: BorrowedFd<'_>) -> io::Result<MapInfo> {
    // struct bpf_map_info, in words of eight bytes: type and id, key_size and value_size, ..., and ifindex in the sixth.
    let words = info(map, [0; 32])?;
    let low = |word: usize| words[word] as u32;
    let value_size = (words[1] >> 32) as usize;
    Ok(MapInfo { kind: low(0), key_size: low(1) as usize, value_size, ifindex: low(5) })
}
