//! Somebody else's tcx program, on what a port sends.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use aya::programs::links::{FdLink, LinkOrder};
use aya::programs::tc::{TcAttachOptions, TcAttachType};
use aya::programs::{ProgramInfo, SchedClassifier};

use nix::mount::{MsFlags, mount, umount};

use crate::support::Namespace;

/// Ends the chain: the packet goes, and nobody after it is asked.
pub(crate) const PASS: i32 = 0;
/// Leaves it to the next.
pub(crate) const NEXT: i32 = -1;

/// Attached for as long as this is.
pub(crate) struct Foreign {
    pub(crate) id: u32,
    _link: FdLink,
}

impl Foreign {
    /// A program that always says `verdict`, on `port`.
    pub(crate) fn attach(namespace: &Namespace, port: &str, verdict: i32, order: LinkOrder) -> Self {
        // aya takes programs that it did not load from pins only.
        let directory = tempfile::tempdir().unwrap();
        let none = None::<&str>;
        mount(Some("bpf"), directory.path(), Some("bpf"), MsFlags::empty(), none).unwrap();
        let pin = directory.path().join("program");
        pin_program(&load(verdict), pin.to_str().unwrap());
        let mut program = SchedClassifier::from_pin(&pin).unwrap();
        let id = program.info().unwrap().id();
        let attached = namespace.enter(|| {
            let options = TcAttachOptions::TcxOrder(order);
            program.attach_with_options(port, TcAttachType::Egress, options).unwrap()
        });
        let link = FdLink::try_from(program.take_link(attached).unwrap()).unwrap();
        umount(directory.path()).unwrap();
        Self { id, _link: link }
    }
}

/// The programs on what `port` sends, in the order that they are asked.
pub(crate) fn chain(namespace: &Namespace, port: &str) -> Vec<u32> {
    let (_, all) = namespace.enter(|| SchedClassifier::query_tcx(port, TcAttachType::Egress).unwrap());
    all.iter().map(ProgramInfo::id).collect()
}

/// `r0 = verdict; exit`.
#[expect(unsafe_code, reason = "bpf(2) has no safe wrapper, and aya loads objects only")]
fn load(verdict: i32) -> OwnedFd {
    const BPF_PROG_LOAD: libc::c_int = 5;
    const SCHED_CLS: u32 = 3;
    #[repr(C)]
    struct Attributes {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
    }
    let instructions: [u64; 2] = [u64::from(verdict as u32) << 32 | 0xb7, 0x95];
    let license = c"GPL";
    let attributes = Attributes {
        kind: SCHED_CLS,
        count: 2,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
    };
    // SAFETY: the attributes and what they point at live through the call.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<Attributes>())
    };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel just made this descriptor.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

#[expect(unsafe_code, reason = "bpf(2) has no safe wrapper")]
fn pin_program(program: &OwnedFd, path: &str) {
    const BPF_OBJ_PIN: libc::c_int = 6;
    #[repr(C)]
    struct Attributes {
        path: u64,
        fd: u32,
        flags: u32,
    }
    let path = std::ffi::CString::new(path).unwrap();
    let attributes = Attributes { path: path.as_ptr() as u64, fd: program.as_raw_fd() as u32, flags: 0 };
    // SAFETY: as in `load`.
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_PIN, &raw const attributes, size_of::<Attributes>()) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}
