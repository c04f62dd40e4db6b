//! What was seen of a port. Looking is someone else's task; here is what there is to see.

mod devlink;
mod flavour;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::{Bytes, Queues};

pub use devlink::{Devlink, Encap, Eswitch, EswitchMode, InlineMode, Versions};
pub use flavour::Flavour;

/// What was seen of a port. `None`: nobody looked, or the driver does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Port {
    /// What the driver calls itself (`ethtool -i`).
    pub driver: String,
    /// The device's numbers on the PCI bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci: Option<PciId>,
    /// The firmware's version string (`ethtool -i`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// What the kernel calls the port of the device: `p0`, `pf0vf1` (net/devlink/port.c).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phys_port_name: Option<String>,
    /// What devlink tells of its device, and of what it is on that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devlink: Option<Devlink>,
    /// Its MTU.
    pub mtu: Bytes,
    /// Its peer's MTU, where it is one end of a pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_mtu: Option<Bytes>,
    /// The kind of what it is enslaved to: `bridge`, `bond`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<String>,
    /// What the kernel claims of its XDP (genetlink family `netdev`, Linux 6.3 and later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xdp_features: Option<Vec<Feature>>,
    /// Large receive offload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lro: Option<Switch>,
    /// GRO by the hardware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hw_gro: Option<Switch>,
    /// Whether the hardware takes VLAN tags off what it receives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan_stripping: Option<Switch>,
    /// Whether tc may put filters into the hardware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tc_offload: Option<Switch>,
    /// Its channels (`ethtool -l`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
    /// Its receive queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rx_queues: Option<Queues>,
    /// Its transmit queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_queues: Option<Queues>,
    /// Virtual functions that were made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vfs: Option<u32>,
    /// CPUs that the machine may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
}

impl Port {
    /// A port of which no more is known than what every kernel tells.
    pub fn new(driver: impl Into<String>, mtu: Bytes) -> Self {
        Self {
            driver: driver.into(),
            mtu,
            pci: None,
            firmware: None,
            phys_port_name: None,
            devlink: None,
            peer_mtu: None,
            upper: None,
            xdp_features: None,
            lro: None,
            hw_gro: None,
            vlan_stripping: None,
            tc_offload: None,
            channels: None,
            rx_queues: None,
            tx_queues: None,
            vfs: None,
            cpus: None,
        }
    }

    /// What it is a port of, by devlink's word, or else by what its name says.
    pub fn flavour(&self) -> Flavour {
        let told = self.devlink.as_ref().and_then(|devlink| devlink.flavour);
        told.unwrap_or_else(|| Flavour::of(self.phys_port_name.as_deref().unwrap_or_default()))
    }

    /// The version of the firmware by ethtool's word, or else the versions that run by devlink's, with a space between each two.
    /// Where a driver tells ethtool none, the kernel does the same (`__devlink_compat_running_version`).
    pub fn firmware(&self) -> Option<Cow<'_, str>> {
        let running = || {
            let versions = &self.devlink.as_ref()?.versions.running;
            let texts: Vec<&str> = versions.values().map(String::as_str).collect();
            (!texts.is_empty()).then(|| Cow::Owned(texts.join(" ")))
        };
        self.firmware.as_deref().map(Cow::Borrowed).or_else(running)
    }

    /// Whether the device's switch forwards what a bridge would that the port is one of: in switchdev mode, it may.
    pub fn bridged_by_device(&self) -> Option<bool> {
        if self.upper.as_deref() != Some("bridge") {
            return Some(false);
        }
        Some(self.devlink.as_ref()?.eswitch?.mode == EswitchMode::Switchdev)
    }
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// How a device's queues are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Channels {
    /// Channels that only receive.
    pub rx: u32,
    /// Channels that only transmit.
    pub tx: u32,
    /// Channels that do both.
    pub combined: u32,
    /// At most so many that only receive.
    pub max_rx: u32,
    /// At most so many that only transmit.
    pub max_tx: u32,
    /// At most so many that do both.
    pub max_combined: u32,
}

/// An XDP feature as the kernel's `netdev` family names it (include/uapi/linux/netdev.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// Programs run in the driver: pass, drop, abort, transmit.
    Basic,
    /// They may redirect.
    Redirect,
    /// Others may redirect to it.
    NdoXmit,
    /// AF_XDP without copies.
    ZeroCopy,
    /// Programs run in the device.
    HwOffload,
    /// Programs see frames of several buffers.
    RxSg,
    /// Others may redirect such frames to it.
    NdoXmitSg,
}

impl Feature {
    /// Every feature, in the order of its bit.
    pub const ALL: [Self; 7] = [
        Self::Basic,
        Self::Redirect,
        Self::NdoXmit,
        Self::ZeroCopy,
        Self::HwOffload,
        Self::RxSg,
        Self::NdoXmitSg,
    ];

    /// Its name, as the kernel's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Redirect => "redirect",
            Self::NdoXmit => "ndo-xmit",
            Self::ZeroCopy => "zero-copy",
            Self::HwOffload => "hw-offload",
            Self::RxSg => "rx-sg",
            Self::NdoXmitSg => "ndo-xmit-sg",
        }
    }

    /// The features of a bit set of the kernel's; bits nobody knows are left out.
    pub fn of_bits(bits: u64) -> Vec<Self> {
        Self::ALL.into_iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, it)| it).collect()
    }
}

/// Vendor and device on the PCI bus, written `15b3:a2dc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PciId {
    /// Who made it.
    pub vendor: u16,
    /// What it is.
    pub device: u16,
}

/// A text that is no PCI id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no PCI id; write vendor and device in four hexadecimal digits each, as in `15b3:a2dc`")]
pub struct PciIdError {
    /// What was given.
    pub given: String,
}

impl std::str::FromStr for PciId {
    type Err = PciIdError;

    fn from_str(given: &str) -> Result<Self, PciIdError> {
        let half = |text: &str| {
            let four = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            four.then(|| u16::from_str_radix(text, 16).ok()).flatten()
        };
        let halves = given.split_once(':').and_then(|(vendor, device)| Some((half(vendor)?, half(device)?)));
        let (vendor, device) = halves.ok_or_else(|| PciIdError { given: given.to_owned() })?;
        Ok(Self { vendor, device })
    }
}

impl TryFrom<String> for PciId {
    type Error = PciIdError;

    fn try_from(given: String) -> Result<Self, PciIdError> {
        given.parse()
    }
}

impl fmt::Display for PciId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:04x}:{:04x}", self.vendor, self.device))
    }
}

impl From<PciId> for String {
    fn from(id: PciId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pci_id_reads_as_it_is_written_and_nothing_else_reads() {
        let id = PciId { vendor: 0x15b3, device: 0xa2dc };
        assert_eq!("15b3:a2dc".parse(), Ok(id));
        assert_eq!("15B3:A2DC".parse::<PciId>().unwrap().to_string(), "15b3:a2dc");
        for given in ["15b3", "15b3:", "15b3:a2d", "15b3:a2dcc", "+5b3:a2dc", "15b3:a2dc:1", "zzzz:a2dc"] {
            assert_eq!(given.parse::<PciId>(), Err(PciIdError { given: given.to_owned() }));
        }
    }

    #[test]
    fn feature_bits_are_those_of_the_kernels_header() {
        assert_eq!(Feature::of_bits(0b001_0011), [Feature::Basic, Feature::Redirect, Feature::HwOffload]);
        assert_eq!(Feature::of_bits(u64::MAX), Feature::ALL);
        assert_eq!(Feature::of_bits(0), []);
    }
}
