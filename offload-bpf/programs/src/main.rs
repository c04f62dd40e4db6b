//! The XDP program: `selvedge_classifier::classify` over kernel maps.
#![no_std]
#![no_main]
#![warn(clippy::all)]

mod frame;
mod maps;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use selvedge_abi::Verdict;
use selvedge_classifier::classify;

use crate::{frame::Frame, maps::Maps};

/// Entry point on every enforced port, in native and in generic mode.
#[xdp]
pub fn selvedge_xdp(context: XdpContext) -> u32 {
    let ifindex = context.ingress_ifindex() as u32;
    match classify(&Frame::new(&context), ifindex, &Maps).verdict() {
        Verdict::Allowed => xdp_action::XDP_PASS,
        Verdict::Denied | Verdict::Dropped => xdp_action::XDP_DROP,
    }
}

/// Unreachable: nothing the program does can panic. The linker drops it, and the verifier refuses the loop
/// should a panic ever slip in.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
