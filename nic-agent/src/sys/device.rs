//! bpf(2) for programs and maps that are bound to a device: aya binds none (kernel/bpf/offload.c says what such a program may be).

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use selvedge_hw_profiles::profile::MapType;

use super::bpf::{call, descriptor};

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_MAP_GET_FD_BY_ID: libc::c_int = 14;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_MAP_TYPE_HASH: u32 = 1;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_PROG_TYPE_XDP: u32 = 6;
/// `BPF_XDP` of `enum bpf_attach_type`.
const ATTACH_XDP: u32 = 37;
/// `XDP_FLAGS_HW_MODE` (include/uapi/linux/if_link.h).
const HARDWARE: u32 = 1 << 3;
const LICENSE: &CStr = c"GPL";
/// Bytes of the verifier's log that are asked for.
const LOG: usize = 1 << 16;
/// Characters of its end that are told.
const TOLD: usize = 400;

/// Kind and size of a map; sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapShape {
    pub(crate) kind: MapType,
    pub(crate) key: u32,
    pub(crate) value: u32,
    pub(crate) entries: u32,
}

/// A program that a device, or the verifier for it, refused.
#[derive(Debug, thiserror::Error)]
#[error("{source}{}", if log.is_empty() { String::new() } else { format!(" ({log})") })]
pub(crate) struct LoadRefused {
    source: io::Error,
    /// The end of the log: what the verifier and the driver wrote there.
    log: String,
}

/// Loads an XDP program onto the device of the interface `ifindex`; an instruction is eight bytes.
pub(crate) fn load_program(ifindex: u32, name: &str, code: &[u64]) -> Result<OwnedFd, LoadRefused> {
    try_load(ifindex, name, code, &mut []).map_err(|source| {
        // A log takes time and memory, so it is asked for where there is something to read.
        let mut log = vec![0; LOG];
        try_load(ifindex, name, code, &mut log).ok();
        LoadRefused { source, log: end_of(&log) }
    })
}

fn try_load(ifindex: u32, name: &str, code: &[u64], log: &mut [u8]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        kind: u32,
        instructions: u32,
        code: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel: u32,
        flags: u32,
        name: [u8; 16],
        ifindex: u32,
        attach_type: u32,
    }
    let mut attributes = Attributes {
        kind: BPF_PROG_TYPE_XDP,
        instructions: u32::try_from(code.len()).map_err(io::Error::other)?,
        code: code.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        kernel: 0,
        flags: 0,
        name: in_kernel(name),
        ifindex,
        attach_type: 0,
    };
    descriptor(call(BPF_PROG_LOAD, &mut attributes)?)
}

/// A name as the kernel keeps it: at most 15 bytes, and a zero.
fn in_kernel(text: &str) -> [u8; 16] {
    let mut name = [0; 16];
    name.iter_mut().take(15).zip(text.bytes()).for_each(|(place, byte)| *place = byte);
    name
}

/// The last lines of a log, in one.
fn end_of(log: &[u8]) -> String {
    let text = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    // What the verifier says of its own work is the last line, and of no use to whoever wants to know what it found.
    let told = text.lines().filter(|line| !line.starts_with("processed "));
    let words: Vec<&str> = told.flat_map(str::split_whitespace).collect();
    let line = words.join(" ");
    let from = line.chars().count().saturating_sub(TOLD);
    line.chars().skip(from).collect()
}

/// Makes a map on the device of the interface `ifindex`.
pub(crate) fn create_map(ifindex: u32, name: &str, shape: MapShape) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        kind: u32,
        key: u32,
        value: u32,
        entries: u32,
        flags: u32,
        inner: u32,
        numa_node: u32,
        name: [u8; 16],
        ifindex: u32,
    }
    let MapShape { kind, key, value, entries } = shape;
    let kind = match kind {
        MapType::Hash => BPF_MAP_TYPE_HASH,
        MapType::Array => BPF_MAP_TYPE_ARRAY,
    };
    let (flags, inner, numa_node, name) = (0, 0, 0, in_kernel(name));
    let mut attributes = Attributes { kind, key, value, entries, flags, inner, numa_node, name, ifindex };
    descriptor(call(BPF_MAP_CREATE, &mut attributes)?)
}

/// Writes an entry; `key` and `value` have the sizes of the map's.
pub(crate) fn update_map(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        map: u32,
        hole: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let (key, value) = (key.as_ptr() as u64, value.as_ptr() as u64);
    let mut attributes = Attributes { map: map.as_raw_fd() as u32, hole: 0, key, value, flags: 0 };
    call(BPF_MAP_UPDATE_ELEM, &mut attributes).map(drop)
}

