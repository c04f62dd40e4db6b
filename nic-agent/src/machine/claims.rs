//! What the kernel claims of XDP: the generic netlink family `netdev` (include/uapi/linux/netdev.h), Linux 6.3 and later.

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use genetlink::{GenetlinkError, GenetlinkHandle, message::RawGenlMessage};
use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NlasIterator, ParseableParametrized, parse_u32, parse_u64,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_sys::{AsyncSocket, SocketAddr};
use selvedge_agent_core::IfIndex;
use selvedge_hw_profiles::port::Feature;
use tokio::task::JoinHandle;

const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
/// The multicast group that is told of devices that come, go and change (Documentation/netlink/specs/netdev.yaml).
const GROUP: &str = "mgmt";

/// Asks the kernel what it claims of interfaces of the current network namespace.
pub(super) struct Claims {
    handle: GenetlinkHandle,
    connection: JoinHandle<()>,
}

impl Claims {
    /// `None` where the kernel has no such family. It makes no claims then, and that is no error.
    pub(super) async fn open() -> Option<Self> {
        let (connection, handle, _) = genetlink::new_connection().ok()?;
        let claims = Self { handle, connection: tokio::spawn(connection) };
        claims.handle.resolve_family::<DeviceMessage>().await.ok()?;
        Some(claims)
    }

    /// What is claimed of the interface `index`.
    pub(super) async fn of(&mut self, index: IfIndex) -> Option<Vec<Feature>> {
        let features = self.ask(index).await.inspect_err(|error| {
            tracing::debug!(%index, %error, "the kernel makes no claims of its XDP");
        });
        features.ok().flatten().map(Feature::of_bits)
    }

    /// Asks for one interface: the kernel's answer to a request for all is not marked as one of several messages (6.18), so
    /// that a reader stops after the first.
    async fn ask(&mut self, index: IfIndex) -> Result<Option<u64>, Box<dyn std::error::Error>> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        let request = DeviceMessage { index: index.0, features: None };
        let request = NetlinkMessage::new(header, GenlMessage::from_payload(request).into());
        let mut claimed = None;
        let mut answers = Box::pin(self.handle.request(request).await?);
        while let Some(answer) = answers.next().await {
            match answer?.payload {
                NetlinkPayload::InnerMessage(message) => claimed = message.payload.features,
                NetlinkPayload::Error(error) => return Err(error.to_io().into()),
                _ => {}
            }
        }
        Ok(claimed)
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// What the kernel tells unasked: other claims, one message each.
pub(super) type Notifications = UnboundedReceiver<(NetlinkMessage<RawGenlMessage>, SocketAddr)>;

/// Subscribes to what is told in the current network namespace. Spawns the connection's task.
pub(super) async fn subscribe() -> Result<Notifications, SubscribeError> {
    let (connection, resolver, _) = genetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let family = resolver.resolve_family::<DeviceMessage>().await;
    connection.abort();
    let group = *family?.multicast_groups.get(GROUP).ok_or(SubscribeError::NoGroup { group: GROUP })?;
    let (mut connection, _, notifications) = genetlink::new_connection()?;
    let socket = connection.socket_mut().socket_mut();
    // The kernel takes a socket without an address for its own, and tells it nothing (do_one_broadcast).
    socket.bind_auto()?;
    socket.add_membership(group)?;
    tokio::spawn(connection);
    Ok(notifications)
}

/// Why nothing will be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum SubscribeError {
    #[error("no generic netlink socket: {0}")]
    Socket(#[from] std::io::Error),
    #[error("no generic netlink family `netdev` (Linux 6.3 and later have it): {0}")]
    NoFamily(#[from] GenetlinkError),
    #[error("the generic netlink family `netdev` has no multicast group `{group}`")]
    NoGroup { group: &'static str },
}

/// A `dev-get` and its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct DeviceMessage {
    index: u32,
    features: Option<u64>,
}

impl GenlFamily for DeviceMessage {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        NETDEV_CMD_DEV_GET
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for DeviceMessage {
    fn buffer_len(&self) -> usize {
        self.attribute().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attribute().emit(buffer);
    }
}

impl DeviceMessage {
    /// What a request says.
    fn attribute(&self) -> DefaultNla {
        DefaultNla::new(NETDEV_A_DEV_IFINDEX, self.index.to_ne_bytes().to_vec())
    }
}

impl ParseableParametrized<[u8], GenlHeader> for DeviceMessage {
    fn parse_with_param(bytes: &[u8], _header: GenlHeader) -> Result<Self, DecodeError> {
        let mut message = Self::default();
        for attribute in NlasIterator::new(bytes) {
            let attribute = attribute?;
            match attribute.kind() {
                NETDEV_A_DEV_IFINDEX => message.index = parse_u32(attribute.value())?,
                NETDEV_A_DEV_XDP_FEATURES => message.features = Some(parse_u64(attribute.value())?),
                _ => {}
            }
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn an_answer_is_read_whatever_else_is_in_it() {
        let header = GenlHeader { cmd: NETDEV_CMD_DEV_GET, version: 1 };
        let parse = |bytes: &[u8]| DeviceMessage::parse_with_param(bytes, header);
        let index = attribute(NETDEV_A_DEV_IFINDEX, &7_u32.to_ne_bytes());
        let features = attribute(NETDEV_A_DEV_XDP_FEATURES, &35_u64.to_ne_bytes());
        let other = attribute(9, &[1, 2, 3]);
        let whole = [other, features, index.clone()].concat();
        assert_eq!(parse(&whole).unwrap(), DeviceMessage { index: 7, features: Some(35) });
        assert_eq!(parse(&index).unwrap().features, None);
        assert!(parse(&attribute(NETDEV_A_DEV_XDP_FEATURES, &[1])).is_err());
        assert!(parse(&[255, 255, 1, 0]).is_err());
    }

    #[test]
    fn a_request_names_its_interface() {
        let request = DeviceMessage { index: 7, features: None };
        let mut bytes = vec![0; request.buffer_len()];
        request.emit(&mut bytes);
        assert_eq!(bytes, attribute(NETDEV_A_DEV_IFINDEX, &7_u32.to_ne_bytes()));
    }
}
