//! The writes that turn a slot's content into another, deletions first so that a full table has room; and what differs at all.

use std::collections::BTreeMap;

use selvedge_abi::map;

use super::action::{Action, Entry, Key};
use crate::tables::{Slot, SlotTables, Tables};

/// How many entries of each map, where any, are not as they were.
pub fn differences(before: &Tables, after: &Tables) -> BTreeMap<&'static str, usize> {
    let mut writes = Vec::new();
    for slot in Slot::BOTH {
        fill(before.slot(slot), after.slot(slot), &mut writes);
    }
    delete(&before.ports, &after.ports, Key::Port, &mut writes);
    put(&before.ports, &after.ports, Entry::Port, &mut writes);
    let tables = writes.iter().filter_map(|write| match write {
        Action::Put(entry) => Some(entry.table()),
        Action::Delete(key) => Some(key.table()),
        _ => None,
    });
    let mut differences = BTreeMap::new();
    tables.for_each(|table| *differences.entry(table).or_default() += 1);
    let keys = [
        (map::CONFIG, usize::from(before.config != after.config)),
        (map::FAILSAFE, before.failsafe.symmetric_difference(&after.failsafe).count()),
        (map::RULE_COUNTERS, before.rule_counters.symmetric_difference(&after.rule_counters).count()),
        (map::REASON_COUNTERS, before.reason_counters.symmetric_difference(&after.reason_counters).count()),
        (map::REVOCATIONS, before.revocations.symmetric_difference(&after.revocations).count()),
    ];
    differences.extend(keys.into_iter().filter(|(_, count)| *count > 0));
    differences
}

/// The writes that make `wanted` of `found`.
pub(super) fn fill(found: &SlotTables, wanted: &SlotTables, actions: &mut Vec<Action>) {
    delete(&found.policies, &wanted.policies, Key::Policy, actions);
    delete(&found.addresses, &wanted.addresses, Key::Address, actions);
    delete(&found.prefixes, &wanted.prefixes, Key::Prefix, actions);
    put(&found.intervals, &wanted.intervals, Entry::Interval, actions);
    put(&found.policies, &wanted.policies, Entry::Policy, actions);
    put(&found.addresses, &wanted.addresses, Entry::Address, actions);
    put(&found.prefixes, &wanted.prefixes, Entry::Prefix, actions);
}

fn delete<K: Ord + Copy, V>(
    found: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
    key: impl Fn(K) -> Key,
    actions: &mut Vec<Action>,
) {
    let stale = found.keys().filter(|candidate| !wanted.contains_key(candidate));
    actions.extend(stale.map(|stale| Action::Delete(key(*stale))));
}

fn put<K: Ord + Copy, V: Copy + PartialEq>(
    found: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
    entry: impl Fn(K, V) -> Entry,
    actions: &mut Vec<Action>,
) {
    let new = wanted.iter().filter(|(key, value)| found.get(key) != Some(value));
    actions.extend(new.map(|(key, value)| Action::Put(entry(*key, *value))));
}
