//! Where each run of intervals goes in a slot, of those that are too long for a policy entry.
//!
//! A run that the slot holds already keeps its place, so that a small change is a small write. New runs go to the first
//! gap that takes them. Where gaps are too scattered, everything is laid out anew.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_abi::{Interval, Run};

use crate::tables::{Slot, SlotTables};

/// Places of runs, by content.
pub(super) struct Layout<'a> {
    places: BTreeMap<&'a [Interval], u32>,
}

impl<'a> Layout<'a> {
    /// Places for `runs`, which together fit the slot (the capacity check comes first).
    pub(super) fn new(slot: Slot, runs: impl Iterator<Item = &'a [Interval]>, found: &SlotTables) -> Self {
        let runs: BTreeSet<&[Interval]> = runs.collect();
        let kept = kept(slot, &runs, found);
        let places = fill(slot, &runs, kept).unwrap_or_else(|| pack(slot, &runs));
        Self { places }
    }

    /// The place of a run that the layout was made for.
    pub(super) fn place(&self, run: &[Interval]) -> Run {
        at(self.places[run], run)
    }
}

fn at(first: u32, run: &[Interval]) -> Run {
    // A plan's intervals were counted against the table, so their number fits.
    Run { first, count: run.len() as u32 }
}

/// The runs that `found` holds, and where.
fn kept<'a>(
    slot: Slot,
    runs: &BTreeSet<&'a [Interval]>,
    found: &SlotTables,
) -> BTreeMap<&'a [Interval], u32> {
    let mut kept = BTreeMap::new();
    for place in found.runs() {
        let Run { first, count } = place;
        let inside = slot.intervals().contains(&first)
            && first.checked_add(count).is_some_and(|end| end <= slot.intervals().end);
        if let Some(run) = runs.get(found.run(place).as_slice()).filter(|_| inside) {
            kept.entry(*run).or_insert(first);
        }
    }
    kept
}

/// Puts the runs that are not `kept` into the gaps between those that are; `None` where one does not fit.
fn fill<'a>(
    slot: Slot,
    runs: &BTreeSet<&'a [Interval]>,
    kept: BTreeMap<&'a [Interval], u32>,
) -> Option<BTreeMap<&'a [Interval], u32>> {
    let mut gaps = gaps(slot, &kept);
    let mut places = kept;
    for run in runs {
        if places.contains_key(run) {
            continue;
        }
        let wanted = run.len() as u32;
        let gap = gaps.iter_mut().find(|(first, end)| end - first >= wanted)?;
        places.insert(run, gap.0);
        gap.0 += wanted;
    }
    Some(places)
}

/// The parts `(first, end)` of the slot that no kept run covers. Kept runs may overlap where one holds the other.
fn gaps(slot: Slot, kept: &BTreeMap<&[Interval], u32>) -> Vec<(u32, u32)> {
    let taken: BTreeSet<(u32, u32)> =
        kept.iter().map(|(run, first)| (*first, first + run.len() as u32)).collect();
    let mut gaps = Vec::new();
    let mut free = slot.intervals().start;
    for (first, end) in taken {
        if first > free {
            gaps.push((free, first));
        }
        free = free.max(end);
    }
    gaps.push((free, slot.intervals().end));
    gaps
}

fn pack<'a>(slot: Slot, runs: &BTreeSet<&'a [Interval]>) -> BTreeMap<&'a [Interval], u32> {
    let mut next = slot.intervals().start;
    let placed = runs.iter().map(|run| {
        let first = next;
        next += run.len() as u32;
        (*run, first)
    });
    placed.collect()
}

#[cfg(test)]
mod tests {
    use selvedge_abi::{INTERVALS_PER_SLOT, PolicyEntry, PolicyKey};

    use super::*;

    fn run(rule: u32, length: u32) -> Vec<Interval> {
        (0..length).map(|start| Interval { start, rule, decision: 0 }).collect()
    }

    fn found(slot: Slot, runs: &[(u32, &[Interval])]) -> SlotTables {
        let mut tables = SlotTables::default();
        for (subject, (first, run)) in (0..).zip(runs) {
            let key = PolicyKey { slot: slot.number(), subject, peer: 0, direction: 0 };
            tables.policies.insert(key, PolicyEntry::indexed(at(*first, run)));
            tables.intervals.extend((*first..).zip(run.iter().copied()));
        }
        tables
    }

    fn places(slot: Slot, runs: &[&[Interval]], found: &SlotTables) -> Vec<u32> {
        let layout = Layout::new(slot, runs.iter().copied(), found);
        runs.iter().map(|run| layout.place(run).first).collect()
    }

    #[test]
    fn an_empty_slot_is_packed_from_its_base() {
        let (a, b) = (run(1, 3), run(2, 5));
        assert_eq!(places(Slot::A, &[&a, &b], &SlotTables::default()), [0, 3]);
        let base = INTERVALS_PER_SLOT;
        assert_eq!(places(Slot::B, &[&a, &b], &SlotTables::default()), [base, base + 3]);
    }

    #[test]
    fn runs_that_are_there_stay_and_new_ones_take_the_first_gap_that_fits() {
        let (a, b, c, d) = (run(1, 3), run(2, 5), run(3, 2), run(4, 4));
        let found = found(Slot::A, &[(0, &a), (3, &b), (8, &c)]);
        // Without b there is a gap of five at 3: d takes four of it.
        assert_eq!(places(Slot::A, &[&a, &c, &d], &found), [0, 8, 3]);
    }

    #[test]
    fn a_slot_too_scattered_for_a_run_is_packed_anew() {
        let half = INTERVALS_PER_SLOT / 2;
        let (small, large) = (run(1, 2), run(2, INTERVALS_PER_SLOT - 2));
        let found = found(Slot::A, &[(half, &small)]);
        assert_eq!(places(Slot::A, &[&small, &large], &found), [0, 2]);
    }

    #[test]
    fn equal_runs_share_a_place() {
        let (a, b) = (run(1, 3), run(1, 3));
        assert_eq!(places(Slot::A, &[&a, &b], &SlotTables::default()), [0, 0]);
    }

    #[test]
    fn a_policy_entry_that_points_outside_its_slot_is_never_believed() {
        let a = run(1, 3);
        let found = found(Slot::B, &[(0, &a)]);
        assert_eq!(places(Slot::B, &[&a], &found), [INTERVALS_PER_SLOT]);
    }
}
