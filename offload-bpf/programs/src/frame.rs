//! The frame that an XDP program was called for.

use aya_ebpf::programs::XdpContext;
use selvedge_classifier::Packet;

/// Start and end of the frame, as the verifier tracks them.
pub(crate) struct Frame {
    start: usize,
    end: usize,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self { start: context.data(), end: context.data_end() }
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn length(&self) -> u32 {
        (self.end - self.start) as u32
    }

    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let at = self.start + offset;
        if at + N > self.end {
            return None;
        }
        // SAFETY: `at .. at + N` lies within the frame, by the comparison that the verifier demands as well. The
        // kernel places frames at even addresses (NET_IP_ALIGN is 0 or 2), and telling LLVM halves the loads.
        Some(unsafe {
            if N.is_multiple_of(2) && offset.is_multiple_of(2) {
                (*(at as *const Even<N>)).0
            } else {
                *(at as *const [u8; N])
            }
        })
    }
}

/// Bytes at an even address.
#[repr(C, align(2))]
struct Even<const N: usize>([u8; N]);
