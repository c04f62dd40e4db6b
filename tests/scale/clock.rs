//! One clock for all processes of a machine.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A moment by `CLOCK_MONOTONIC`: nanoseconds since the machine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// This one.
    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
        Self(Duration::from(now).as_nanos() as u64)
    }

    /// The time since `earlier`; none where that is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
