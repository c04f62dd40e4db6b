//! Link events: a port appeared, went, or was made again. And events of claims: the kernel says other things of a port's XDP.

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use netlink_packet_core::NetlinkMessage;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};

use super::MachineError;
use super::claims::{self, Notifications};

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
        all_at_once(&mut self.messages).await
    }
}

/// Says when the kernel's claims of the XDP of interfaces changed (`xdp_set_features_flag` in the kernel): a driver may say only
/// later, or after another change of the device, what it can do. Nothing of it shows in link events.
pub struct ClaimEvents(Option<Notifications>);

impl ClaimEvents {
    /// Those of the current network namespace. Where the kernel tells none, there are none, and that is no error. Spawns the
    /// connection's task.
    pub async fn watch() -> Self {
        let notifications = claims::subscribe().await.inspect_err(|error| {
            tracing::debug!(%error, "the kernel will not say when its claims of XDP change");
        });
        Self(notifications.ok())
    }

    /// Waits as [`LinkEvents::changed`] does, and without end where the kernel tells nothing.
    pub async fn changed(&mut self) -> Option<()> {
        match &mut self.0 {
            Some(notifications) => all_at_once(notifications).await,
            None => std::future::pending().await,
        }
    }
}

/// What was told is not read: whoever hears of it looks again.
async fn all_at_once<T>(messages: &mut UnboundedReceiver<T>) -> Option<()> {
    messages.next().await?;
    while messages.try_recv().is_ok() {}
    Some(())
}
