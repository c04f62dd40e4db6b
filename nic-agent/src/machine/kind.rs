//! The kind of a virtual interface, where its driver has no name for itself.

use netlink_packet_route::link::LinkInfo;

pub(super) fn of(info: &[LinkInfo]) -> Option<String> {
    info.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    })
}
