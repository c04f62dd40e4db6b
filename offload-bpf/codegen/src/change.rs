//! From one policy to the next, so that at no moment the device drops what the full program would pass.

use crate::check::Violation;
use crate::limits::Limits;
use crate::policy::PortPolicy;
use crate::prefilter::{Hits, of_all};
use crate::program::DeviceProgram;

/// What a port's device does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// It runs this program.
    Runs(Box<DeviceProgram>),
    /// It runs none: there is nothing to drop.
    Idle,
}

impl From<DeviceProgram> for Device {
    fn from(program: DeviceProgram) -> Self {
        if program.is_idle() { Self::Idle } else { Self::Runs(Box::new(program)) }
    }
}

/// A step of a change, to be finished before the next is begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The device is made to do this.
    Device(Device),
    /// The full program, which has judged by the old policy, judges by the new one.
    FullProgram,
}

/// The steps from `old` to `new`: the device is relaxed to what both drop, then the full program changes over, then the device is
/// tightened to what the new one drops. A port that had no policy goes without a program until then. What the device does
/// already, as `now` has it where that is known, is no step.
///
/// # Errors
/// Where the device does not take even a program that passes everything; the port then goes without, which is always sound.
pub fn change(
    now: Option<&Device>,
    old: Option<&PortPolicy>,
    new: &PortPolicy,
    limits: &Limits,
    hits: Option<&Hits>,
) -> Result<Vec<Step>, Violation> {
    let relaxed = match old {
        Some(old) => of_all(&[old, new], limits, hits)?.into(),
        None => Device::Idle,
    };
    let tight = Device::from(of_all(&[new], limits, hits)?);
    let relax = (now != Some(&relaxed)).then(|| Step::Device(relaxed.clone()));
    let tighten = (tight != relaxed).then_some(Step::Device(tight));
    Ok(relax.into_iter().chain([Step::FullProgram]).chain(tighten).collect())
}
