//! Pairs of ends, gathered so that a person can read them.

use std::collections::BTreeMap;

/// All pairs of one end of `from` and one of `to`, numbers of [`super::Difference::ends`]; both sorted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pairs {
    /// Where connections come from.
    pub from: Vec<usize>,
    /// Where they go.
    pub to: Vec<usize>,
}

impl Pairs {
    /// How many they are.
    pub fn len(&self) -> usize {
        self.from.len() * self.to.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.from.is_empty() || self.to.is_empty()
    }

    /// Whether this pair is among them.
    pub fn has(&self, from: usize, to: usize) -> bool {
        self.from.binary_search(&from).is_ok() && self.to.binary_search(&to).is_ok()
    }

    fn mirrored(self) -> Self {
        Self { from: self.to, to: self.from }
    }
}

/// `pairs`, each once, as rectangles: sources with the same destinations together, or destinations with the same sources, whichever takes
/// fewer. Those of most pairs first.
pub(crate) fn cover(pairs: Vec<(usize, usize)>) -> Vec<Pairs> {
    let mirrored = pairs.iter().map(|(from, to)| (*to, *from)).collect();
    let by_source = gather(pairs);
    let by_destination: Vec<Pairs> = gather(mirrored).into_iter().map(Pairs::mirrored).collect();
    let mut fewer = if by_destination.len() < by_source.len() { by_destination } else { by_source };
    fewer.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    fewer
}

fn gather(mut pairs: Vec<(usize, usize)>) -> Vec<Pairs> {
    pairs.sort_unstable();
    let mut by_others: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for of_one in pairs.chunk_by(|a, b| a.0 == b.0) {
        let others = of_one.iter().map(|(_, to)| *to).collect();
        by_others.entry(others).or_default().push(of_one[0].0);
    }
    by_others.into_iter().map(|(to, from)| Pairs { from, to }).collect()
}
