//! When which set was known to be in force on every node.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970, by the clock that the kernel stamps packets with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    pub(crate) fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64)
    }
}

/// A time in which one set was in force on every node, as the controller confirmed, and no other was applied yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    pub(crate) set: usize,
    pub(crate) confirmed: Moment,
    pub(crate) next_applied: Moment,
}

/// All such times, in order; between them is transition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline(pub(crate) Vec<Interval>);

impl Timeline {
    /// The interval that holds `moment`, by position.
    pub(crate) fn at(&self, moment: Moment) -> Option<usize> {
        let after = self.0.partition_point(|interval| interval.confirmed <= moment);
        let candidate = after.checked_sub(1)?;
        (moment < self.0[candidate].next_applied).then_some(candidate)
    }
}
