//! Group membership: IGMP (RFC 2236, RFC 3376) and MLD (RFC 2710, RFC 3810).
//!
//! Groups themselves carry nothing here, for policy has no words for them; but a switch that snoops delivers neighbour
//! discovery only to those that said by MLD that they listen. Hosts may report; who asks is a router.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::Reason;

use crate::{
    Node,
    ends::Sender,
    network::{Datagram, Part, RouterAlert},
    tables::Tables,
};

pub(crate) const MLD_QUERY: u8 = 130;
pub(crate) const MLD_REPORT: u8 = 131;
pub(crate) const MLD_DONE: u8 = 132;
pub(crate) const MLD2_REPORT: u8 = 143;

const IGMP_QUERY: u8 = 0x11;
const IGMP_REPORTS: [u8; 3] = [0x12, 0x16, 0x22];
const IGMP_LEAVE: u8 = 0x17;

/// IGMP stays on its link: one hop, to a group.
#[inline(always)]
pub(crate) fn igmp<T: Tables, const AT: usize>(
    node: &Node<'_, T>,
    datagram: &Datagram<AT>,
    igmp_type: u8,
) -> Reason {
    if let Break(reason) = stays_on_link(datagram) {
        return reason;
    }
    match igmp_type {
        _ if node.sender != Sender::Workload => Reason::GroupMembership,
        IGMP_QUERY => Reason::RogueControl,
        IGMP_LEAVE => speaks_for_itself(node, datagram),
        kind if IGMP_REPORTS.contains(&kind) => speaks_for_itself(node, datagram),
        _ => Reason::RogueControl, // of routers among themselves
    }
}

/// MLD comes from a link-local address, or from none while there is none yet (RFC 3590), with a router alert; without one
/// it must be ignored (RFC 3810 §6.2).
#[inline(always)]
pub(crate) fn mld<T: Tables, const AT: usize>(
    node: &Node<'_, T>,
    datagram: &Datagram<AT>,
    icmp_type: u8,
) -> Reason {
    if let Break(reason) = stays_on_link(datagram) {
        return reason;
    }
    let asks = icmp_type == MLD_QUERY;
    let nameless = datagram.source.is_unspecified() && !asks;
    if datagram.router_alert == RouterAlert::Absent || !(datagram.source.is_link_local_v6() || nameless) {
        return Reason::Malformed;
    }
    if asks && node.sender == Sender::Workload { Reason::RogueControl } else { Reason::GroupMembership }
}

#[inline(always)]
fn stays_on_link<const AT: usize>(datagram: &Datagram<AT>) -> ControlFlow<Reason> {
    if datagram.part != Part::Whole {
        return Break(Reason::FragmentedControl);
    }
    if datagram.hop_limit != 1 || !datagram.destination.is_multicast() {
        return Break(Reason::Malformed);
    }
    Continue(())
}

#[inline(always)]
fn speaks_for_itself<T: Tables, const AT: usize>(node: &Node<'_, T>, datagram: &Datagram<AT>) -> Reason {
    let nameless = datagram.source.is_unspecified();
    if nameless || node.may_speak_for(datagram.source) { Reason::GroupMembership } else { Reason::Spoofed }
}
