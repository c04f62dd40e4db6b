//! Time that this thread was at work: what else the machine does meanwhile does not count.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// How long it was at work so far.
pub(crate) fn worked() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
