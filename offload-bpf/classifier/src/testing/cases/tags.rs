//! VLAN tags in the frame.

use std::{vec, vec::Vec};

use selvedge_abi::{
    CONNECTION_FROM_HIGH,
    PortRole::{Fabric, Uplink, Workload},
    Reason,
};

use super::{Case, policy::opened, section};
use crate::testing::{
    frame::*,
    world::{key, rule::*},
};

const C_TAG: u16 = 0x8100;
const S_TAG: u16 = 0x88a8;
const OLD_S_TAG: u16 = 0x9100;
/// Priority 5, VLAN 0.
const PRIORITY: u16 = 5 << 13;

pub(super) fn cases() -> Vec<Case> {
    let out = |tags: &[(u16, u16)]| tagged(packet("10.0.0.1", "10.0.0.9", tcp(40000, 80, SYN)), tags);
    let back = |tags: &[(u16, u16)]| tagged(packet("10.0.0.9", "10.0.0.1", tcp(40000, 80, SYN)), tags);
    let goes_out = |name, frame| {
        Case::on(Workload, name, frame, Reason::PolicyAllow).by(&[WEB_EGRESS + HTTP]).effect(opened(
            key(("10.0.0.1", 40000), ("10.0.0.9", 80), 6),
            0,
            WEB_EGRESS + HTTP,
        ))
    };
    let comes_in = |name, frame| {
        let connection = key(("10.0.0.1", 80), ("10.0.0.9", 40000), 6);
        Case::on(Uplink, name, frame, Reason::PolicyAllow).by(&[WEB_INGRESS + HTTP]).effect(opened(
            connection,
            CONNECTION_FROM_HIGH,
            WEB_INGRESS + HTTP,
        ))
    };
    let hops = |name, tags: &[(u16, u16)]| Case::on(Workload, name, out(tags), Reason::Vlan);
    section::TAGS.of(vec![
        goes_out("a priority tag of a workload changes nothing", out(&[(C_TAG, PRIORITY)])),
        hops("a workload can't send into a VLAN", &[(C_TAG, 100)]),
        hops("a workload can't hop VLANs by a second tag", &[(C_TAG, PRIORITY), (C_TAG, 100)]),
        hops("a workload can't send a provider's tag", &[(S_TAG, 0)]),
        comes_in("a VLAN from the fabric is judged by the packet in it", back(&[(C_TAG, 100)])),
        comes_in("two tags are read through", back(&[(S_TAG, 7), (C_TAG, 100)])),
        comes_in("two tags of the old kind are read through", back(&[(OLD_S_TAG, 7), (OLD_S_TAG, 100)])),
        Case::on(
            Uplink,
            "a denied packet in a VLAN is denied",
            tagged(packet("fd00::9", "fd00::1", tcp(40000, 81, SYN)), &[(C_TAG, 100)]),
            Reason::PolicyDeny,
        )
        .by(&[WEB_INGRESS + DEFAULT]),
        Case::on(
            Uplink,
            "a spoofed source in a VLAN is spoofed",
            tagged(packet("10.0.0.1", "10.0.0.2", udp(1, 53)), &[(C_TAG, 100)]),
            Reason::Spoofed,
        ),
        Case::on(
            Uplink,
            "three tags are one too many",
            back(&[(S_TAG, 7), (C_TAG, 8), (C_TAG, 9)]),
            Reason::Vlan,
        ),
        Case::on(Uplink, "VLAN 4095 is reserved", back(&[(C_TAG, 0xfff)]), Reason::Vlan),
        Case::on(
            Uplink,
            "a frame that ends in its tag is truncated",
            cut(back(&[(C_TAG, 100)]), 16),
            Reason::Truncated,
        ),
        Case::on(
            Uplink,
            "a packet that ends behind its tag is truncated",
            cut(back(&[(C_TAG, 100)]), 37),
            Reason::Truncated,
        ),
        Case::on(
            Workload,
            "ARP behind a priority tag is ARP",
            tagged(arp(1, "10.0.0.1", "10.0.0.9"), &[(C_TAG, PRIORITY)]),
            Reason::Arp,
        ),
        Case::on(
            Workload,
            "ARP behind a priority tag can't lie",
            tagged(arp(2, "10.0.0.2", "10.0.0.9"), &[(C_TAG, PRIORITY)]),
            Reason::Spoofed,
        ),
        Case::on(
            Fabric,
            "link control behind a tag is link control",
            tagged(to([0x01, 0x80, 0xc2, 0, 0, 0x0e], 0x88cc, &[0; 46]), &[(C_TAG, PRIORITY)]),
            Reason::LinkControl,
        ),
        Case::on(
            Uplink,
            "an unknown Ethernet type behind a tag is not carried",
            tagged(ethernet(0x9999, &[0; 46]), &[(C_TAG, 100)]),
            Reason::UnknownEtherType,
        ),
    ])
}
