//! Neighbour discovery, address configuration and router control: what a fabric needs to live, and what must
//! not come from a workload.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::Reason;

use crate::{
    Node,
    ends::Sender,
    group,
    ip::Ip,
    network::{Datagram, Part},
    packet::Packet,
    tables::Tables,
    transport::{ICMP, ICMPV6, IGMP, Segment, UDP},
};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
const ROUTER_RENUMBERING: u8 = 138;
const CERTIFICATION_PATH_ADVERTISEMENT: u8 = 149;
const MULTICAST_ROUTER_ADVERTISEMENT: u8 = 151;
const MULTICAST_ROUTER_TERMINATION: u8 = 153;

/// Breaks with the verdict on control traffic; continues with everything else.
#[inline(always)]
pub(crate) fn judge<T: Tables, const AT: usize>(
    packet: &impl Packet,
    node: &Node<'_, T>,
    datagram: &Datagram<AT>,
    segment: &Segment,
) -> ControlFlow<Reason> {
    let icmp_type = (segment.service >> 8) as u8;
    match datagram.protocol {
        ICMPV6 if (ROUTER_SOLICITATION..=REDIRECT).contains(&icmp_type) => {
            let (Break(reason) | Continue(reason)) = discovery(packet, node, datagram, segment.service);
            Break(reason)
        }
        ICMPV6
            if matches!(
                icmp_type,
                group::MLD_QUERY | group::MLD_REPORT | group::MLD_DONE | group::MLD2_REPORT
            ) =>
        {
            Break(group::mld(node, datagram, icmp_type))
        }
        ICMPV6 if says_router(icmp_type) && node.sender == Sender::Workload => Break(Reason::RogueControl),
        IGMP => Break(group::igmp(node, datagram, icmp_type)),
        // An IPv4 redirect, or a router's advertisement (RFC 1256).
        ICMP if matches!(icmp_type, 5 | 9) && node.sender == Sender::Workload => Break(Reason::RogueControl),
        UDP => dhcp(node, segment),
        _ => Continue(()),
    }
}

/// What only a router says, besides discovery (RFC 4890 §4.3.3, RFC 3971, RFC 4286).
#[inline(always)]
fn says_router(icmp_type: u8) -> bool {
    matches!(
        icmp_type,
        ROUTER_RENUMBERING
            | CERTIFICATION_PATH_ADVERTISEMENT
            | MULTICAST_ROUTER_ADVERTISEMENT
            | MULTICAST_ROUTER_TERMINATION
    )
}

/// RFC 4861 §6.1, §7.1, §8.1: hop limit, code, length and target; and that a workload speaks for itself only.
#[inline(always)]
fn discovery<T: Tables, const AT: usize>(
    packet: &impl Packet,
    node: &Node<'_, T>,
    datagram: &Datagram<AT>,
    type_and_code: u16,
) -> ControlFlow<Reason, Reason> {
    let [icmp_type, code] = type_and_code.to_be_bytes();
    let least = match icmp_type {
        ROUTER_ADVERTISEMENT => 16,
        NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT => 24,
        REDIRECT => 40,
        _ => 8,
    };
    if datagram.part != Part::Whole {
        return Break(Reason::FragmentedControl); // an atomic fragment too (RFC 6980 §5)
    }
    if datagram.length < least {
        return Break(Reason::Truncated);
    }
    if datagram.hop_limit != 255 || code != 0 {
        return Break(Reason::Malformed);
    }
    let mut target = datagram.source;
    if matches!(icmp_type, NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT) {
        target = Ip::from_halves(packet.need_u64(AT + 8)?, packet.need_u64(AT + 16)?);
        if target.is_multicast() {
            return Break(Reason::Malformed);
        }
    }
    if node.sender != Sender::Workload {
        return Break(Reason::NeighbourDiscovery);
    }
    if matches!(icmp_type, ROUTER_ADVERTISEMENT | REDIRECT) {
        return Break(Reason::RogueControl);
    }
    let advertises = icmp_type == NEIGHBOUR_ADVERTISEMENT;
    let source = datagram.source;
    let nameless = source.is_unspecified() && !advertises; // duplicate address detection (RFC 4862 §5.4)
    let truthful_source = nameless || source.is_link_local_v6() || node.may_speak_for(source);
    let truthful_target = !advertises || target.is_link_local_v6() || node.may_speak_for(target);
    if truthful_source && truthful_target {
        Continue(Reason::NeighbourDiscovery)
    } else {
        Break(Reason::Spoofed)
    }
}

/// Clients ask from workload ports, by broadcast or multicast; servers answer from the fabric; the node may be either. A client that
/// renews by unicast needs a rule, or falls back to broadcast (RFC 2131 §4.4.5).
#[inline(always)]
fn dhcp<T: Tables>(node: &Node<'_, T>, segment: &Segment) -> ControlFlow<Reason> {
    let tuple = &segment.tuple;
    match (tuple.source_port, tuple.destination_port, tuple.source.is_v4(), node.sender) {
        (67, 68, true, Sender::Workload) | (547, 546, false, Sender::Workload) => Break(Reason::RogueControl),
        (67, 68, true, _) | (547, 546, false, _) => Break(Reason::Dhcp),
        (68, 67, true, Sender::Node) | (546, 547, false, Sender::Node) => Break(Reason::Dhcp),
        (68, 67, true, Sender::Workload) if tuple.destination == Ip::BROADCAST => {
            let nameless = tuple.source == Ip::UNSPECIFIED_V4;
            Break(if nameless || node.may_speak_for(tuple.source) { Reason::Dhcp } else { Reason::Spoofed })
        }
        (546, 547, false, Sender::Workload) if tuple.destination == Ip::DHCPV6_SERVERS => {
            Break(if tuple.source.is_link_local_v6() { Reason::Dhcp } else { Reason::Spoofed })
        }
        _ => Continue(()),
    }
}
