//! How long to wait before trying again.

use std::time::Duration;

/// Waits that double, from a quarter of a second to `limit`, each with a random half taken off, so that the agents of a fabric
/// do not come back at once.
pub(crate) struct Backoff {
    next: Duration,
    limit: Duration,
}

const FIRST: Duration = Duration::from_millis(250);

impl Backoff {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { next: FIRST, limit }
    }

    /// The next wait.
    pub(crate) fn wait(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.limit);
        whole.mul_f64(1.0 - fastrand::f64() / 2.0)
    }

    /// It worked: begin anew.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_never_lose_more_than_half() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        for whole in [250, 500, 1000, 1000] {
            let whole = Duration::from_millis(whole);
            let wait = backoff.wait();
            assert!(wait <= whole && wait >= whole / 2, "{wait:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}
