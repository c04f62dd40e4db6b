//! Access to the bytes of a frame.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::Reason;

/// A frame whose bytes may be loaded at an offset, checked against its end.
///
/// Offsets are constants at every call but that of [`Packet::load_far`], which is what the kernel's verifier needs to
/// follow them.
pub trait Packet {
    /// Length of the frame in bytes, without the checksum at its end.
    fn length(&self) -> u32;

    /// `N` bytes at `offset`; `None` where the frame ends before.
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// Eight bytes at `offset` as a number in network byte order. Of its own, because loading words beats loading
    /// and joining bytes where the target allows it.
    #[inline(always)]
    fn load_u64(&self, offset: usize) -> Option<u64> {
        self.load(offset).map(u64::from_be_bytes)
    }

    /// [`Packet::load`] at an offset that was computed. Slower: in the kernel a call instead of a load.
    fn load_far<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;

    /// [`Packet::load_far`] of bytes without which the frame is truncated.
    #[inline(always)]
    fn need_far<const N: usize>(&self, offset: u32) -> ControlFlow<Reason, [u8; N]> {
        self.load_far(offset).map_or(Break(Reason::Truncated), Continue)
    }

    /// [`Packet::load_u64`] of bytes without which the frame is truncated.
    #[inline(always)]
    fn need_u64(&self, offset: usize) -> ControlFlow<Reason, u64> {
        self.load_u64(offset).map_or(Break(Reason::Truncated), Continue)
    }

    /// `N` bytes at `offset` without which the frame is truncated.
    #[inline(always)]
    fn need<const N: usize>(&self, offset: usize) -> ControlFlow<Reason, [u8; N]> {
        self.load(offset).map_or(Break(Reason::Truncated), Continue)
    }
}

impl Packet for [u8] {
    #[inline(always)]
    fn length(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk::<N>().copied()
    }

    #[inline(always)]
    fn load_far<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.load(usize::try_from(offset).ok()?)
    }
}

impl<P: Packet + ?Sized> Packet for &P {
    #[inline(always)]
    fn length(&self) -> u32 {
        (**self).length()
    }

    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        (**self).load(offset)
    }

    #[inline(always)]
    fn load_far<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        (**self).load_far(offset)
    }
}

/// What is left of a packet from an offset on that was computed, to be read as if it began there.
pub(crate) struct Far<'a, P: ?Sized> {
    pub(crate) packet: &'a P,
    pub(crate) from: u32,
}

impl<P: Packet + ?Sized> Packet for Far<'_, P> {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.packet.length().saturating_sub(self.from)
    }

    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.load_far(offset as u32)
    }

    #[inline(always)]
    fn load_far<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.packet.load_far(self.from.wrapping_add(offset))
    }
}
