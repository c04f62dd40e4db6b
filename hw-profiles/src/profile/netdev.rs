//! The interfaces that a device has, and what each can do.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::source::Source;
use crate::mode::Mode;
use crate::port::{Feature, Flavour, PciId, Port};

/// An interface that a device has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Netdev {
    /// What it is on the device.
    pub role: Role,
    /// How it is told from the others.
    #[serde(default, skip_serializing_if = "When::is_any")]
    pub when: When,
    /// Programs in the device.
    #[serde(rename = "xdp-offload")]
    pub offload: Support,
    /// Programs in the driver.
    #[serde(rename = "xdp-native")]
    pub native: Support,
    /// What the kernel claims of its XDP while no program is on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Feature>,
}

/// What an interface is on its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The wire, or what stands for it in a virtual machine.
    Uplink,
    /// What stands, on a DPU, for the host that it is in.
    HostRepresentor,
    /// What stands for a virtual or scalable function on the device's switch.
    VfRepresentor,
    /// A virtual function itself.
    VirtualFunction,
    /// A port of a switch ASIC.
    SwitchPort,
    /// One end of something that the kernel makes up.
    Virtual,
}

impl Role {
    /// Its name, as in profiles.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uplink => "uplink",
            Self::HostRepresentor => "host-representor",
            Self::VfRepresentor => "vf-representor",
            Self::VirtualFunction => "virtual-function",
            Self::SwitchPort => "switch-port",
            Self::Virtual => "virtual",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How an interface is told from the others of its device: it fits every field that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct When {
    /// What its driver calls itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drivers: Vec<String>,
    /// Its numbers on the PCI bus.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pci: Vec<PciId>,
    /// What the kernel says it is a port of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flavours: Vec<Flavour>,
}

impl When {
    fn is_any(&self) -> bool {
        *self == Self::default()
    }

    /// `port` as if it were one: what tells it from the others is made so, the rest stays.
    pub fn narrow(&self, port: &Port) -> Port {
        let mut narrow = port.clone();
        if let (false, [first, ..]) = (self.drivers.contains(&port.driver), &self.drivers[..]) {
            narrow.driver.clone_from(first);
        }
        if let (false, [first, ..]) = (port.pci.is_some_and(|id| self.pci.contains(&id)), &self.pci[..]) {
            narrow.pci = Some(*first);
        }
        if let (false, [first, ..]) = (self.flavours.contains(&port.flavour()), &self.flavours[..]) {
            narrow.phys_port_name = first.example().map(ToOwned::to_owned);
            narrow.devlink.iter_mut().for_each(|devlink| devlink.flavour = Some(*first));
        }
        narrow
    }

    /// Whether `port` is one.
    pub fn fits(&self, port: &Port) -> bool {
        let driver = self.drivers.is_empty() || self.drivers.contains(&port.driver);
        let pci = self.pci.is_empty() || port.pci.is_some_and(|id| self.pci.contains(&id));
        let flavour = self.flavours.is_empty() || self.flavours.contains(&port.flavour());
        driver && pci && flavour
    }
}

/// Whether programs run somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawSupport", into = "RawSupport")]
pub enum Support {
    /// They do.
    Runs(Source),
    /// They do not: why.
    Absent(String, Source),
    /// They are accepted and not run, so that one would leave the port open: why.
    Ignored(String, Source),
}

impl Support {
    /// Where it is from.
    pub fn source(&self) -> &Source {
        let (Self::Runs(source) | Self::Absent(_, source) | Self::Ignored(_, source)) = self;
        source
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawSupport {
    programs: Programs,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    source: Source,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Programs {
    Run,
    Absent,
    Ignored,
}

#[derive(Debug, thiserror::Error)]
enum SupportError {
    #[error("`because` is missing: why do programs not run there?")]
    NoReason,
    #[error("`because` says why programs do not run, and here they do")]
    Reason,
}

impl TryFrom<RawSupport> for Support {
    type Error = SupportError;

    fn try_from(RawSupport { programs, because, source }: RawSupport) -> Result<Self, SupportError> {
        match (programs, because) {
            (Programs::Run, None) => Ok(Self::Runs(source)),
            (Programs::Run, Some(_)) => Err(SupportError::Reason),
            (Programs::Absent, Some(because)) => Ok(Self::Absent(because, source)),
            (Programs::Ignored, Some(because)) => Ok(Self::Ignored(because, source)),
            (Programs::Absent | Programs::Ignored, None) => Err(SupportError::NoReason),
        }
    }
}

impl From<Support> for RawSupport {
    fn from(support: Support) -> Self {
        let (programs, because, source) = match support {
            Support::Runs(source) => (Programs::Run, None, source),
            Support::Absent(because, source) => (Programs::Absent, Some(because), source),
            Support::Ignored(because, source) => (Programs::Ignored, Some(because), source),
        };
        Self { programs, because, source }
    }
}

impl Netdev {
    /// The best mode in which programs run. The kernel runs generic ones on every interface (net/core/dev.c).
    pub fn best(&self) -> Mode {
        Mode::BEST_FIRST.into_iter().find(|mode| self.runs(*mode)).unwrap_or(Mode::Generic)
    }

    /// Whether programs run there.
    pub fn runs(&self, mode: Mode) -> bool {
        match mode {
            Mode::Offload => matches!(self.offload, Support::Runs(_)),
            Mode::Native => matches!(self.native, Support::Runs(_)),
            Mode::Generic => true,
        }
    }
}
