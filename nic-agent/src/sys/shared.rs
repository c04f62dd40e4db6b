//! Array maps in this process's memory: a read or a write of an element is that, and no system call.
//!
//! What of a map is in a process's memory counts as the process's, all of it from the moment that it is mapped. So a map is taken in
//! by windows, each when something in it is looked at, and let go when nobody will look for a while.

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{SysconfVar, sysconf};
use selvedge_agent_core::storage::Memory;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The elements of an array map made with BPF_F_MMAPABLE.
///
/// Programs may read an element while it is written; whoever writes keeps to the half that they don't use.
pub(crate) struct SharedArray<T> {
    map: OwnedFd,
    elements: u32,
    /// Elements of a window: as many as a page has bytes, so that every window is whole pages of whole elements.
    each: u32,
    /// Where those windows begin that are in memory.
    windows: Vec<Cell<Option<NonNull<u8>>>>,
    _holds: PhantomData<T>,
}

/// Elements of an array lie at multiples of eight bytes.
const fn stride<T>() -> usize {
    size_of::<T>().next_multiple_of(8)
}

impl<T> SharedArray<T> {
    /// The map `map`, which has `elements`. The first window is taken in, so that a map that can't be is found out now.
    pub(crate) fn new(map: impl AsFd, elements: u32) -> io::Result<Self> {
        let map = map.as_fd().try_clone_to_owned()?;
        let page = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|page| u32::try_from(page).ok());
        let each = page.ok_or(io::ErrorKind::Unsupported)?;
        let windows = vec![Cell::new(None); elements.div_ceil(each) as usize];
        let array = Self { map, elements, each, windows, _holds: PhantomData };
        array.take_in(0)?;
        Ok(array)
    }

    /// The bytes of a window.
    fn length(&self, window: u32) -> io::Result<NonZeroUsize> {
        let elements = self.elements.saturating_sub(window * self.each).min(self.each);
        NonZeroUsize::new(elements as usize * stride::<T>()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    #[expect(unsafe_code, reason = "mmap(2)")]
    fn take_in(&self, window: u32) -> io::Result<NonNull<u8>> {
        let cell = self.windows.get(window as usize).ok_or(io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let offset = i64::from(window) * i64::from(self.each) * stride::<T>() as i64;
        let length = self.length(window)?;
        // SAFETY: a new mapping, of a part that the kernel checks against the map's; nothing of ours is replaced.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, &self.map, offset)? };
        cell.set(Some(start.cast()));
        Ok(start.cast())
    }

    fn at(&self, index: u32) -> *mut T {
        assert!(index < self.elements, "element {index} of {}", self.elements);
        let (window, within) = (index / self.each, index % self.each);
        let start = match self.windows[window as usize].get() {
            Some(start) => start,
            None => self.take_in(window).unwrap_or_else(|error| panic!("a map can't be taken in: {error}")),
        };
        start.as_ptr().wrapping_add(within as usize * stride::<T>()).cast()
    }

    #[expect(unsafe_code, reason = "munmap(2)")]
    fn let_go(&mut self) {
        for window in 0..self.windows.len() as u32 {
            let Some(start) = self.windows[window as usize].take() else { continue };
            if let Ok(length) = self.length(window) {
                // SAFETY: exactly what `take_in` mapped; no reference into it outlives a call, and `self` is borrowed by nobody else.
                let _unmapped = unsafe { munmap(start.cast(), length.get()) };
            }
        }
    }
}

impl<T: FromBytes + IntoBytes + Immutable + Copy> Memory<T> for SharedArray<T> {
    #[expect(unsafe_code, reason = "memory that the kernel shares")]
    fn load(&self, index: u32) -> T {
        // SAFETY: within the mapping, aligned to eight bytes or to a page and whole buckets; any bytes are a T.
        unsafe { self.at(index).read_volatile() }
    }

    #[expect(unsafe_code, reason = "memory that the kernel shares")]
    fn store(&mut self, index: u32, element: &T) {
        // SAFETY: as in `load`.
        unsafe { self.at(index).write_volatile(*element) }
    }

    fn rest(&mut self) {
        self.let_go();
    }
}

#[expect(unsafe_code, reason = "the pointers are to mappings that any thread may use")]
// SAFETY: the mappings belong to the process, and there is no other state.
unsafe impl<T: Send> Send for SharedArray<T> {}

impl<T> Drop for SharedArray<T> {
    fn drop(&mut self) {
        self.let_go();
    }
}
