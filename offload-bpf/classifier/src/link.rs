//! Ethernet: the header, and what is passed or dropped by it alone.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::Reason;

use crate::{ends::Sender, packet::Packet};

/// Length of an Ethernet II header, and the offset of what follows it.
pub(crate) const HEADER: usize = 14;

pub(crate) const ETHER_TYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHER_TYPE_ARP: u16 = 0x0806;
pub(crate) const ETHER_TYPE_IPV6: u16 = 0x86dd;

/// IEEE 802.1Q, the customer's tag.
const TAG: u16 = 0x8100;
/// IEEE 802.1ad, the provider's tag.
const PROVIDER_TAG: u16 = 0x88a8;
/// What providers used before 802.1ad.
const OLD_PROVIDER_TAG: u16 = 0x9100;

const SLOW_PROTOCOLS: u16 = 0x8809;
const MAC_CONTROL: u16 = 0x8808;
const EAPOL: u16 = 0x888e;
const LLDP: u16 = 0x88cc;

/// Whether the Ethernet type says that a VLAN tag follows.
#[inline(always)]
pub(crate) fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, TAG | PROVIDER_TAG | OLD_PROVIDER_TAG)
}

/// What is behind the VLAN tags of a frame.
pub(crate) struct Untagged {
    /// Bytes of the tags.
    pub(crate) tags: u32,
    pub(crate) ether_type: u16,
}

impl Untagged {
    /// Reads the tags of a frame of type `outer`, which [`is_tag`]. Two at most; of a workload one, and only to mark
    /// a priority: any other could take its frames into a VLAN that is not its own.
    #[inline(always)]
    pub(crate) fn parse(packet: &impl Packet, outer: u16, sender: Sender) -> ControlFlow<Reason, Self> {
        const BYTES: usize = 4;
        let (vlan, ether_type) = read_tag(packet.need(HEADER)?)?;
        if sender == Sender::Workload && (vlan != PRIORITY_ONLY || outer != TAG || is_tag(ether_type)) {
            return Break(Reason::Vlan);
        }
        if !is_tag(ether_type) {
            return Continue(Self { tags: BYTES as u32, ether_type });
        }
        let (_, ether_type) = read_tag(packet.need(HEADER + BYTES)?)?;
        if is_tag(ether_type) {
            return Break(Reason::Vlan);
        }
        Continue(Self { tags: 2 * BYTES as u32, ether_type })
    }
}

/// VLAN 0: the tag says nothing but a priority (IEEE 802.1Q table 9-2).
const PRIORITY_ONLY: u16 = 0;

/// VLAN and the Ethernet type behind the tag.
#[inline(always)]
fn read_tag([control_high, control_low, high, low]: [u8; 4]) -> ControlFlow<Reason, (u16, u16)> {
    const RESERVED: u16 = 0xfff;
    let vlan = u16::from_be_bytes([control_high, control_low]) & 0xfff;
    if vlan == RESERVED { Break(Reason::Vlan) } else { Continue((vlan, u16::from_be_bytes([high, low]))) }
}

/// An Ethernet II header.
pub(crate) struct Header {
    destination: [u8; 6],
    /// Host byte order; below 0x600 it is a length (IEEE 802.3).
    pub(crate) ether_type: u16,
}

impl Header {
    #[inline(always)]
    pub(crate) fn parse(packet: &impl Packet) -> ControlFlow<Reason, Self> {
        let bytes = packet.need::<HEADER>(0)?;
        let [a, b, c, d, e, f, source, _, _, _, _, _, high, low] = bytes;
        if source & 1 != 0 {
            return Break(Reason::Malformed); // a group address as source
        }
        Continue(Self { destination: [a, b, c, d, e, f], ether_type: u16::from_be_bytes([high, low]) })
    }

    /// Sent to a group of stations, or to all of them.
    #[inline(always)]
    pub(crate) fn to_group(&self) -> bool {
        self.destination[0] & 1 != 0
    }

    /// The verdict on a frame that is neither ARP nor IP; the node may send any. `ether_type` is the frame's own, or that
    /// behind its tags.
    #[inline(always)]
    pub(crate) fn other(&self, ether_type: u16, sender: Sender) -> Reason {
        match (ether_type, sender) {
            (_, Sender::Node) => Reason::LinkControl,
            (LLDP | SLOW_PROTOCOLS | EAPOL | MAC_CONTROL | ..0x600, _) if self.to_bridge_group() => {
                if sender == Sender::Workload { Reason::RogueControl } else { Reason::LinkControl }
            }
            _ => Reason::UnknownEtherType,
        }
    }

    /// `01:80:c2:00:00:00` to `..:0f`, which no bridge forwards (IEEE 802.1Q table 8-1).
    #[inline(always)]
    fn to_bridge_group(&self) -> bool {
        let [a, b, c, d, e, f] = self.destination;
        a == 0x01 && b == 0x80 && c == 0xc2 && d == 0 && e == 0 && f < 0x10
    }
}
