//! Access to the bytes of a frame.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::Reason;

/// A frame whose bytes may be loaded at an offset, checked against its end.
///
/// Offsets are constants at every call but that of [`Packet::load_far`], which is what the kernel's verifier needs to
/// follow them.
pub trait Packet {
    /// What [`Packet::head`] finds.
    type Head<const N: usize>: Head;

    /// The first `N` bytes, looked for once and read without another look at the end; `None` where the frame has fewer.
    fn head<const N: usize>(&self) -> Option<Self::Head<N>>;

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

/// The first bytes of a frame. Numbers in it are in network byte order, at even offsets; one beyond its end does not compile.
pub trait Head: Copy {
    /// The byte at `AT`.
    fn u8<const AT: usize>(self) -> u8;
    /// The two bytes from `AT` on.
    fn u16<const AT: usize>(self) -> u16;
    /// The four bytes from `AT` on.
    fn u32<const AT: usize>(self) -> u32;
    /// The eight bytes from `AT` on.
    fn u64<const AT: usize>(self) -> u64;
}

impl<const N: usize> Head for [u8; N] {
    #[inline(always)]
    fn u8<const AT: usize>(self) -> u8 {
        const { assert!(AT < N) };
        self[AT]
    }

    #[inline(always)]
    fn u16<const AT: usize>(self) -> u16 {
        const { assert!(AT + 2 <= N && AT.is_multiple_of(2)) };
        u16::from_be_bytes([self[AT], self[AT + 1]])
    }

    #[inline(always)]
    fn u32<const AT: usize>(self) -> u32 {
        const { assert!(AT + 4 <= N && AT.is_multiple_of(2)) };
        u32::from_be_bytes([self[AT], self[AT + 1], self[AT + 2], self[AT + 3]])
    }

    #[inline(always)]
    fn u64<const AT: usize>(self) -> u64 {
        const { assert!(AT + 8 <= N && AT.is_multiple_of(2)) };
        let [a, b, c, d] = [self[AT], self[AT + 1], self[AT + 2], self[AT + 3]];
        u64::from_be_bytes([a, b, c, d, self[AT + 4], self[AT + 5], self[AT + 6], self[AT + 7]])
    }
}

impl Packet for [u8] {
    type Head<const N: usize> = [u8; N];

    #[inline(always)]
    fn head<const N: usize>(&self) -> Option<[u8; N]> {
        self.first_chunk().copied()
    }

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
    type Head<const N: usize> = P::Head<N>;

    #[inline(always)]
    fn head<const N: usize>(&self) -> Option<P::Head<N>> {
        (**self).head()
    }

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
    type Head<const N: usize> = [u8; N];

    #[inline(always)]
    fn head<const N: usize>(&self) -> Option<[u8; N]> {
        self.load(0)
    }

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
