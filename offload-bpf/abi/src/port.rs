//! Ports: where an interface's entry is, without a hash.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Ports of one node.
pub const MAX_PORTS: u32 = 1 << 10;
/// Places in [`map::PORTS`](crate::map::PORTS). Interface indexes are given out one after the other, so most ports of a
/// node are at home, at their index modulo this.
pub const PORT_PLACES: u32 = 2 * MAX_PORTS;
/// Places, one after the other, that a port may be at, of which the first is its home.
pub const PORT_PROBES: u32 = 8;

/// What a port faces.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRole {
    /// Faces the fabric.
    Uplink = 1,
    /// Faces one or more workloads.
    Workload = 2,
    /// Switch to anything.
    Fabric = 3,
}

/// What is known of a port. A packet on a port without an entry is dropped.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PortEntry {
    /// A [`PortRole`], as `u32`.
    pub role: u32,
}

/// Element of [`map::PORTS`](crate::map::PORTS).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PortPlace {
    /// The interface index; 0 where the place is vacant.
    pub ifindex: u32,
    /// [`PortEntry::role`].
    pub role: u32,
}

impl PortPlace {
    /// The entry, if the place is that interface's.
    #[inline(always)]
    pub fn of(self, ifindex: u32) -> Option<PortEntry> {
        (self.ifindex == ifindex && ifindex != 0).then_some(PortEntry { role: self.role })
    }
}

/// The index of the place that is tried as number `probe`, below [`PORT_PROBES`], for an interface. Number 0 is its home.
#[inline(always)]
pub fn port_place(ifindex: u32, probe: u32) -> u32 {
    ifindex.wrapping_add(probe) % PORT_PLACES
}
