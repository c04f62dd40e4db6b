//! The programs: `selvedge_classifier` over kernel maps. One judges what ports receive (XDP), one what the node itself sends out
//! of them (tcx), and one stands in for the first while that changes its mode (tcx).
#![no_std]
#![no_main]
#![feature(core_intrinsics, adt_const_params, asm_experimental_arch)]
#![expect(internal_features, reason = "see `fragments` and `connections`; `frame` for the assembly")]
#![warn(clippy::all)]

mod addresses;
mod connections;
mod fragments;
mod frame;
mod maps;
mod passages;
mod policies;
mod skb;

use aya_ebpf::{
    bindings::{tcx_action_base, xdp_action},
    macros::{classifier, map, xdp},
    maps::PerCpuArray,
    programs::{TcContext, XdpContext},
};
use selvedge_abi::{Reason, Verdict};
use selvedge_classifier::{Notes, Way, classify_anew, classify_sent, recall};

use crate::{frame::Frame, maps::Maps, skb::Skb};

/// Entry point on every enforced port, in native and in generic mode.
#[xdp]
pub fn selvedge_xdp(context: XdpContext) -> u32 {
    let ifindex = context.ingress_ifindex() as u32;
    let frame = Frame::new(&context);
    match recall(&frame, ifindex, &Maps) {
        Some(Reason::Established) => return xdp_action::XDP_PASS,
        Some(_) => return xdp_action::XDP_DROP,
        None => {}
    }
    let Some(notes) = own(&NOTES) else { return xdp_action::XDP_DROP };
    match classify_anew(&frame, ifindex, &Maps, notes).verdict() {
        Verdict::Allowed => xdp_action::XDP_PASS,
        Verdict::Denied | Verdict::Dropped => xdp_action::XDP_DROP,
    }
}

/// Entry point where a port's packets are received, for the moments in which [`selvedge_xdp`] is taken off and put back in another
/// mode: the same judgement, one layer up. A frame that came with a tag is dropped: the kernel has taken the tag off by now, so
/// that it looks like one without.
#[classifier]
pub fn selvedge_stand(context: TcContext) -> i32 {
    // SAFETY: the context is the kernel's.
    let (ifindex, tagged) = unsafe { ((*context.skb.skb).ifindex, (*context.skb.skb).vlan_present) };
    let Some(notes) = own(&NOTES).filter(|_| tagged == 0) else { return tcx_action_base::TCX_DROP };
    match classify_anew(&Skb::new(&context), ifindex, &Maps, notes).verdict() {
        Verdict::Allowed => tcx_action_base::TCX_NEXT,
        Verdict::Denied | Verdict::Dropped => tcx_action_base::TCX_DROP,
    }
}

/// Entry point on every enforced port, where packets leave. What passes goes on to other programs on the port, if there are any.
#[classifier]
pub fn selvedge_egress(context: TcContext) -> i32 {
    // SAFETY: the context is the kernel's.
    let (received, leaves) = unsafe { ((*context.skb.skb).ingress_ifindex, (*context.skb.skb).ifindex) };
    let Some(notes) = own(&SENT_NOTES) else { return tcx_action_base::TCX_DROP };
    let reason = classify_sent(&Skb::new(&context), Way { received, leaves }, &Maps, notes);
    match reason.map(Reason::verdict) {
        None | Some(Verdict::Allowed) => tcx_action_base::TCX_NEXT,
        Some(Verdict::Denied | Verdict::Dropped) => tcx_action_base::TCX_DROP,
    }
}

/// Notes of the packet in hand. No agent's business, so they have no name in the ABI and are not pinned.
#[map]
static NOTES: PerCpuArray<Notes> = PerCpuArray::with_max_entries(1, 0);
#[map]
static SENT_NOTES: PerCpuArray<Notes> = PerCpuArray::with_max_entries(1, 0);

/// This CPU's notes; there always are some.
#[inline(always)]
fn own(notes: &PerCpuArray<Notes>) -> Option<&mut Notes> {
    let notes = notes.get_ptr_mut(0)?;
    // SAFETY: this CPU's element, and programs are not interrupted by themselves. It begins as zeroes, which are notes, and
    // only programs write it.
    Some(unsafe { &mut *notes })
}

/// Unreachable: nothing the program does can panic. The linker drops it, and the verifier refuses the loop
/// should a panic ever slip in.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
