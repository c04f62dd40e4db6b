//! What the log tells of connections that a generation no longer allows.

use std::collections::BTreeMap;

use selvedge_abi::Revocations;
use selvedge_topology::plan::Generation;

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Told(Option<BTreeMap<Generation, Revocations>>);

impl Told {
    /// The generations of which more connections were cut or drained than was told. The first counters are those that were there
    /// when the agent started: whoever ran before told of them.
    pub(super) fn news(
        &mut self,
        counted: &BTreeMap<Generation, Revocations>,
    ) -> Vec<(Generation, Revocations)> {
        let Some(told) = self.0.replace(counted.clone()) else { return Vec::new() };
        let is_news = |(generation, counts): &(&Generation, &Revocations)| {
            told.get(*generation).copied().unwrap_or_default() != **counts
        };
        counted.iter().filter(is_news).map(|(generation, counts)| (*generation, *counts)).collect()
    }

    /// Writes a line for each generation of which there is news. Connections are judged when their next packet comes, so
    /// one generation may be told of several times, each time with all that it revoked.
    pub(super) fn tell(&mut self, counted: &BTreeMap<Generation, Revocations>) {
        for (generation, Revocations { cut, draining }) in self.news(counted) {
            tracing::info!(%generation, cut, draining, "established connections are no longer allowed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(u64, u64, u64)]) -> BTreeMap<Generation, Revocations> {
        let each = |&(generation, cut, draining)| (Generation(generation), Revocations { cut, draining });
        counts.iter().map(each).collect()
    }

    fn news(told: &mut Told, counted: &[(u64, u64, u64)]) -> Vec<(u64, u64, u64)> {
        let news = told.news(&counts(counted)).into_iter();
        news.map(|(generation, Revocations { cut, draining })| (generation.0, cut, draining)).collect()
    }

    #[test]
    fn each_growth_is_told_once_and_with_all_of_it() {
        let mut told = Told::default();
        assert_eq!(news(&mut told, &[(1, 5, 0)]), [], "somebody told of it before this agent started");
        assert_eq!(news(&mut told, &[(1, 5, 0)]), []);
        assert_eq!(
            news(&mut told, &[(1, 5, 0), (2, 0, 0)]),
            [],
            "a generation that revokes nothing is no news"
        );
        assert_eq!(news(&mut told, &[(1, 5, 0), (2, 0, 3)]), [(2, 0, 3)]);
        assert_eq!(news(&mut told, &[(1, 5, 0), (2, 0, 4), (3, 1, 0)]), [(2, 0, 4), (3, 1, 0)]);
        assert_eq!(news(&mut told, &[(2, 0, 4), (3, 1, 0)]), [], "a counter that makes way is no news");
    }
}
