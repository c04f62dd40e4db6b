//! Ethernet: the header, and what is passed or dropped by it alone.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::{PortRole, Reason};

use crate::packet::Packet;

/// Length of an Ethernet II header, and the offset of what follows it.
pub(crate) const HEADER: usize = 14;

pub(crate) const ETHER_TYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHER_TYPE_ARP: u16 = 0x0806;
pub(crate) const ETHER_TYPE_IPV6: u16 = 0x86dd;

const SLOW_PROTOCOLS: u16 = 0x8809;
const MAC_CONTROL: u16 = 0x8808;
const EAPOL: u16 = 0x888e;
const LLDP: u16 = 0x88cc;

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

    /// The verdict on a frame that is neither ARP nor IP.
    #[inline(always)]
    pub(crate) fn other(&self, role: PortRole) -> Reason {
        match self.ether_type {
            0x8100 | 0x88a8 | 0x9100 => Reason::Vlan,
            LLDP | SLOW_PROTOCOLS | EAPOL | MAC_CONTROL | ..0x600 if self.to_bridge_group() => match role {
                PortRole::Workload => Reason::RogueControl,
                PortRole::Uplink | PortRole::Fabric => Reason::LinkControl,
            },
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
