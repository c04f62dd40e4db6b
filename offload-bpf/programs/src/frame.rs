//! The frame that an XDP program was called for.

use core::mem::MaybeUninit;

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

    #[inline(always)]
    pub(crate) fn load_u64(&self, offset: usize) -> Option<u64> {
        let at = self.start + offset;
        if at + 8 > self.end {
            return None;
        }
        // SAFETY: as above; and the kernel places frames at even addresses (NET_IP_ALIGN is 0 or 2), of which the
        // classifier loads words at even offsets.
        Some(u64::from_be(unsafe { (*(at as *const Even<u64>)).0 }))
    }
}

/// The first `N` bytes of those that lie in one piece.
#[derive(Clone, Copy)]
pub(crate) struct Begin<const N: usize>(usize);

impl<const N: usize> Begin<N> {
    /// A value at a place of the kind that all of them are at.
    #[inline(always)]
    fn at<T: Copy, const AT: usize>(self) -> T {
        const { assert!(AT + size_of::<T>() <= N && align_of::<T>() <= 2 - AT % 2) };
        // SAFETY: the bytes are there, and lie at an even address (see `load_u64`), so that what is at an even offset may be
        // aligned to two.
        unsafe { *((self.0 + AT) as *const T) }
    }
}

impl<const N: usize> Head for Begin<N> {
    #[inline(always)]
    fn u8<const AT: usize>(self) -> u8 {
        self.at::<u8, AT>()
    }

    #[inline(always)]
    fn u16<const AT: usize>(self) -> u16 {
        u16::from_be(self.at::<u16, AT>())
    }

    #[inline(always)]
    fn u32<const AT: usize>(self) -> u32 {
        u32::from_be(self.at::<Even<u32>, AT>().0)
    }

    #[inline(always)]
    fn u64<const AT: usize>(self) -> u64 {
        u64::from_be(self.at::<Even<u64>, AT>().0)
    }
}

/// A word at an even address.
#[derive(Clone, Copy)]
#[repr(C, packed(2))]
struct Even<T>(T);

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
