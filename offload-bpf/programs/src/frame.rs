//! The frame that an XDP program was called for.

use core::{arch::asm, mem::MaybeUninit};

use aya_ebpf::{bindings::xdp_md, helpers::bpf_xdp_load_bytes, programs::XdpContext};
use selvedge_classifier::{Head, Packet};

/// Start and end of bytes that lie in one piece, as the verifier tracks them.
pub(crate) struct Linear {
    start: usize,
    end: usize,
}

impl Linear {
    #[inline(always)]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    #[inline(always)]
    pub(crate) fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let at = self.start + offset;
        if at + N > self.end {
            return None;
        }
        // SAFETY: `at .. at + N` lies within the bytes, by the comparison that the verifier demands as well. An
        // array of bytes needs no alignment.
        Some(unsafe { *(at as *const [u8; N]) })
    }

    #[inline(always)]
    pub(crate) fn begin<const N: usize>(&self) -> Option<Begin<N>> {
        // The very comparison that the verifier demands.
        if self.start + N > self.end { None } else { Some(Begin(self.start)) }
    }

    /// At an offset that is a constant.
    #[inline(always)]
    pub(crate) fn load_u64(&self, offset: usize) -> Option<u64> {
        let at = self.start + offset;
        if at + 8 > self.end {
            return None;
        }
        // SAFETY: the bytes are there, by that comparison.
        Some(u64::from_be(unsafe { word64::<0>(at) }))
    }
}

/// The first `N` bytes of those that lie in one piece.
#[derive(Clone, Copy)]
pub(crate) struct Begin<const N: usize>(usize);

impl<const N: usize> Head for Begin<N> {
    #[inline(always)]
    fn u8<const AT: usize>(self) -> u8 {
        const { assert!(AT < N) };
        // SAFETY: the bytes are there.
        unsafe { *((self.0 + AT) as *const u8) }
    }

    #[inline(always)]
    fn u16<const AT: usize>(self) -> u16 {
        const { assert!(AT + 2 <= N && AT.is_multiple_of(2)) };
        // SAFETY: the bytes are there, and the kernel places frames at even addresses (NET_IP_ALIGN is 0 or 2).
        u16::from_be(unsafe { *((self.0 + AT) as *const u16) })
    }

    #[inline(always)]
    fn u32<const AT: usize>(self) -> u32 {
        const { assert!(AT + 4 <= N) };
        // SAFETY: the bytes are there.
        u32::from_be(unsafe { word32::<AT>(self.0) })
    }

    #[inline(always)]
    fn u64<const AT: usize>(self) -> u64 {
        const { assert!(AT + 8 <= N) };
        // SAFETY: the bytes are there.
        u64::from_be(unsafe { word64::<AT>(self.0) })
    }
}

/// Four bytes of a packet at `base + AT`, in one load. The address need not be aligned: verifier and processors with ports that
/// Selvedge runs on allow that of packets, but the compiler, which can't tell them from the stack, would load one byte after the other.
///
/// # Safety
/// The bytes are within the packet, as the verifier knows it.
#[inline(always)]
unsafe fn word32<const AT: usize>(base: usize) -> u32 {
    let word: u64;
    // SAFETY: the caller's.
    unsafe {
        asm!("{word} = *(u32 *)({base} + {at})", word = out(reg) word, base = in(reg) base, at = const AT,
             options(pure, readonly, nostack, preserves_flags));
    }
    word as u32
}

/// Eight bytes likewise.
///
/// # Safety
/// As for [`word32`].
#[inline(always)]
unsafe fn word64<const AT: usize>(base: usize) -> u64 {
    let word;
    // SAFETY: the caller's.
    unsafe {
        asm!("{word} = *(u64 *)({base} + {at})", word = out(reg) word, base = in(reg) base, at = const AT,
             options(pure, readonly, nostack, preserves_flags));
    }
    word
}

/// The frame, which is in one piece.
pub(crate) struct Frame {
    linear: Linear,
    context: *mut xdp_md,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self { linear: Linear::new(context.data(), context.data_end()), context: context.ctx }
    }
}

impl Packet for Frame {
    type Head<const N: usize> = Begin<N>;

    #[inline(always)]
    fn head<const N: usize>(&self) -> Option<Begin<N>> {
        self.linear.begin()
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        (self.linear.end - self.linear.start) as u32
    }

    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.linear.load(offset)
    }

    /// By a helper (Linux 5.18), which checks the offset itself: pointers of unknown offset are what the verifier is worst at.
    #[inline(always)]
    fn load_far<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: the context is the kernel's, and the helper writes all of the bytes or fails.
        unsafe {
            match bpf_xdp_load_bytes(self.context, offset, bytes.as_mut_ptr().cast(), N as u32) {
                0 => Some(bytes.assume_init()),
                _ => None,
            }
        }
    }

    #[inline(always)]
    fn load_u64(&self, offset: usize) -> Option<u64> {
        self.linear.load_u64(offset)
    }
}
