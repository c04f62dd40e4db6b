//! The machine's interfaces over rtnetlink, and when they change.

mod kind;
mod watch;

use futures::TryStreamExt;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};
use rtnetlink::Handle;
use selvedge_agent_core::IfIndex;
use selvedge_hw_profiles::Mode;

pub use watch::{LinkEvents, watch};

/// An interface as netlink and its driver tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawInterface {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: IfIndex,
    /// What its driver calls itself.
    pub driver: String,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// The numbers of the XDP programs on it, by mode.
    pub xdp: Vec<(Mode, u32)>,
}

/// Netlink failed.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// No socket.
    #[error("can't open a netlink socket: {0}")]
    Socket(#[from] std::io::Error),
    /// No answer, or a bad one.
    #[error("can't list the interfaces: {0}")]
    List(#[from] rtnetlink::Error),
}

/// Every interface of the network namespace.
pub async fn interfaces(netlink: &Handle) -> Result<Vec<RawInterface>, MachineError> {
    let links: Vec<LinkMessage> = netlink.link().get().execute().try_collect().await?;
    Ok(links.into_iter().filter_map(interface).collect())
}

fn interface(link: LinkMessage) -> Option<RawInterface> {
    let (mut name, mut mtu, mut xdp, mut kind) = (None, 0, Vec::new(), None);
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(found) => name = Some(found),
            LinkAttribute::Mtu(found) => mtu = found,
            LinkAttribute::Xdp(found) => xdp = found.iter().filter_map(program).collect(),
            LinkAttribute::LinkInfo(found) => kind = kind::of(&found),
            _ => {}
        }
    }
    let name = name?;
    // The driver's own word; virtual devices without one still have a kind.
    let driver = crate::sys::ethtool::driver(&name).ok().filter(|driver| !driver.is_empty());
    let driver = driver.or(kind).unwrap_or_else(|| "unknown".to_owned());
    Some(RawInterface { name, index: IfIndex(link.header.index), driver, mtu, xdp })
}

fn program(attribute: &LinkXdp) -> Option<(Mode, u32)> {
    match *attribute {
        LinkXdp::DrvProgId(id) => Some((Mode::Native, id)),
        LinkXdp::SkbProgId(id) => Some((Mode::Generic, id)),
        LinkXdp::HwProgId(id) => Some((Mode::Offload, id)),
        _ => None,
    }
}
