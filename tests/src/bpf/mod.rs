//! What tests and benches need of bpf(2) itself: maps and programs made of written instructions, links, test runs.

mod found;
mod syscall;

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use selvedge_codegen::assembler::Assembler;
use selvedge_codegen::instruction::Reg;

pub use found::{MapInfo, map, map_info, maps};
pub use syscall::{
    Functions, LiveRun, MapKind, MapOf, Run, attach_xdp, create_map, live_run, load_xdp, lookup, maps_of,
    object_at, program_of_interface, test_run, update,
};

/// An ARRAY of one element: the memory that hand-written programs count and read in.
pub struct Cell {
    fd: OwnedFd,
    size: usize,
}

impl Cell {
    /// A cell that holds `bytes`.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        let fd = syscall::create_map(syscall::MapKind::Array, 4, bytes.len(), 1)?;
        let cell = Self { fd, size: bytes.len() };
        cell.write(bytes)?;
        Ok(cell)
    }

    /// Makes it hold `bytes`, as many as at first.
    ///
    /// # Panics
    /// Where they are more or fewer.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        assert_eq!(bytes.len(), self.size, "a cell keeps its size");
        update(self.borrow(), &0_u32.to_ne_bytes(), bytes)
    }

    /// The first eight bytes, as the counter that programs keep there.
    pub fn count(&self) -> io::Result<u64> {
        let mut bytes = vec![0; self.size];
        lookup(self.borrow(), &0_u32.to_ne_bytes(), &mut bytes)?;
        let first = bytes.first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(u64::from_ne_bytes(*first))
    }

    /// Writes the address of its memory to a register.
    pub fn load(&self, asm: &mut Assembler, dst: Reg) {
        asm.open_value(dst, self.fd.as_raw_fd(), 0);
    }

    fn borrow(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.fd.as_fd()
    }
}

/// A kernel table of `u32` values, to compare ours with.
pub fn table(kind: syscall::MapKind, key_size: usize, entries: u32) -> io::Result<OwnedFd> {
    syscall::create_map(kind, key_size, 4, entries)
}

/// Bytes that the kernel says a pinned map has locked.
pub fn memory(pin: &Path) -> io::Result<u64> {
    let map = object_at(pin)?;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd()))?;
    let bytes = info.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok());
    bytes.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The instructions of a program that is written whole.
///
/// # Panics
/// Where it is not, or one of its jumps is too far.
pub fn code(asm: Assembler) -> Vec<u64> {
    let assembled = asm.finish().expect("a short program, all labels placed");
    assembled.instructions.into_iter().map(|instruction| instruction.0).collect()
}
