//! Where on the way of a packet a program runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where on the way of a packet the program runs; the better, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// In the kernel's stack, before anything else sees the packet.
    #[serde(rename = "xdp-generic")]
    Generic,
    /// In the driver.
    #[serde(rename = "xdp-native")]
    Native,
    /// In the NIC.
    #[serde(rename = "xdp-offload")]
    Offload,
}

impl Mode {
    /// Every mode, the best first.
    pub const BEST_FIRST: [Self; 3] = [Self::Offload, Self::Native, Self::Generic];

    /// Its name as users write and read it where only modes are meant.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Offload => "offload",
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    /// Its name, as in profiles and output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offload => "xdp-offload",
            Self::Native => "xdp-native",
            Self::Generic => "xdp-generic",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
