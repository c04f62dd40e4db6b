//! The machine's interfaces over rtnetlink, and when they change.

mod claims;
pub(crate) mod devlink;
pub(crate) mod features;
mod kind;
mod pci;
mod tune;
mod watch;

use std::collections::BTreeMap;

use futures::TryStreamExt;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};
use rtnetlink::Handle;
use selvedge_agent_core::IfIndex;
use selvedge_hw_profiles::units::{Bytes, Queues};
use selvedge_hw_profiles::{Mode, Port};

use claims::Claims;
use devlink::{Depth, Devices};
pub use pci::vfs;
pub(crate) use tune::{Tuned, Tuner};
pub use watch::{ClaimEvents, LinkEvents, watch};

/// An interface as netlink and its driver tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawInterface {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: IfIndex,
    /// What was seen of it that decides what it can do.
    pub seen: Port,
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
    let mut interfaces: Vec<RawInterface> = links.into_iter().filter_map(interface).collect();
    // What the kernel makes up has no features that decide anything; there may be thousands of it.
    for RawInterface { name, seen, .. } in interfaces.iter_mut().filter(|it| it.seen.pci.is_some()) {
        features::look(name, seen).await;
    }
    if let Some(mut devices) = Devices::open().await {
        for RawInterface { index, seen, .. } in &mut interfaces {
            devices.look(*index, Depth::Deciding, seen).await;
        }
    }
    if let Some(mut claims) = Claims::open().await {
        for RawInterface { index, seen, .. } in &mut interfaces {
            seen.xdp_features = claims.of(*index).await;
        }
    }
    Ok(interfaces)
}

/// The other ends of pairs whose ends are both in the network namespace.
pub async fn peers(netlink: &Handle) -> Result<BTreeMap<IfIndex, IfIndex>, MachineError> {
    let links: Vec<LinkMessage> = netlink.link().get().execute().try_collect().await?;
    Ok(links.iter().filter_map(peer).collect())
}

fn peer(link: &LinkMessage) -> Option<(IfIndex, IfIndex)> {
    let elsewhere = link.attributes.iter().any(|it| matches!(it, LinkAttribute::LinkNetNsId(_)));
    let other = link.attributes.iter().find_map(|it| match it {
        LinkAttribute::Link(index) => Some(IfIndex(*index)),
        _ => None,
    });
    other.filter(|_| !elsewhere).map(|other| (IfIndex(link.header.index), other))
}

fn interface(link: LinkMessage) -> Option<RawInterface> {
    let (mut name, mut xdp, mut kind) = (None, Vec::new(), None);
    let mut seen = Port::new("unknown", Bytes(0));
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(found) => name = Some(found),
            LinkAttribute::Mtu(found) => seen.mtu = Bytes(found),
            LinkAttribute::PhysPortName(found) => seen.phys_port_name = Some(found),
            LinkAttribute::NumRxQueues(found) => seen.rx_queues = Some(Queues(found)),
            LinkAttribute::NumTxQueues(found) => seen.tx_queues = Some(Queues(found)),
            LinkAttribute::Xdp(found) => xdp = found.iter().filter_map(program).collect(),
            LinkAttribute::LinkInfo(found) => {
                (kind, seen.upper) = (kind::of(&found), kind::of_upper(&found));
            }
            _ => {}
        }
    }
    let name = name?;
    // The driver's own word; virtual devices without one still have a kind.
    let told = crate::sys::ethtool::driver_info(&name).unwrap_or_default();
    let driver = Some(told.driver).filter(|driver| !driver.is_empty()).or(kind);
    seen.driver = driver.unwrap_or(seen.driver);
    seen.firmware = Some(told.firmware).filter(|firmware| !["", "N/A"].contains(&firmware.as_str()));
    seen.pci = pci::id(&told.bus);
    Some(RawInterface { name, index: IfIndex(link.header.index), seen, xdp })
}

fn program(attribute: &LinkXdp) -> Option<(Mode, u32)> {
    match *attribute {
        LinkXdp::DrvProgId(id) => Some((Mode::Native, id)),
        LinkXdp::SkbProgId(id) => Some((Mode::Generic, id)),
        LinkXdp::HwProgId(id) => Some((Mode::Offload, id)),
        _ => None,
    }
}
