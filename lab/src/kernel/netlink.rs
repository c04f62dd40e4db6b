//! Interfaces, addresses and routes, through rtnetlink.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressFlags};
use netlink_packet_route::link::{InfoBridgePort, InfoData, InfoVeth, LinkAttribute, LinkMessage};
use netlink_packet_route::route::RouteMessage;
use rtnetlink::{
    Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};

use super::namespace::{Namespace, NamespaceError};
use crate::blueprint::{Interface, NextHop, PortIsolation, Route};

/// The index of `lo`, in every namespace.
const LOOPBACK: u32 = 1;

/// Why the kernel's network is not as it was asked to be.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No connection to rtnetlink.
    #[error("connect to rtnetlink: {0}")]
    Connect(#[from] std::io::Error),
    /// The namespace can't be entered.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The kernel refused a request.
    #[error("{request}: {source}")]
    Refused {
        /// What was asked.
        request: String,
        /// What it said.
        source: rtnetlink::Error,
    },
}

trait Asked<T> {
    fn asked(self, request: impl FnOnce() -> String) -> Result<T, NetlinkError>;
}

impl<T> Asked<T> for Result<T, rtnetlink::Error> {
    fn asked(self, request: impl FnOnce() -> String) -> Result<T, NetlinkError> {
        self.map_err(|source| NetlinkError::Refused { request: request(), source })
    }
}

/// An rtnetlink connection of one namespace.
pub struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// Connects inside `namespace`. Must be called within a Tokio runtime, which drives the connection.
    pub fn connect(namespace: &Namespace) -> Result<Self, NetlinkError> {
        let runtime = tokio::runtime::Handle::current();
        // A socket stays in the namespace it was opened in.
        let opened = namespace.run(|| {
            let _guard = runtime.enter();
            rtnetlink::new_connection()
        })?;
        let (connection, handle, _) = opened?;
        runtime.spawn(connection);
        Ok(Self { handle })
    }

    /// Brings the loopback up and gives it `addresses`.
    pub async fn loopback(&self, addresses: &[IpNet]) -> Result<(), NetlinkError> {
        let up = LinkUnspec::new_with_index(LOOPBACK).up().build();
        self.handle.link().set(up).execute().await.asked(|| "bring lo up".to_owned())?;
        self.addresses(LOOPBACK, "lo", addresses).await
    }

    /// Makes a bridge, up.
    pub async fn bridge(&self, bridge: &Interface) -> Result<(), NetlinkError> {
        // Who is behind a port is known, so neither loops nor multicast need watching.
        let message =
            LinkBridge::new(&bridge.name).index(bridge.index).forward_delay(0).mcast_snooping(false);
        self.handle
            .link()
            .add(message.build())
            .execute()
            .await
            .asked(|| format!("create the bridge {}", bridge.name))
    }

    /// Makes a wire, both ends down: `here` in this namespace, `there` in `other`.
    pub async fn wire(
        &self,
        here: &Interface,
        other: &Namespace,
        there: &Interface,
    ) -> Result<(), NetlinkError> {
        let mut peer: LinkMessage = LinkUnspec::new_with_name(&there.name).index(there.index).build();
        peer.attributes.push(LinkAttribute::NetNsFd(other.as_fd().as_raw_fd()));
        let message = LinkMessageBuilder::<LinkVeth>::new(&here.name, &there.name)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .index(here.index);
        let request = || format!("create the wire {} - {} {}", here.name, other.name(), there.name);
        self.handle.link().add(message.build()).execute().await.asked(request)
    }

    /// Gives the interface of an index its name.
    pub async fn name(&self, interface: &Interface) -> Result<(), NetlinkError> {
        let named = LinkUnspec::new_with_index(interface.index).name(interface.name.clone()).build();
        let request = || format!("call interface {} {}", interface.index, interface.name);
        self.handle.link().set(named).execute().await.asked(request)
    }

    /// Brings an interface up.
    pub async fn up(&self, interface: &Interface) -> Result<(), NetlinkError> {
        let up = LinkUnspec::new_with_index(interface.index).up().build();
        self.handle.link().set(up).execute().await.asked(|| format!("bring {} up", interface.name))
    }

    /// Makes an interface a port of a bridge.
    pub async fn bridge_port(
        &self,
        port: &Interface,
        bridge: u32,
        isolation: PortIsolation,
    ) -> Result<(), NetlinkError> {
        let request = || format!("make {} a port of the bridge", port.name);
        let join = LinkUnspec::new_with_index(port.index).controller(bridge).build();
        self.handle.link().set(join).execute().await.asked(request)?;
        let isolated = InfoBridgePort::Isolated(isolation == PortIsolation::Isolated);
        let message = LinkBridgePort::new(port.index).append_info_data(isolated).build();
        self.handle.link().set_port(message).execute().await.asked(request)
    }

    /// Gives an interface its addresses, usable at once.
    pub async fn addresses(&self, index: u32, name: &str, addresses: &[IpNet]) -> Result<(), NetlinkError> {
        for address in addresses {
            let mut request = self.handle.address().add(index, address.addr(), address.prefix_len());
            if address.addr().is_ipv6() {
                request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            }
            request.execute().await.asked(|| format!("give {name} the address {address}"))?;
        }
        Ok(())
    }

    /// Adds a route.
    pub async fn route(&self, route: &Route) -> Result<(), NetlinkError> {
        let request = || format!("add the route to {}", route.destination);
        self.handle.route().add(route_message(route)).execute().await.asked(request)
    }
}

fn route_message(route: &Route) -> RouteMessage {
    let length = route.destination.prefix_len();
    match route.destination.addr() {
        IpAddr::V4(destination) => {
            let builder = RouteMessageBuilder::<std::net::Ipv4Addr>::new();
            let mut builder =
                builder.destination_prefix(destination, length).output_interface(route.interface);
            if let Some(IpAddr::V4(source)) = route.source {
                builder = builder.pref_source(source);
            }
            match route.next_hop {
                NextHop::Direct => builder.scope(netlink_packet_route::route::RouteScope::Link).build(),
                NextHop::Gateway(IpAddr::V4(gateway)) => builder.gateway(gateway).onlink().build(),
                NextHop::Gateway(IpAddr::V6(gateway)) => builder.via(gateway).onlink().build(),
            }
        }
        IpAddr::V6(destination) => {
            let builder = RouteMessageBuilder::<std::net::Ipv6Addr>::new();
            let mut builder =
                builder.destination_prefix(destination, length).output_interface(route.interface);
            if let Some(IpAddr::V6(source)) = route.source {
                builder = builder.pref_source(source);
            }
            match route.next_hop {
                NextHop::Gateway(IpAddr::V6(gateway)) => builder.gateway(gateway).onlink().build(),
                // There is no IPv6 route through an IPv4 router; a blueprint draws none.
                NextHop::Gateway(IpAddr::V4(_)) | NextHop::Direct => builder.build(),
            }
        }
    }
}
