//! The kind of a virtual interface, where its driver has no name for itself, and of what an interface is enslaved to.

use netlink_packet_route::link::LinkInfo;

pub(super) fn of(info: &[LinkInfo]) -> Option<String> {
    info.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    })
}

/// `bridge`, for a port of a bridge.
pub(super) fn of_upper(info: &[LinkInfo]) -> Option<String> {
    info.iter().find_map(|info| match info {
        LinkInfo::PortKind(kind) => Some(kind.to_string()),
        _ => None,
    })
}
