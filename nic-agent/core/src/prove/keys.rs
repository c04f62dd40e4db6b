//! Layer-4 keys of decision lists that packets can have.

use std::collections::BTreeSet;

use selvedge_topology::l4::{L4Key, L4Range};
use selvedge_topology::plan::{Plan, PlanSet};

use super::packet::carried;

/// The keys at which a list of `plan` begins an interval, and `more`, of those that packets of the family have; sorted.
pub(super) fn starts(plan: &Plan, more: &BTreeSet<L4Key>, family: usize) -> Vec<L4Key> {
    let all = plan.sets.iter().flat_map(|set| &set.intervals).map(|interval| interval.first);
    let all = all.chain(more.iter().copied());
    let mut keys: Vec<L4Key> = all.collect();
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| carried(family).iter().any(|range| range.contains(*key)));
    keys
}

/// The keys of an interval.
pub(super) fn keys(set: &PlanSet, interval: usize) -> Option<L4Range> {
    let first = set.intervals.get(interval)?.first;
    let last = match set.intervals.get(interval + 1) {
        Some(next) => L4Key::from_number(next.first.number().checked_sub(1)?)?,
        None => L4Key::LAST,
    };
    Some(L4Range { first, last })
}

/// The lowest and the highest key among `keys` that packets of the family have.
pub(super) fn ends_of(keys: L4Range, family: usize) -> impl Iterator<Item = L4Key> {
    let mut within = carried(family).iter().filter_map(move |range| {
        let (first, last) = (range.first.max(keys.first), range.last.min(keys.last));
        (first <= last).then_some((first, last))
    });
    let lowest = within.clone().next().map(|(first, _)| first);
    let highest = within.next_back().map(|(_, last)| last);
    lowest.into_iter().chain(highest.filter(|highest| Some(*highest) != lowest))
}

/// A key that packets of the family have, of the list's intervals in turn.
pub(super) fn any_key(set: &PlanSet, turn: usize, family: usize) -> Option<L4Key> {
    let count = set.intervals.len();
    (0..count).find_map(|step| ends_of(keys(set, (turn + step) % count)?, family).next())
}
