//! ARP over Ethernet for IPv4 (RFC 826).

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::Reason;

use crate::{Node, ends::Sender, ip::Ip, link, packet::Packet, report::Seen, tables::Tables};

/// Ethernet, IPv4, address lengths 6 and 4, operation request.
const REQUEST: u64 = 0x0001_0800_0604_0001;
/// The same, operation reply.
const REPLY: u64 = 0x0001_0800_0604_0002;

/// Passes address resolution. What a workload says of itself must be true: its sender protocol address is
/// behind the port, or, in a probe for a duplicate (RFC 5227), zero.
#[inline(never)]
pub(crate) fn judge<T: Tables>(packet: &impl Packet, node: &Node<'_, T>, seen: &mut Seen) -> Reason {
    let (Break(reason) | Continue(reason)) = check(packet, node, seen);
    reason
}

#[inline(always)]
fn check<T: Tables>(
    packet: &impl Packet,
    node: &Node<'_, T>,
    seen: &mut Seen,
) -> ControlFlow<Reason, Reason> {
    let fixed = packet.need_u64(link::HEADER)?;
    seen.source = Ip::from_v4(packet.need(link::HEADER + 14)?);
    seen.destination = Ip::from_v4(packet.need(link::HEADER + 24)?);
    if fixed != REQUEST && fixed != REPLY {
        return Break(Reason::Malformed);
    }
    let probe = fixed == REQUEST && seen.source == Ip::UNSPECIFIED_V4;
    if node.sender == Sender::Workload && !probe && !node.may_speak_for(seen.source) {
        return Break(Reason::Spoofed);
    }
    Continue(Reason::Arp)
}
