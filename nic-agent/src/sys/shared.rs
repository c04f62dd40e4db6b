//! Array maps in this process's memory: a read or a write of an element is that, and no system call.

use std::io;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use selvedge_agent_core::storage::Memory;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The elements of an array map made with BPF_F_MMAPABLE.
///
/// Programs may read an element while it is written; whoever writes keeps to the half that they don't use.
pub(crate) struct SharedArray<T> {
    start: NonNull<u8>,
    elements: u32,
    _holds: PhantomData<T>,
}

/// Elements of an array lie at multiples of eight bytes.
const fn stride<T>() -> usize {
    size_of::<T>().next_multiple_of(8)
}

impl<T> SharedArray<T> {
    fn length(elements: u32) -> io::Result<NonZeroUsize> {
        NonZeroUsize::new(elements as usize * stride::<T>()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Maps the map `map`, which has `elements`.
    #[expect(unsafe_code, reason = "mmap(2)")]
    pub(crate) fn new(map: impl AsFd, elements: u32) -> io::Result<Self> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let length = Self::length(elements)?;
        // SAFETY: a new mapping, of a length that the kernel checks against the map's; nothing of ours is replaced.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, map, 0)? };
        Ok(Self { start: start.cast(), elements, _holds: PhantomData })
    }

    fn at(&self, index: u32) -> *mut T {
        assert!(index < self.elements, "element {index} of {}", self.elements);
        self.start.as_ptr().wrapping_add(index as usize * stride::<T>()).cast()
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
}

#[expect(unsafe_code, reason = "the pointer is to a mapping that any thread may use")]
// SAFETY: the mapping belongs to the process, and there is no other state.
unsafe impl<T: Send> Send for SharedArray<T> {}

impl<T> Drop for SharedArray<T> {
    #[expect(unsafe_code, reason = "munmap(2)")]
    fn drop(&mut self) {
        if let Ok(length) = Self::length(self.elements) {
            // SAFETY: exactly what `new` mapped; references into it end with `self`.
            let _unmapped = unsafe { munmap(self.start.cast(), length.get()) };
        }
    }
}
