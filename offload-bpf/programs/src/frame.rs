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
        // SAFETY: `at .. at + N` lies within the frame, by the comparison that the verifier demands as well. An
        // array of bytes needs no alignment.
        Some(unsafe { *(at as *const [u8; N]) })
    }

    #[inline(always)]
    fn load_u64(&self, offset: usize) -> Option<u64> {
        let at = self.start + offset;
        if at + 8 > self.end {
            return None;
        }
        // SAFETY: as above; and the kernel places frames at even addresses (NET_IP_ALIGN is 0 or 2), of which the
        // classifier loads words at even offsets.
        Some(u64::from_be(unsafe { (*(at as *const Even)).0 }))
    }
}

/// A word at an even address.
#[repr(C, packed(2))]
struct Even(u64);
