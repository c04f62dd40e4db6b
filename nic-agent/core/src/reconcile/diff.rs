//! The writes that turn a slot's content into another. Deletions come first, so that a full table has room.

use std::collections::BTreeMap;

use super::action::{Action, Entry, Key};
use crate::tables::SlotTables;

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
