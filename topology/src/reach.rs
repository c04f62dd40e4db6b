//! Who reaches whom: the whole of a fabric's policy, between ends that it can't tell apart.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::compile::{Cidrs, CompileError};
use crate::diff::ends::Ends;
use crate::diff::intervals::pieces;
use crate::diff::rows::{List, Rows};
use crate::diff::words::Words;
use crate::diff::{End, Pairs, Verdict, rectangles};
use crate::identity::IdentityTable;
use crate::l4::{L4Key, L4Range};
use crate::model::{Direction, Model};
use crate::oracle::FlowOutcome;
use crate::plan::PlanSet;

/// Who reaches whom.
pub struct Reach<'m> {
    ends: Ends<'m>,
    words: Words<'m>,
    /// Between whom connections pass, and which; those of most pairs first. Two ends between which nothing passes are in none.
    pub flows: Vec<Flow>,
    /// Pairs of ends between which nothing passes.
    pub closed: usize,
}

/// The same keys, between some ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The keys with which new connections pass, in sorted ranges apart from each other.
    pub ranges: Vec<L4Range>,
    /// Whether anybody enforces for one of the ends.
    pub enforced: bool,
    /// Between whom; each pair is in one of all.
    pub pairs: Pairs,
}

/// Who reaches whom by the policy of `model`.
pub fn reach<'m>(model: &'m Model, identities: &'m IdentityTable) -> Result<Reach<'m>, CompileError> {
    let ends = Ends::of([model, model], identities, Cidrs::default())?;
    let rows = Rows::of(ends.compilers())?;
    let mut known: HashMap<(List, List), usize> = HashMap::new();
    let mut passing: Vec<(Vec<L4Range>, bool)> = Vec::new();
    let mut numbers: BTreeMap<(Vec<L4Range>, bool), usize> = BTreeMap::new();
    let mut pairs: Vec<Vec<(usize, usize)>> = Vec::new();
    for (from, source) in ends.all.iter().enumerate() {
        for (to, destination) in ends.all.iter().enumerate() {
            // Of two that are no workloads, policy says nothing.
            if !(rows.has(source.taken)
                || rows.has(destination.taken)
                || both_are_workloads(source, destination))
                || source.pair(destination).is_none()
            {
                continue;
            }
            let [egress, _] = rows.between(source, Direction::Egress, destination);
            let [ingress, _] = rows.between(destination, Direction::Ingress, source);
            let number = *known.entry((egress, ingress)).or_insert_with(|| {
                let ranges = passed(rows.list(egress), rows.list(ingress));
                let flow = (ranges, egress.is_some() || ingress.is_some());
                *numbers.entry(flow.clone()).or_insert_with(|| {
                    passing.push(flow);
                    pairs.push(Vec::new());
                    passing.len() - 1
                })
            });
            pairs[number].push((from, to));
        }
    }
    let mut closed = 0;
    let mut flows = Vec::new();
    for ((ranges, enforced), pairs) in passing.into_iter().zip(pairs) {
        if ranges.is_empty() {
            closed += pairs.len();
            continue;
        }
        let covered = rectangles::cover(pairs).into_iter();
        flows.extend(covered.map(|pairs| Flow { ranges: ranges.clone(), enforced, pairs }));
    }
    flows.sort_by(|a, b| b.pairs.len().cmp(&a.pairs.len()).then_with(|| a.pairs.cmp(&b.pairs)));
    let words = Words::of(&ends.all, identities);
    Ok(Reach { ends, words, flows, closed })
}

impl<'m> Reach<'m> {
    /// The ends that [`Pairs`] name, by their number.
    pub fn ends(&self) -> &[End<'m>] {
        &self.ends.all
    }

    /// Ends in words.
    pub fn words(&self, ends: &[usize]) -> String {
        self.words.say(ends)
    }

    /// What passes from `source` to `destination`; `None`: nothing, or neither is a workload.
    pub fn between(&self, source: IpAddr, destination: IpAddr) -> Option<&Flow> {
        let from = self.ends.at(source, self.ends.enforced_at(destination))?;
        let to = self.ends.at(destination, self.ends.enforced_at(source))?;
        self.flows.iter().find(|flow| flow.pairs.has(from, to))
    }
}

fn both_are_workloads(a: &End<'_>, b: &End<'_>) -> bool {
    a.workloads().next().is_some() && b.workloads().next().is_some()
}

/// The keys that pass both lists.
fn passed(egress: Option<&PlanSet>, ingress: Option<&PlanSet>) -> Vec<L4Range> {
    let mut ranges: Vec<L4Range> = Vec::new();
    for range in pieces([egress, ingress].into_iter().flatten()) {
        let decide = |list: Option<&PlanSet>| list.and_then(|list| list.decide(range.first));
        if Verdict::of(decide(egress), decide(ingress)).outcome() == FlowOutcome::Denied {
            continue;
        }
        match ranges.last_mut() {
            Some(before) if before.last.next() == Some(range.first) => before.last = range.last,
            _ => ranges.push(range),
        }
    }
    ranges
}

/// The keys that are in none of `ranges`, which are sorted and apart from each other.
pub fn rest(ranges: &[L4Range]) -> Vec<L4Range> {
    let firsts = [Some(L4Key::FIRST)].into_iter().chain(ranges.iter().map(|range| range.last.next()));
    let lasts = ranges.iter().map(|range| range.first.previous()).chain([Some(L4Key::LAST)]);
    let gaps = firsts.zip(lasts).filter_map(|(first, last)| Some(L4Range { first: first?, last: last? }));
    gaps.filter(|gap| gap.first <= gap.last).collect()
}
