//! What the kernel says of a port's XDP programs, asked through rtnetlink.

use std::collections::BTreeMap;
use std::io;

use futures::TryStreamExt;
use netlink_packet_route::link::{LinkAttribute, LinkXdp};

/// The numbers of a port's programs, by the slot they are in.
pub(crate) type Programs = BTreeMap<&'static str, u32>;

/// The programs on `port`; none, if there is no such port.
pub(crate) fn programs(port: &str) -> io::Result<Programs> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let links: Vec<_> = handle.link().get().execute().try_collect().await.map_err(io::Error::other)?;
        let named = |it: &LinkAttribute| matches!(it, LinkAttribute::IfName(name) if name == port);
        let link = links.iter().find(|link| link.attributes.iter().any(named));
        let xdp =
            link.into_iter().flat_map(|link| &link.attributes).filter_map(|attribute| match attribute {
                LinkAttribute::Xdp(xdp) => Some(xdp),
                _ => None,
            });
        Ok(xdp.flatten().filter_map(slot).collect())
    })
}

fn slot(attribute: &LinkXdp) -> Option<(&'static str, u32)> {
    match *attribute {
        LinkXdp::SkbProgId(id) => Some(("generic", id)),
        LinkXdp::DrvProgId(id) => Some(("native", id)),
        LinkXdp::HwProgId(id) => Some(("offload", id)),
        _ => None,
    }
}
