//! bpf(2): for links, because aya pins them and forgets which interface they are on; and for others here.
//!
//! Each attribute struct is a prefix of the kernel's `union bpf_attr` (include/uapi/linux/bpf.h); the kernel takes the rest as
//! zero.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_LINK_UPDATE: libc::c_int = 29;
const BPF_LINK_GET_FD_BY_ID: libc::c_int = 30;
const BPF_LINK_DETACH: libc::c_int = 34;
pub(super) const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;

/// What the kernel says of an XDP or tcx link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    /// The link's number.
    pub(crate) id: u32,
    /// The program it runs.
    pub(crate) program: u32,
    /// The interface it is on; 0 when that is gone.
    pub(crate) ifindex: u32,
}

/// What the kernel is told of a pin.
#[repr(C)]
struct OfPath {
    path: u64,
    fd: u32,
    flags: u32,
}

/// Opens a pinned link.
pub(crate) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    descriptor(call(BPF_OBJ_GET, &mut OfPath { path: path.as_ptr() as u64, fd: 0, flags: 0 })?)
}

/// Pins a link under `path`, where nothing may be yet.
pub(crate) fn pin(link: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let fd = link.as_raw_fd() as u32;
    call(BPF_OBJ_PIN, &mut OfPath { path: path.as_ptr() as u64, fd, flags: 0 }).map(drop)
}

/// The first entry of an array whose values are `bytes` long, whatever is in it.
pub(crate) fn first_entry(map: BorrowedFd<'_>, bytes: u32) -> io::Result<Vec<u8>> {
    #[repr(C)]
    struct Attributes {
        map: u32,
        padding: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let (key, mut value) = (0_u32, vec![0; bytes as usize]);
    let mut attributes = Attributes {
        map: map.as_raw_fd() as u32,
        padding: 0,
        key: &raw const key as u64,
        value: value.as_mut_ptr() as u64,
        flags: 0,
    };
    call(BPF_MAP_LOOKUP_ELEM, &mut attributes)?;
    Ok(value)
}

/// Opens a link by its number.
pub(crate) fn open_link(id: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        id: u32,
        next: u32,
        flags: u32,
    }
    descriptor(call(BPF_LINK_GET_FD_BY_ID, &mut Attributes { id, next: 0, flags: 0 })?)
}

/// Asks what `link` is on.
pub(crate) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    #[repr(C)]
    struct Attributes {
        fd: u32,
        length: u32,
        info: u64,
    }
    // struct bpf_link_info: type, id, prog_id, a hole, then the union, which for both begins with ifindex.
    let mut info = [0_u32; 32];
    let fd = link.as_raw_fd() as u32;
    call(
        BPF_OBJ_GET_INFO_BY_FD,
        &mut Attributes { fd, length: size_of_val(&info) as u32, info: info.as_mut_ptr() as u64 },
    )?;
    let [_, id, program, _, ifindex, ..] = info;
    Ok(LinkInfo { id, program, ifindex })
}

/// Takes a link off its interface, whoever holds it.
pub(crate) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        fd: u32,
    }
    call(BPF_LINK_DETACH, &mut Attributes { fd: link.as_raw_fd() as u32 }).map(drop)
}

/// Puts `program` in the place of the one that `link` runs, between two packets.
pub(crate) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        link: u32,
        program: u32,
        flags: u32,
        old_program: u32,
    }
    let (link, program) = (link.as_raw_fd() as u32, program.as_raw_fd() as u32);
    call(BPF_LINK_UPDATE, &mut Attributes { link, program, flags: 0, old_program: 0 }).map(drop)
}

#[expect(unsafe_code, reason = "bpf(2) has no safe wrapper")]
pub(super) fn call<A>(command: libc::c_int, attributes: &mut A) -> io::Result<libc::c_long> {
    // SAFETY: the attributes live through the call, and their size goes with them; pointers inside them are to memory that
    // each caller keeps alive and long enough.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[expect(unsafe_code, reason = "a number from the kernel becomes a descriptor")]
pub(super) fn descriptor(number: libc::c_long) -> io::Result<OwnedFd> {
    let number = i32::try_from(number).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
