//! What nodes report of their ports, as far as the ledger asks.

use std::collections::BTreeMap;
use std::fmt;

use selvedge_hw_profiles::Mode;
use serde::Serialize;

use super::device::DeviceCost;
use crate::failsafe::Service;
use crate::names::{PortName, ProfileName};
use crate::plan::Generation;

/// What a node reports of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenNode {
    /// The generation it enforces.
    pub in_force: Option<Generation>,
    /// Its ports.
    pub ports: BTreeMap<PortName, SeenPort>,
    /// The services that it can't live without.
    pub services: Vec<Service>,
}

/// What a node reports of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenPort {
    /// The hardware profile of its device, where one is known.
    pub profile: Option<ProfileName>,
    /// What becomes of packets that arrive.
    pub state: PortState,
    /// Why it is so, and no better.
    pub reason: String,
    /// Why what the node itself sends out of it is not judged; `None`: it is.
    pub egress_unenforced: Option<String>,
    /// Packets that the device is known to forward past what judges there what arrives, in words.
    pub past: Vec<String>,
    /// What its NIC drops before.
    pub nic: Nic,
}

impl SeenPort {
    /// Whether everything that passes it, and may, is judged.
    pub fn is_sound(&self) -> bool {
        self.state != PortState::Open && self.egress_unenforced.is_none() && self.past.is_empty()
    }
}

/// What the NIC of a port runs, before the program in the kernel, which judges everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Nic {
    /// It runs no programs.
    Unable,
    /// It could, and does not.
    Idle {
        /// Why.
        reason: String,
    },
    /// It drops some of what policy denies.
    Runs {
        /// By which program, and what that takes.
        program: DeviceCost,
    },
}

/// What becomes of packets that arrive at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortState {
    /// The program judges them, in this mode, by the generation in force.
    Enforced(Mode),
    /// The program is there, in this mode, without a generation: only what a fabric needs to live passes.
    Shut(Mode),
    /// No program is there: everything passes.
    Open,
    /// The machine has no interface of this name: nothing passes.
    Gone,
}

impl PortState {
    /// Its name, as in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforced(_) => "enforced",
            Self::Shut(_) => "shut",
            Self::Open => "open",
            Self::Gone => "gone",
        }
    }

    /// In which mode the program runs; `None` where there is none.
    pub const fn mode(self) -> Option<Mode> {
        match self {
            Self::Enforced(mode) | Self::Shut(mode) => Some(mode),
            Self::Open | Self::Gone => None,
        }
    }
}

impl fmt::Display for PortState {
    /// The mode where packets are judged, else the state: what a column has room for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Enforced(mode) => mode.word(),
            other => other.name(),
        })
    }
}
