//! The XDP program: `selvedge_classifier::classify` over kernel maps.
#![no_std]
#![no_main]
#![feature(core_intrinsics, adt_const_params)]
#![expect(internal_features, reason = "see `fragments`")]
#![warn(clippy::all)]

mod addresses;
mod connections;
mod fragments;
mod frame;
mod maps;
mod passages;

use aya_ebpf::{
    bindings::xdp_action,
    macros::{map, xdp},
    maps::PerCpuArray,
    programs::XdpContext,
};
use selvedge_abi::Verdict;
use selvedge_classifier::{Notes, classify};

use crate::{frame::Frame, maps::Maps};

/// Entry point on every enforced port, in native and in generic mode.
#[xdp]
pub fn selvedge_xdp(context: XdpContext) -> u32 {
    let ifindex = context.ingress_ifindex() as u32;
    let Some(notes) = NOTES.get_ptr_mut(0) else { return xdp_action::XDP_DROP }; // there is always one
    // SAFETY: this CPU's element, and programs are not interrupted by themselves. It is written before it is read.
    let notes = unsafe {
        notes.write(Notes::default());
        &mut *notes
    };
    match classify(&Frame::new(&context), ifindex, &Maps, notes).verdict() {
        Verdict::Allowed => xdp_action::XDP_PASS,
        Verdict::Denied | Verdict::Dropped => xdp_action::XDP_DROP,
    }
}

/// Notes of the packet in hand. No agent's business, so it has no name in the ABI and is not pinned.
#[map]
static NOTES: PerCpuArray<Notes> = PerCpuArray::with_max_entries(1, 0);

/// Unreachable: nothing the program does can panic. The linker drops it, and the verifier refuses the loop
/// should a panic ever slip in.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
