//! What devlink tells of devices and of the ports on them: the generic netlink family `devlink` (include/uapi/linux/devlink.h).

mod message;

use std::collections::BTreeMap;

use futures::StreamExt;
use genetlink::GenetlinkHandle;
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_generic::GenlMessage;
use selvedge_agent_core::IfIndex;
use selvedge_hw_profiles::Port;
use selvedge_hw_profiles::port::{Devlink, Eswitch};
use tokio::task::JoinHandle;

use message::{Command, DevicePort, Handle, Information, Message};

/// Asks devlink of interfaces of the current network namespace. Each device is asked once.
pub(crate) struct Devices {
    handle: GenetlinkHandle,
    connection: JoinHandle<()>,
    ports: BTreeMap<IfIndex, DevicePort>,
    eswitches: BTreeMap<Handle, Option<Eswitch>>,
    information: BTreeMap<Handle, Information>,
}

/// How much is asked of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What decides anything: versions only where ethtool has none of the firmware, because some devices take long to tell them.
    Deciding,
    /// All.
    All,
}

impl Devices {
    /// `None` where the kernel has no such family. It tells nothing then, and that is no error.
    pub(crate) async fn open() -> Option<Self> {
        let (connection, handle, _) = genetlink::new_connection().ok()?;
        let connection = tokio::spawn(connection);
        let (ports, eswitches, information) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut devices = Self { handle, connection, ports, eswitches, information };
        let answers = devices.ask(Message::all(Command::Port), NLM_F_REQUEST | NLM_F_DUMP).await;
        let answers = answers.inspect_err(|error| tracing::debug!(%error, "devlink tells of no ports"));
        devices.ports = answers.ok()?.iter().filter_map(Message::port).collect();
        Some(devices)
    }

    /// Writes down what can be had of the interface `index`. What has no devlink, and what it has no answer to, stays unknown.
    pub(crate) async fn look(&mut self, index: IfIndex, depth: Depth, port: &mut Port) {
        let Some(DevicePort { device, flavour }) = self.ports.get(&index).cloned() else { return };
        let eswitch = self.eswitch(&device).await;
        let Information { driver, versions } = match depth {
            Depth::Deciding if port.firmware.is_some() => Information::default(),
            Depth::Deciding | Depth::All => self.information(&device).await,
        };
        port.devlink = Some(Devlink { device: device.to_string(), flavour, driver, versions, eswitch });
    }

    async fn eswitch(&mut self, device: &Handle) -> Option<Eswitch> {
        if let Some(known) = self.eswitches.get(device) {
            return *known;
        }
        let answer = self.one(device, Command::Eswitch).await;
        let eswitch = answer.and_then(|answer| answer.eswitch());
        self.eswitches.insert(device.clone(), eswitch);
        eswitch
    }

    async fn information(&mut self, device: &Handle) -> Information {
        if let Some(known) = self.information.get(device) {
            return known.clone();
        }
        let answer = self.one(device, Command::Info).await;
        let information = answer.map(|answer| answer.information()).unwrap_or_default();
        self.information.insert(device.clone(), information.clone());
        information
    }

    /// The device's answer, if it has one.
    async fn one(&mut self, device: &Handle, command: Command) -> Option<Message> {
        let answers = self.ask(Message::of(command, device), NLM_F_REQUEST).await.inspect_err(|error| {
            tracing::debug!(%device, ?command, %error, "devlink has no answer");
        });
        answers.ok()?.pop()
    }

    async fn ask(
        &mut self,
        request: Message,
        flags: u16,
    ) -> Result<Vec<Message>, Box<dyn std::error::Error>> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        let request = NetlinkMessage::new(header, GenlMessage::from_payload(request).into());
        let mut answers = Box::pin(self.handle.request(request).await?);
        let mut messages = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer?.payload {
                NetlinkPayload::InnerMessage(message) => messages.push(message.payload),
                NetlinkPayload::Error(error) => return Err(error.to_io().into()),
                _ => {}
            }
        }
        Ok(messages)
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
