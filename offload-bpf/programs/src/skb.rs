//! The packet that a traffic control program was called for.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_skb_load_bytes, bpf_skb_pull_data},
    programs::TcContext,
};
use selvedge_classifier::Packet;

use crate::frame::{Begin, Linear};

/// The longest that headers get whose offsets are constants: Ethernet and IPv6, an ICMPv6 error, and what it quotes of IPv6 with
/// ports. A frame may end before.
const HEADERS: u32 = 128;

/// A frame with its headers in one piece. A packet for several segments (GSO) is one frame here, with the lengths of the
/// whole; larger than 64 KiB (BIG TCP, which has to be turned on) its lengths say nothing, and it is dropped.
pub(crate) struct Skb {
    linear: Linear,
    length: u32,
    context: *mut __sk_buff,
}

impl Skb {
    #[inline(always)]
    pub(crate) fn new(context: &TcContext) -> Self {
        let (length, skb) = (context.len(), context.skb.skb);
        let wanted = if length < HEADERS { length } else { HEADERS };
        if context.data() + wanted as usize > context.data_end() {
            // SAFETY: the context is the kernel's. Without memory it fails, and the frame seems cut off.
            let _ = unsafe { bpf_skb_pull_data(skb, wanted) };
        }
        Self { linear: Linear::new(context.data(), context.data_end()), length, context: skb }
    }
}

impl Packet for Skb {
    type Head<const N: usize> = Begin<N>;

    #[inline(always)]
    fn head<const N: usize>(&self) -> Option<Begin<N>> {
        self.linear.begin()
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        self.length
    }

    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.linear.load(offset)
    }

    #[inline(always)]
    fn load_far<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: the context is the kernel's, and the helper writes all of the bytes or fails.
        unsafe {
            match bpf_skb_load_bytes(self.context.cast(), offset, bytes.as_mut_ptr().cast(), N as u32) {
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
