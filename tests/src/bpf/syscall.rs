//! bpf(2), one function a command. The structures are the parts of the kernel's `union bpf_attr` that are used.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const MAP_CREATE: i32 = 0;
const MAP_LOOKUP: i32 = 1;
const MAP_UPDATE: i32 = 2;
const PROG_LOAD: i32 = 5;
const OBJ_GET: i32 = 7;
const PROG_TEST_RUN: i32 = 10;
const PROG_GET_FD_BY_ID: i32 = 13;
pub(super) const MAP_GET_FD_BY_ID: i32 = 14;
const OBJ_GET_INFO_BY_FD: i32 = 15;
const BTF_LOAD: i32 = 18;
const LINK_CREATE: i32 = 28;

const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const F_NO_PREALLOC: u32 = 1;
const F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;
/// Frames that a live run hands to the network at once.
const BATCH: u32 = 64;

pub(super) fn bpf<A>(command: i32, attributes: &mut A) -> io::Result<i32> {
    #[expect(unsafe_code, reason = "libc has no wrapper for bpf(2)")]
    // SAFETY: the kernel reads and writes no more than the size given, and what pointers in it lead to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes as *mut A, size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

fn owned(fd: i32) -> OwnedFd {
    #[expect(unsafe_code, reason = "bpf(2) returns a bare number")]
    // SAFETY: the kernel has just made the descriptor for this process.
    unsafe {
        OwnedFd::from_raw_fd(fd as RawFd)
    }
}

fn address<T: ?Sized>(of: &T) -> u64 {
    std::ptr::from_ref(of).cast::<u8>() as u64
}

/// A kind of map; the numbers are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// HASH
    Hash = 1,
    /// ARRAY
    Array = 2,
    /// PROG_ARRAY
    Programs = 3,
    /// LPM_TRIE
    LpmTrie = 11,
}

#[repr(C)]
struct CreateMap {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
}

/// Makes a map, without flags but those that an LPM trie needs; sizes in bytes.
pub fn create_map(kind: MapKind, key: usize, value: usize, entries: u32) -> io::Result<OwnedFd> {
    let flags = if kind == MapKind::LpmTrie { F_NO_PREALLOC } else { 0 };
    let (key_size, value_size) = (key as u32, value as u32);
    bpf(MAP_CREATE, &mut CreateMap { kind: kind as u32, key_size, value_size, entries, flags }).map(owned)
}

/// A map of a program.
pub struct MapOf {
    /// The map.
    pub map: OwnedFd,
    /// Its name.
    pub name: String,
    /// Bytes of a value.
    pub value_size: usize,
}

/// The maps of a loaded program, by its number.
pub fn maps_of(program: u32) -> io::Result<Vec<MapOf>> {
    /// `MAX_USED_MAPS`, include/linux/bpf_verifier.h.
    const MOST: usize = 64;
    let program = by_id(PROG_GET_FD_BY_ID, program)?;
    // struct bpf_prog_info, in words of eight bytes: nr_map_ids is the high half of the seventh, map_ids the eighth.
    let (mut ids, mut asked) = ([0_u32; MOST], [0_u64; 32]);
    asked[6] = (MOST as u64) << 32;
    asked[7] = ids.as_mut_ptr() as u64;
    let count = info(program.as_fd(), asked)?[6] >> 32;
    let open = |id: &u32| {
        let map = by_id(MAP_GET_FD_BY_ID, *id)?;
        // struct bpf_map_info: value_size is the high half of the second word, the name is in the fourth and fifth.
        let info = info(map.as_fd(), [0; 32])?;
        let name: Vec<u8> = info[3..5].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let name = String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default());
        Ok(MapOf { map, name: name.into_owned(), value_size: (info[1] >> 32) as usize })
    };
    ids.iter().take(count as usize).map(open).collect()
}

pub(super) fn by_id(command: i32, id: u32) -> io::Result<OwnedFd> {
    bpf(command, &mut ById { id, next: 0, flags: 0 }).map(owned)
}

/// What the kernel says of an object; `asked` has what it is told first. Of a little-endian machine, as BPF targets of ours are.
pub(super) fn info(object: BorrowedFd<'_>, mut asked: [u64; 32]) -> io::Result<[u64; 32]> {
    #[repr(C)]
    struct Info {
        fd: u32,
        length: u32,
        info: u64,
    }
    let (length, info) = (size_of_val(&asked) as u32, asked.as_mut_ptr() as u64);
    bpf(OBJ_GET_INFO_BY_FD, &mut Info { fd: object.as_raw_fd() as u32, length, info })?;
    Ok(asked)
}

#[repr(C)]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

fn element(map: BorrowedFd<'_>, key: &[u8], value: u64) -> Element {
    Element { map: map.as_raw_fd() as u32, padding: 0, key: address(key), value, flags: 0 }
}

/// Writes an element; key and value have the map's sizes.
pub fn update(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    bpf(MAP_UPDATE, &mut element(map, key, address(value))).map(drop)
}

/// Reads an element; per-CPU values come one after the other, each rounded up to eight bytes.
pub fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    bpf(MAP_LOOKUP, &mut element(map, key, value.as_mut_ptr() as u64)).map(drop)
}

#[repr(C)]
#[derive(Default)]
struct LoadProgram {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    attach_type: u32,
    types: u32,
    function_size: u32,
    functions: u64,
    function_count: u32,
}

