//! In which modes to try a port, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{NativeSupport, Profile, Profiles};

/// Where on the way of a packet the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// In the NIC.
    #[serde(rename = "xdp-offload")]
    Offload,
    /// In the driver.
    #[serde(rename = "xdp-native")]
    Native,
    /// In the kernel's stack, before anything else sees the packet.
    #[serde(rename = "xdp-generic")]
    Generic,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Offload => "xdp-offload",
            Self::Native => "xdp-native",
            Self::Generic => "xdp-generic",
        })
    }
}

/// What was seen of a port that the choice depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedPort {
    /// What the driver calls itself.
    pub driver: String,
    /// The interface's MTU in bytes.
    pub mtu: u32,
}

/// The modes to try, best first, and why these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeChoice {
    /// What to ask for.
    pub first: Mode,
    /// What to fall back to, in order.
    pub fallbacks: Vec<Mode>,
    /// Why.
    pub reason: ModeReason,
}

/// Why a mode is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModeReason {
    /// The driver runs programs itself.
    DriverSupports {
        /// The driver.
        driver: String,
        /// What the profile says of it.
        constraint: String,
    },
    /// No profile knows the driver, so the kernel is asked.
    UnknownDriver {
        /// The driver.
        driver: String,
    },
    /// The driver runs no programs.
    DriverLacks {
        /// The driver.
        driver: String,
        /// What the profile says of it.
        constraint: String,
    },
    /// The driver would take the program and not run it.
    DriverIgnores {
        /// The driver.
        driver: String,
    },
    /// The MTU is above what the driver's native mode takes.
    MtuTooLarge {
        /// The driver.
        driver: String,
        /// The port's MTU in bytes.
        mtu: u32,
        /// The largest that works, in bytes.
        limit: u32,
    },
}

impl fmt::Display for ModeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DriverSupports { driver, .. } => write!(f, "driver {driver} runs XDP itself"),
            Self::UnknownDriver { driver } => write!(f, "no profile for driver {driver}, so native is tried"),
            Self::DriverLacks { driver, constraint } => {
                write!(f, "driver {driver} has no native XDP: {constraint}")
            }
            Self::DriverIgnores { driver } => {
                write!(f, "driver {driver} accepts native programs and does not run them")
            }
            Self::MtuTooLarge { driver, mtu, limit } => {
                write!(f, "MTU {mtu} is above the {limit} that driver {driver} takes in native mode")
            }
        }
    }
}

impl Profiles {
    /// The modes to try on `port`.
    pub fn choose(&self, port: &ObservedPort) -> ModeChoice {
        let reason = self.reason(port);
        let native = matches!(reason, ModeReason::DriverSupports { .. } | ModeReason::UnknownDriver { .. });
        let (first, fallbacks) =
            if native { (Mode::Native, vec![Mode::Generic]) } else { (Mode::Generic, Vec::new()) };
        ModeChoice { first, fallbacks, reason }
    }

    fn reason(&self, port: &ObservedPort) -> ModeReason {
        let driver = port.driver.clone();
        let Some(Profile { native, max_native_mtu, constraint, .. }) = self.of(&driver) else {
            return ModeReason::UnknownDriver { driver };
        };
        match (native, max_native_mtu) {
            (NativeSupport::None, _) => ModeReason::DriverLacks { driver, constraint: constraint.clone() },
            (NativeSupport::AcceptedButNotRun, _) => ModeReason::DriverIgnores { driver },
            (NativeSupport::Driver, Some(limit)) if port.mtu > *limit => {
                ModeReason::MtuTooLarge { driver, mtu: port.mtu, limit: *limit }
            }
            (NativeSupport::Driver, _) => {
                ModeReason::DriverSupports { driver, constraint: constraint.clone() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(driver: &str, mtu: u32) -> ModeChoice {
        Profiles::embedded().unwrap().choose(&ObservedPort { driver: driver.to_owned(), mtu })
    }

    #[test]
    fn native_comes_first_where_the_driver_has_it_and_generic_is_the_fallback() {
        for driver in ["veth", "virtio_net", "mlx5_core", "ice", "nfp", "tun", "igc"] {
            let choice = choose(driver, 1500);
            assert_eq!((choice.first, choice.fallbacks), (Mode::Native, vec![Mode::Generic]), "{driver}");
            assert!(matches!(choice.reason, ModeReason::DriverSupports { .. }), "{driver}");
        }
    }

    #[test]
    fn a_driver_without_native_xdp_is_not_asked_for_it() {
        for driver in ["bridge", "mlx5e_rep", "dummy", "mlxsw_spectrum"] {
            let choice = choose(driver, 1500);
            assert_eq!((choice.first, choice.fallbacks), (Mode::Generic, vec![]), "{driver}");
            assert!(matches!(choice.reason, ModeReason::DriverLacks { .. }), "{driver}");
        }
    }

    #[test]
    fn a_driver_that_takes_a_native_program_and_ignores_it_is_never_given_one() {
        let choice = choose("netdevsim", 1500);
        assert_eq!((choice.first, choice.fallbacks), (Mode::Generic, vec![]));
        assert_eq!(choice.reason, ModeReason::DriverIgnores { driver: "netdevsim".to_owned() });
    }

    #[test]
    fn an_mtu_above_the_drivers_limit_says_both_numbers() {
        let choice = choose("igc", 9000);
        assert_eq!(choice.first, Mode::Generic);
        assert_eq!(
            choice.reason.to_string(),
            "MTU 9000 is above the 1500 that driver igc takes in native mode"
        );
    }

    #[test]
    fn an_unknown_driver_is_asked_and_the_reason_says_so() {
        let choice = choose("fancynic", 1500);
        assert_eq!((choice.first, choice.fallbacks), (Mode::Native, vec![Mode::Generic]));
        assert_eq!(choice.reason.to_string(), "no profile for driver fancynic, so native is tried");
    }
}
