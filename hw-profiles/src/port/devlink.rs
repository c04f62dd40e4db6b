//! What devlink tells of a device (include/uapi/linux/devlink.h). Serial numbers are not among it: recordings are shared.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Flavour;

/// What devlink tells of a device, and of a port on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Devlink {
    /// The device, by bus and name: `pci/0000:03:00.0`.
    pub device: String,
    /// What the port is a port of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavour: Option<Flavour>,
    /// What the device's driver calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Versions of what the device is made of, and of its firmware.
    #[serde(default, skip_serializing_if = "Versions::is_empty")]
    pub versions: Versions,
    /// The switch in the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eswitch: Option<Eswitch>,
}

/// Versions by name (Documentation/networking/devlink/devlink-info.rst): `board.id`, `fw`, `fw.mgmt`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Versions {
    /// Of what can't be changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fixed: BTreeMap<String, String>,
    /// Of what runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub running: BTreeMap<String, String>,
    /// Of what will run after the next reset.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stored: BTreeMap<String, String>,
}

impl Versions {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How the switch in a device is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Eswitch {
    /// Who says what it does.
    pub mode: EswitchMode,
    /// How much of a packet the driver has to copy for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline_mode: Option<InlineMode>,
    /// Whether it encapsulates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encap: Option<Encap>,
}

/// Who says what the switch in a device does (`enum devlink_eswitch_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EswitchMode {
    /// The device, by MAC address and VLAN.
    Legacy,
    /// The kernel, by representors: the switch takes over flows of theirs.
    Switchdev,
    /// The same, and it forwards nothing yet.
    SwitchdevInactive,
}

/// How much of a packet a driver has to copy for the switch (`enum devlink_eswitch_inline_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InlineMode {
    /// Nothing.
    None,
    /// The link's header.
    Link,
    /// And the network's.
    Network,
    /// And the transport's.
    Transport,
}

/// Whether a switch encapsulates (`enum devlink_eswitch_encap_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encap {
    /// It does not.
    None,
    /// It does.
    Basic,
}

impl EswitchMode {
    /// By devlink's number of it.
    pub const fn numbered(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::Legacy),
            1 => Some(Self::Switchdev),
            2 => Some(Self::SwitchdevInactive),
            _ => None,
        }
    }
}

impl fmt::Display for EswitchMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Legacy => "legacy",
            Self::Switchdev => "switchdev",
            Self::SwitchdevInactive => "switchdev-inactive",
        })
    }
}

impl InlineMode {
    /// By devlink's number of it.
    pub const fn numbered(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Link),
            2 => Some(Self::Network),
            3 => Some(Self::Transport),
            _ => None,
        }
    }
}

impl Encap {
    /// By devlink's number of it.
    pub const fn numbered(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Basic),
            _ => None,
        }
    }
}
