//! Link events: a port appeared, went, or was made again.

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use netlink_packet_core::NetlinkMessage;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};

use super::MachineError;

/// Says when interfaces changed.
pub struct LinkEvents {
    messages: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
}

/// A handle to ask by, and the events of the current network namespace. Spawns the connection's task.
pub fn watch() -> Result<(Handle, LinkEvents), MachineError> {
    let (connection, handle, messages) = new_multicast_connection(&[MulticastGroup::Link])?;
    tokio::spawn(connection);
    Ok((handle, LinkEvents { messages }))
}

impl LinkEvents {
    /// Waits until something changed, and takes all that is known by then as one event. `None` when netlink is gone.
    pub async fn changed(&mut self) -> Option<()> {
        self.messages.next().await?;
        while self.messages.try_recv().is_ok() {}
        Some(())
    }
}
