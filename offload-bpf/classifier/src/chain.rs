//! IPv6 extension headers (RFC 8200 §4), followed to a fixed depth.
//!
//! Those pass that change nothing of who speaks with whom and that every node may ignore: the decision is made by the
//! addresses of the IPv6 header and by the transport header, so whatever moves one of them is dropped.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::Reason;

use crate::{
    extended::{Layout, fragment},
    network::{Part, Place, RouterAlert},
    packet::Packet,
    report::Seen,
};

/// Headers between the IPv6 header and the transport's. No honest packet has more (RFC 8200 §4.1 without routing).
const DEPTH: usize = 4;
/// Options in one header; more are an attack on who has to read them (RFC 8504 §5.3 takes 8).
const OPTIONS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// Moves `layout` from the IPv6 header to what the chain of extension headers ends in.
#[inline(always)]
pub(crate) fn walk(packet: &impl Packet, layout: &mut Layout, seen: &mut Seen) -> ControlFlow<Reason> {
    for depth in 0..=DEPTH {
        match layout.protocol {
            HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS if depth == DEPTH => break,
            HOP_BY_HOP if depth > 0 => return Break(Reason::Malformed), // RFC 8200 §4.1
            HOP_BY_HOP => hop_by_hop(packet, layout)?,
            ROUTING => routing(packet, layout, seen.part)?,
            DESTINATION_OPTIONS => destination_options(packet, layout, seen.part)?,
            FRAGMENT if seen.part != Part::Whole => return Break(Reason::Malformed), // CVE-2023-4809
            FRAGMENT => {
                (seen.part, seen.place) = fragmentation(packet, layout)?;
                if seen.part.is_later() {
                    return Continue(());
                }
            }
            // Nothing for anybody; another address than the header's; experiments (RFC 7045).
            NO_NEXT_HEADER | MOBILITY | HIP | SHIM6 | 253 | 254 => break,
            _ => return Continue(()),
        }
    }
    Break(Reason::Extension)
}

/// The header at the layout's end, of `bytes`, is read; the next one is of the protocol `next`.
#[inline(always)]
fn step(layout: &mut Layout, part: Part, next: u8, bytes: u32) -> ControlFlow<Reason> {
    if bytes > layout.length {
        return Break(cut_off(part));
    }
    layout.protocol = next;
    layout.transport += bytes;
    layout.length -= bytes;
    Continue(())
}

/// The first eight bytes of the header at the layout's end.
#[inline(always)]
fn begin(packet: &impl Packet, layout: &Layout, part: Part) -> ControlFlow<Reason, [u8; 8]> {
    if layout.length < 8 {
        return Break(cut_off(part));
    }
    packet.need_far(layout.transport)
}

/// The chain ends in the middle of a header, which may be in the next fragment (RFC 7112).
#[inline(always)]
fn cut_off(part: Part) -> Reason {
    if part.is_first() { Reason::FragmentTiny } else { Reason::Truncated }
}

/// Only MLD needs it, with a router alert and padding to eight bytes (RFC 3810 §5). Else it would take every router on the
/// way to its slow path; and a jumbogram says its length here.
#[inline(always)]
fn hop_by_hop(packet: &impl Packet, layout: &mut Layout) -> ControlFlow<Reason> {
    match begin(packet, layout, Part::Whole)? {
        [next, 0, 5, 2, 0, 0, 1, 0] | [next, 0, 1, 0, 5, 2, 0, 0] => {
            layout.router_alert = RouterAlert::Present;
            step(layout, Part::Whole, next, 8)
        }
        _ => Break(Reason::Extension),
    }
}

/// One that has arrived is like none (RFC 8200 §4.4). One that goes on takes the packet to another than its destination,
/// which is who it is judged for; type 0 is withdrawn altogether (RFC 5095).
#[inline(always)]
fn routing(packet: &impl Packet, layout: &mut Layout, part: Part) -> ControlFlow<Reason> {
    const TYPE_0: u8 = 0;
    let [next, length, kind, segments_left, ..] = begin(packet, layout, part)?;
    match (kind, segments_left) {
        (TYPE_0, _) => Break(Reason::Deprecated),
        (_, 0) => step(layout, part, next, (length as u32 + 1) * 8),
        _ => Break(Reason::Extension),
    }
}

#[inline(always)]
fn fragmentation(packet: &impl Packet, layout: &mut Layout) -> ControlFlow<Reason, (Part, Place)> {
    let [next, _, o0, o1, id @ ..] = begin(packet, layout, Part::Whole)?;
    let offset_and_flag = u16::from_be_bytes([o0, o1]);
    let (start, more) = ((offset_and_flag & !7) as u32, offset_and_flag & 1 != 0);
    step(layout, Part::Whole, next, 8)?;
    if start == 0 && !more {
        Continue((Part::Atomic, Place::default()))
    } else {
        fragment(u32::from_be_bytes(id), start, layout.length, more)
    }
}

/// Options that a node may skip if it doesn't know them pass; the two highest bits say so (RFC 8200 §4.2). The home
/// address option, which gives the packet another source (RFC 6275 §6.3), is none of them.
#[inline(always)]
fn destination_options(packet: &impl Packet, layout: &mut Layout, part: Part) -> ControlFlow<Reason> {
    const PAD_1: u8 = 0;
    let [next, length, ..] = begin(packet, layout, part)?;
    let mut at = layout.transport + 2;
    step(layout, part, next, (length as u32 + 1) * 8)?;
    for _ in 0..OPTIONS {
        if at >= layout.transport {
            break;
        }
        let [kind] = packet.need_far(at)?;
        if kind == PAD_1 {
            at += 1;
            continue;
        }
        if kind >> 6 != 0 {
            return Break(Reason::Extension);
        }
        let [length] = packet.need_far(at + 1)?;
        at += 2 + length as u32;
    }
    match at == layout.transport {
        true => Continue(()),
        false if at > layout.transport => Break(Reason::Malformed), // an option beyond its header
        false => Break(Reason::Extension),                          // too many
    }
}