/// Attaches a program that is on the device of `ifindex` to that interface, beside whatever runs in the kernel.
pub(crate) fn link_program(ifindex: u32, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        program: u32,
        ifindex: u32,
        attach_type: u32,
        flags: u32,
    }
    let program = program.as_raw_fd() as u32;
    let mut attributes = Attributes { program, ifindex, attach_type: ATTACH_XDP, flags: HARDWARE };
    descriptor(call(BPF_LINK_CREATE, &mut attributes)?)
}

/// What the kernel says of an object: the first 256 bytes of its info struct, as words of eight.
type Info = [u64; 32];

/// The name of the program of this number, as the kernel keeps it.
pub(crate) fn program_name(id: u32) -> io::Result<String> {
    let info = program_info(id, &mut [])?;
    Ok(name_in(&info, 64))
}

/// The maps of the program of this number, by name.
pub(crate) fn maps_of(program: u32) -> io::Result<BTreeMap<String, OwnedFd>> {
    /// `MAX_USED_MAPS`, include/linux/bpf_verifier.h.
    const MOST: usize = 64;
    let mut ids = [0_u32; MOST];
    // The high half of the word at 48 bytes says how many there are.
    let count =
        (program_info(program, &mut ids)?[6].to_ne_bytes()[4..]).try_into().map_or(0, u32::from_ne_bytes);
    let open = |id: &u32| {
        let map = by_id(BPF_MAP_GET_FD_BY_ID, *id)?;
        let info = info(map.as_fd(), Info::default())?;
        Ok((name_in(&info, 24), map))
    };
    ids.iter().take(count as usize).map(open).collect()
}

/// `struct bpf_prog_info`: type, id, tag, two lengths, two pointers, the load time, the user, the number of maps (at 52 bytes), their
/// ids (at 56), the name (at 64). As many ids as there is room for are written to `maps`.
fn program_info(id: u32, maps: &mut [u32]) -> io::Result<Info> {
    let program = by_id(BPF_PROG_GET_FD_BY_ID, id)?;
    let mut asked = Info::default();
    asked[6] = u64::from_ne_bytes(words([0, maps.len() as u32]));
    asked[7] = maps.as_mut_ptr() as u64;
    info(program.as_fd(), asked)
}

fn words([low, high]: [u32; 2]) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&low.to_ne_bytes());
    bytes[4..].copy_from_slice(&high.to_ne_bytes());
    bytes
}

/// The name at `offset` bytes of an info struct.
fn name_in(info: &Info, offset: usize) -> String {
    let bytes: Vec<u8> = info.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let name = bytes[offset..offset + 16].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

fn by_id(command: libc::c_int, id: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        id: u32,
        next: u32,
        flags: u32,
    }
    descriptor(call(command, &mut Attributes { id, next: 0, flags: 0 })?)
}

/// What the kernel says of `object`; `asked` has the pointers that it is to write through, and how much room is there.
fn info(object: BorrowedFd<'_>, asked: Info) -> io::Result<Info> {
    #[repr(C)]
    struct Attributes {
        fd: u32,
        length: u32,
        info: u64,
    }
    let mut info = asked;
    let fd = object.as_raw_fd() as u32;
    let (length, at) = (size_of_val(&info) as u32, info.as_mut_ptr() as u64);
    call(BPF_OBJ_GET_INFO_BY_FD, &mut Attributes { fd, length, info: at })?;
    Ok(info)
}

/// Reads an entry; `key` and `value` have the sizes of the map's.
pub(crate) fn look_up(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        map: u32,
        hole: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let (key, value) = (key.as_ptr() as u64, value.as_mut_ptr() as u64);
    let mut attributes = Attributes { map: map.as_raw_fd() as u32, hole: 0, key, value, flags: 0 };
    call(BPF_MAP_LOOKUP_ELEM, &mut attributes).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_one_line_and_bounded() {
        assert_eq!(end_of(b"\0junk"), "");
        assert_eq!(end_of(b"processed 0 insns (limit 1000000)\n"), "");
        assert_eq!(
            end_of(b"0: (b7) r0 = 2\n[netdevsim] Hello from netdevsim!\n\0"),
            "0: (b7) r0 = 2 [netdevsim] Hello from netdevsim!"
        );
        let long = end_of(&[b'x'; 1000]);
        assert_eq!(long.len(), TOLD);
    }

    #[test]
    fn names_are_cut_to_what_the_kernel_keeps() {
        assert_eq!(&in_kernel("sv_0123456789ab")[..], b"sv_0123456789ab\0");
        assert_eq!(&in_kernel("a-name-that-is-longer")[..], b"a-name-that-is-\0");
    }
}
