//! Why a mode is passed over.

use std::fmt;

use serde::Serialize;

use super::device::Excess;
use crate::mode::Mode;

/// Why a port does not get a mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Programs do not run there: why.
    Unsupported {
        /// The driver.
        driver: String,
        /// Why.
        because: String,
    },
    /// The driver accepts programs there and runs none, so that one would leave the port open.
    Ignored {
        /// The driver.
        driver: String,
        /// Why.
        because: String,
    },
    /// Something it needs is not so.
    Unmet {
        /// What it needs.
        needs: String,
        /// What was found.
        found: String,
        /// The command that mends it, where there is one.
        mend: Option<String>,
    },
    /// The driver has it, and the kernel claims that the port, as it is now, has not.
    Unclaimed {
        /// The driver.
        driver: String,
    },
    /// No profile says what the device takes, so nothing can be made for it.
    Unprofiled {
        /// The driver.
        driver: String,
    },
    /// There is no program that runs in the device.
    NoDeviceProgram,
    /// The device program needs more than the device has.
    TooLarge(Excess),
    /// A user forbids the mode.
    Forbidden,
    /// A user allows no mode that is this good.
    AboveLimit {
        /// The best mode that is allowed.
        limit: Mode,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { driver, because } => write!(f, "driver {driver}: {because}"),
            Self::Ignored { driver, because } => {
                write!(f, "driver {driver} accepts such programs and does not run them: {because}")
            }
            Self::Unmet { needs, found, mend } => {
                write!(f, "it needs {needs}, and there is {found}")?;
                mend.as_ref().map_or(Ok(()), |mend| write!(f, " (`{mend}` mends it)"))
            }
            Self::Unclaimed { driver } => {
                write!(f, "driver {driver} has it, and the kernel says that this port, as it is now, has not")
            }
            Self::Unprofiled { driver } => {
                write!(f, "no profile says what the device of driver {driver} takes")
            }
            Self::NoDeviceProgram => f.write_str("there is no program for the device"),
            Self::TooLarge(excess) => excess.fmt(f),
            Self::Forbidden => f.write_str("it is forbidden"),
            Self::AboveLimit { limit } => write!(f, "at most {limit} is allowed"),
        }
    }
}
