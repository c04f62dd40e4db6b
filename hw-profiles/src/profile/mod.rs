//! A profile: what is known of one family of devices, and where it is from.

mod constraint;
mod netdev;
mod offload;
mod pattern;
mod raw;
mod source;

pub use constraint::{Check, Constraint, Frames, Mend, MendError, Need, Otherwise};
pub use netdev::{Netdev, Role, Support, When};
pub use offload::{Cited, Exchange, Limit, MapType, OffloadLimits, Verdict};
pub use pattern::Pattern;
pub use source::{Source, SourceError};

pub use raw::Flaw;
pub(crate) use raw::Raw;

use serde::{Deserialize, Serialize};

use crate::mode::Mode;
use crate::port::{PciId, Port};

/// What is known of one family of devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Profile {
    /// Its name, the same as its file's.
    #[serde(rename = "profile")]
    pub name: String,
    /// What people call the devices.
    pub title: String,
    /// What kind of thing they are.
    pub kind: DeviceKind,
    /// The kernel in whose source the figures were read.
    pub kernel: String,
    /// Which devices it is for.
    #[serde(rename = "match")]
    pub matching: Matching,
    /// The interfaces that such a device has: the first one that fits a port is what the port is.
    pub netdevs: Vec<Netdev>,
    /// What setting a program does to traffic, where programs run in the driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_set: Option<OnSet>,
    /// What modes need of a port.
    pub constraints: Vec<Constraint>,
    /// What the device takes of programs that run in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offload: Option<OffloadLimits>,
    /// Ways past a program.
    pub bypasses: Vec<Bypass>,
    /// What is not known, in words.
    pub unknown: Vec<String>,
}

/// What kind of thing a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// A network card.
    Nic,
    /// A card with processors of its own, on which an agent can run.
    Dpu,
    /// A switch: what its ASIC forwards, no processor sees.
    Switch,
    /// A card that a hypervisor or the kernel pretends.
    Virtual,
    /// A device of the kernel's stack above other devices.
    Stack,
}

impl DeviceKind {
    /// Its name, as in profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nic => "nic",
            Self::Dpu => "dpu",
            Self::Switch => "switch",
            Self::Virtual => "virtual",
            Self::Stack => "stack",
        }
    }
}

/// Which devices a profile is for: those that fit every field that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Matching {
    /// What their drivers call themselves (`ethtool -i`).
    pub drivers: Vec<String>,
    /// Their numbers on the PCI bus; any where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pci: Vec<PciId>,
    /// Numbers that such devices are known to have, to find the profile by one. Others are matched by their driver alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<PciId>,
    /// Their firmware; any where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Pattern>,
}

/// By how much a profile matched; more is more particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// The driver.
    Driver,
    /// Driver and PCI id.
    Pci,
    /// Driver and firmware.
    Firmware,
    /// Driver, PCI id and firmware.
    PciAndFirmware,
}

impl Evidence {
    /// It in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Pci => "driver and PCI id",
            Self::Firmware => "driver and firmware",
            Self::PciAndFirmware => "driver, PCI id and firmware",
        }
    }
}

impl Matching {
    /// Whether `port` is of such a device, and by what.
    pub fn of(&self, port: &Port) -> Option<Evidence> {
        let pci = self.pci.is_empty() || port.pci.is_some_and(|id| self.pci.contains(&id));
        let fits = |pattern: &Pattern| port.firmware().is_some_and(|it| pattern.matches(&it));
        let firmware = self.firmware.as_ref().is_none_or(fits);
        (self.drivers.contains(&port.driver) && pci && firmware).then(|| self.evidence())
    }

    /// How particular it is.
    pub fn evidence(&self) -> Evidence {
        match (self.pci.is_empty(), self.firmware.is_none()) {
            (true, true) => Evidence::Driver,
            (false, true) => Evidence::Pci,
            (true, false) => Evidence::Firmware,
            (false, false) => Evidence::PciAndFirmware,
        }
    }
}

/// What setting a program does to traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OnSet {
    /// When the first comes or the last goes.
    pub first: Interruption,
    /// When one takes the place of another.
    pub exchange: Interruption,
    /// Where this is from.
    pub source: Source,
}

/// What becomes of traffic for a moment; the worse, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interruption {
    /// Nothing.
    None,
    /// Queues stop and start; packets are lost, the link stays.
    Queues,
    /// The interface is closed and opened: the link may go down.
    Link,
}

impl Interruption {
    /// Its name, as in profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Queues => "queues",
            Self::Link => "link",
        }
    }
}

/// A way of packets past a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bypass {
    /// Which packets, in words.
    pub risk: String,
    /// The interfaces at which it is; all where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// What shows that it is so.
    pub told_by: Tell,
    /// The command that shuts it, where there is one; `{port}` stands for the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<Mend>,
    /// Where this is from.
    pub source: Source,
}

/// What shows that packets go past a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tell {
    /// It is always so: that is what the device is for.
    Always,
    /// tc may put filters into the hardware.
    TcOffload,
    /// There are virtual functions.
    Vfs,
    /// The port is one of a bridge, and the device's switch in switchdev mode.
    SwitchdevBridge,
    /// Nothing that can be seen of the port.
    Nothing,
}

impl Profile {
    /// What `port` is of such a device.
    pub fn netdev(&self, port: &Port) -> Option<&Netdev> {
        self.netdevs.iter().find(|netdev| netdev.when.fits(port))
    }

    /// The best mode that some port of it has; generic is there for every interface.
    pub fn best(&self) -> Mode {
        self.netdevs.iter().map(Netdev::best).max().unwrap_or(Mode::Generic)
    }

    /// Every source that it cites.
    pub fn sources(&self) -> Vec<&Source> {
        let modes = self.netdevs.iter().flat_map(|netdev| [netdev.offload.source(), netdev.native.source()]);
        let rest =
            self.constraints.iter().map(|it| &it.source).chain(self.bypasses.iter().map(|it| &it.source));
        modes.chain(self.on_set.iter().map(|it| &it.source)).chain(rest).collect()
    }
}
