//! Group membership.

use std::{vec, vec::Vec};

use selvedge_abi::{
    PortRole::{Uplink, Workload},
    Reason,
};

use super::{Case, section};
use crate::testing::{frame::*, world::before_any_generation};

/// Hop-by-hop header with a router alert for MLD, without its first byte.
const ALERT: (u8, &[u8]) = (0, &[0, 5, 2, 0, 0, 1, 0]);

fn one_hop_v4(source: &str, igmp_type: u8) -> Vec<u8> {
    let report = packet(source, "224.0.0.22", igmp(igmp_type, "239.1.2.3"));
    with_options(patched(report, IP + 8, &[1]), &[0x94, 4, 0, 0])
}

fn one_hop_v6(source: &str, icmp_type: u8) -> Vec<u8> {
    patched(packet(source, "ff02::16", icmp(icmp_type, 0, &[0; 20])), IP + 7, &[1])
}

pub(super) fn cases() -> Vec<Case> {
    let mld = |source, icmp_type| with_extensions(one_hop_v6(source, icmp_type), &[ALERT]);
    let passes = |role, name, frame| Case::on(role, name, frame, Reason::GroupMembership);
    let drop = |name, frame, reason| Case::on(Workload, name, frame, reason);
    let atomic = fragment_header(Cut { id: 9, start: 0, last: true });
    let bare = patched(packet("10.0.0.1", "224.0.0.22", igmp(0x16, "239.1.2.3")), IP + 8, &[1]);
    section::GROUPS.of(vec![
        passes(Workload, "a workload may report its groups by MLD", mld("fe80::5", 143)),
        passes(Workload, "a workload without an address may report its groups", mld("::", 143)),
        passes(Workload, "a workload may leave a group by MLD", mld("fe80::5", 132)),
        passes(Uplink, "an MLD query from the fabric passes", mld("fe80::1", 130)),
        drop("an MLD query of a workload is rogue", mld("fe80::5", 130), Reason::RogueControl),
        drop("MLD from a global address is malformed", mld("fd00::1", 143), Reason::Malformed),
        drop("MLD without a router alert is malformed", one_hop_v6("fe80::5", 143), Reason::Malformed),
        drop(
            "MLD that crossed a router is malformed",
            patched(mld("fe80::5", 143), IP + 7, &[2]),
            Reason::Malformed,
        ),
        drop(
            "MLD in fragments is dropped",
            with_extensions(one_hop_v6("fe80::5", 143), &[ALERT, (44, &atomic)]),
            Reason::FragmentedControl,
        ),
        Case::at(
            before_any_generation(Workload),
            "MLD passes before any generation",
            mld("fe80::5", 143),
            Reason::GroupMembership,
        ),
        passes(Workload, "a workload may report its groups by IGMP", one_hop_v4("10.0.0.1", 0x22)),
        passes(Workload, "IGMP without a router alert passes", bare.clone()),
        passes(Workload, "a workload may leave a group by IGMP", one_hop_v4("10.0.0.1", 0x17)),
        passes(Uplink, "an IGMP query from the fabric passes", one_hop_v4("10.0.0.254", 0x11)),
        drop("an IGMP query of a workload is rogue", one_hop_v4("10.0.0.1", 0x11), Reason::RogueControl),
        drop("routing by IGMP of a workload is rogue", one_hop_v4("10.0.0.1", 0x13), Reason::RogueControl),
        drop("IGMP as another is spoofed", one_hop_v4("10.0.0.2", 0x22), Reason::Spoofed),
        drop(
            "IGMP to a station is malformed",
            patched(packet("10.0.0.1", "10.0.0.9", igmp(0x16, "239.1.2.3")), IP + 8, &[1]),
            Reason::Malformed,
        ),
        drop(
            "IGMP that the packet cuts off is truncated",
            patched(bare.clone(), IP + 2, &[0, 27]),
            Reason::Truncated,
        ),
        drop("IGMP in fragments is dropped", patched(bare, IP + 6, &[0x20, 0]), Reason::FragmentedControl),
    ])
}
