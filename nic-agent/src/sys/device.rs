//! bpf(2) for programs and maps that are bound to a device: aya loads none.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;

use selvedge_hw_profiles::profile::MapType;

use super::bpf::{call, descriptor};

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_MAP_TYPE_HASH: u32 = 1;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_PROG_TYPE_XDP: u32 = 6;
/// `r0 = XDP_PASS; exit`.
const PASSING: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 2, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
const LICENSE: &CStr = c"GPL";

/// Loads a program that passes everything onto the device of the interface `ifindex`.
pub(crate) fn load_passing_program(ifindex: u32) -> io::Result<OwnedFd> {
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
        instructions: PASSING.len() as u32,
        code: PASSING.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel: 0,
        flags: 0,
        name: *b"selvedge_probe\0\0",
        ifindex,
        attach_type: 0,
    };
    descriptor(call(BPF_PROG_LOAD, &mut attributes)?)
}

/// Makes a map on the device of the interface `ifindex`; sizes in bytes.
pub(crate) fn create_map(
    ifindex: u32,
    kind: MapType,
    key: u32,
    value: u32,
    entries: u32,
) -> io::Result<OwnedFd> {
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
    let kind = match kind {
        MapType::Hash => BPF_MAP_TYPE_HASH,
        MapType::Array => BPF_MAP_TYPE_ARRAY,
    };
    let name = *b"selvedge_probe\0\0";
    let mut attributes =
        Attributes { kind, key, value, entries, flags: 0, inner: 0, numa_node: 0, name, ifindex };
    descriptor(call(BPF_MAP_CREATE, &mut attributes)?)
}
