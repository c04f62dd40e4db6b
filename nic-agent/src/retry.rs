//! How long to wait before trying again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Waits that double up to a limit, each with a random part taken off.
pub(crate) struct Backoff {
    next: Duration,
    first: Duration,
    limit: Duration,
    jitter: Jitter,
}

/// How much of a wait may be taken off.
#[derive(Clone, Copy)]
enum Jitter {
    /// Up to a half: what fails by itself.
    Half,
    /// All of it: what fails for all agents of a fabric at the same moment must not come back at one.
    Full,
}

const FIRST: Duration = Duration::from_millis(250);
/// Ten thousand agents that come back within this are 500 in a tenth of a second.
const FIRST_OF_MANY: Duration = Duration::from_secs(2);

impl Backoff {
    /// For what concerns this node alone: from a quarter of a second to `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { next: FIRST, first: FIRST, limit, jitter: Jitter::Half }
    }

    /// For what all agents do at the same time: from two seconds to `limit`, each spread over its whole length.
    pub(crate) fn of_many(limit: Duration) -> Self {
        Self { next: FIRST_OF_MANY, first: FIRST_OF_MANY, limit, jitter: Jitter::Full }
    }

    /// The next wait.
    pub(crate) fn wait(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.limit);
        let off = match self.jitter {
            Jitter::Half => 0.5,
            Jitter::Full => 1.0,
        };
        whole.mul_f64(1.0 - fastrand::f64() * off)
    }

    /// It worked: begin anew.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Something that is asked for again and again, with waits that grow, as long as it is not granted.
pub(crate) struct Later {
    backoff: Backoff,
    at: Option<Instant>,
}

impl Later {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { backoff: Backoff::new(limit), at: None }
    }

    /// A wait that is under way goes on; one begins where something `is_wanting`.
    pub(crate) fn keep(&mut self, is_wanting: bool) {
        if !is_wanting {
            self.backoff.reset();
            self.at = None;
        } else if self.at.is_none() {
            self.at = Some(Instant::now() + self.backoff.wait());
        }
    }

    /// Waits until it is time, without end where nothing is wanting. The wait is over then.
    pub(crate) async fn due(&mut self) {
        match self.at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
        self.at = None;
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

    /// When agents that lost etcd together reach it again, in milliseconds: it answers from `outage` on.
    fn returns(agents: usize, outage: Duration, new: fn(Duration) -> Backoff) -> Vec<u128> {
        let one = |_| {
            let mut backoff = new(Duration::from_secs(10));
            let mut now = backoff.wait();
            while now < outage {
                now += backoff.wait();
            }
            now.as_millis()
        };
        (0..agents).map(one).collect()
    }

    /// The most that come within a tenth of a second.
    fn crowd(returns: &[u128]) -> usize {
        let mut tenths = std::collections::BTreeMap::<u128, usize>::new();
        returns.iter().for_each(|at| *tenths.entry(at / 100).or_default() += 1);
        tenths.into_values().max().unwrap_or_default()
    }

    #[test]
    fn ten_thousand_agents_that_lost_etcd_together_do_not_come_back_together() {
        const AGENTS: usize = 10_000;
        for outage in [0, 300, 3_000, 30_000, 300_000].map(Duration::from_millis) {
            let returns = returns(AGENTS, outage, Backoff::of_many);
            let crowd = crowd(&returns);
            assert!(crowd <= AGENTS / 15, "{crowd} within 100 ms after {outage:?}");
            let last = Duration::from_millis(u64::try_from(*returns.iter().max().unwrap()).unwrap());
            assert!(last <= outage + Duration::from_secs(10), "{last:?} after {outage:?}");
        }
        // What this is for: half a jitter after a short outage is a herd.
        assert!(crowd(&returns(AGENTS, Duration::ZERO, Backoff::new)) > AGENTS / 2);
    }
}