/// What the verifier is told of a program's functions: those that are global it follows by themselves.
#[derive(Default)]
pub struct Functions {
    /// BTF, as bytes; none where it is empty.
    pub types: Vec<u8>,
    /// The first instruction of each function, and the number of its type.
    pub starts: Vec<[u32; 2]>,
}

#[repr(C)]
struct LoadTypes {
    types: u64,
    log: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
}

/// Loads an XDP program of raw instructions; an error carries the end of the verifier's log.
pub fn load_xdp(code: &[u64], functions: &Functions) -> io::Result<OwnedFd> {
    let mut log = vec![0_u8; 1 << 20];
    let Functions { types, starts } = functions;
    let size = types.len() as u32;
    let mut load = LoadTypes { types: address(types.as_slice()), log: 0, size, log_size: 0, log_level: 0 };
    let types = if size == 0 { None } else { Some(bpf(BTF_LOAD, &mut load).map(owned)?) };
    let mut attributes = LoadProgram {
        kind: PROG_TYPE_XDP,
        // As aya has it: tail calls are between programs of one attach type only.
        attach_type: ATTACH_XDP,
        instructions: code.len() as u32,
        code: address(code),
        license: address(c"GPL".to_bytes_with_nul()),
        types: types.as_ref().map_or(0, |types| types.as_raw_fd() as u32),
        function_size: if starts.is_empty() { 0 } else { size_of::<[u32; 2]>() as u32 },
        functions: address(starts.as_slice()),
        function_count: starts.len() as u32,
        ..LoadProgram::default()
    };
    if let Ok(fd) = bpf(PROG_LOAD, &mut attributes) {
        return Ok(owned(fd));
    }
    (attributes.log_level, attributes.log_size, attributes.log) =
        (1, log.len() as u32, log.as_mut_ptr() as u64);
    bpf(PROG_LOAD, &mut attributes).map(owned).map_err(|error| {
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.trim_end_matches(['\0', '\n']).lines().collect();
        io::Error::other(format!("{error}: {}", lines[lines.len().saturating_sub(8)..].join(" | ")))
    })
}

#[repr(C)]
struct GetObject {
    path: u64,
    fd: u32,
    flags: u32,
}

/// The object pinned at `path`.
pub fn object_at(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    bpf(OBJ_GET, &mut GetObject { path: address(path.as_bytes_with_nul()), fd: 0, flags: 0 }).map(owned)
}

#[repr(C)]
pub(super) struct ById {
    pub(super) id: u32,
    pub(super) next: u32,
    pub(super) flags: u32,
}

/// The program with this number.
pub fn program_of_interface(id: u32) -> io::Result<OwnedFd> {
    by_id(PROG_GET_FD_BY_ID, id)
}

#[repr(C)]
struct CreateLink {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

/// Attaches natively; dropping the link detaches.
pub fn attach_xdp(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<OwnedFd> {
    let program = program.as_raw_fd() as u32;
    let mut link =
        CreateLink { program, target: ifindex, attach_type: ATTACH_XDP, flags: XDP_FLAGS_DRV_MODE };
    bpf(LINK_CREATE, &mut link).map(owned)
}

#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    verdict: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    /// Nanoseconds a run.
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    padding: u32,
}

/// `struct xdp_md`.
#[repr(C)]
struct XdpContext {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue: u32,
    egress_ifindex: u32,
}

/// What became of runs of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The last one's verdict, a number of `enum xdp_action`.
    pub verdict: u32,
    /// Nanoseconds a run.
    pub duration: u32,
}

/// Runs a program `repeat` times on a frame, as if received on `ifindex`.
pub fn test_run(program: BorrowedFd<'_>, frame: &[u8], ifindex: u32, repeat: u32) -> io::Result<Run> {
    let context = XdpContext {
        data: 0,
        data_end: frame.len() as u32,
        data_meta: 0,
        ingress_ifindex: ifindex,
        rx_queue: 0,
        egress_ifindex: 0,
    };
    let mut run = TestRun {
        program: program.as_raw_fd() as u32,
        size_in: frame.len() as u32,
        data_in: address(frame),
        repeat,
        context_size_in: size_of::<XdpContext>() as u32,
        context_in: address(&context),
        ..TestRun::default()
    };
    bpf(PROG_TEST_RUN, &mut run)?;
    Ok(Run { verdict: run.verdict, duration: run.duration })
}

/// A run of live frames: each is given to the program and goes where its verdict says.
pub struct LiveRun<'a> {
    /// The program.
    pub program: BorrowedFd<'a>,
    /// The frame.
    pub frame: &'a [u8],
    /// How many of it.
    pub repeat: u32,
}

/// Sends live frames in batches; returns nanoseconds a frame. Every batch is worked off to its end before the next, in the
/// softirq that ends it, so that is the time of the whole receive path. What the kernel does once a run (swapping
/// the dispatcher's program takes it milliseconds) is not in it.
pub fn live_run(run: &LiveRun<'_>) -> io::Result<u32> {
    let mut run = TestRun {
        program: run.program.as_raw_fd() as u32,
        size_in: run.frame.len() as u32,
        data_in: address(run.frame),
        repeat: run.repeat,
        flags: F_TEST_XDP_LIVE_FRAMES,
        batch: BATCH,
        ..TestRun::default()
    };
    bpf(PROG_TEST_RUN, &mut run)?;
    Ok(run.duration)
}
