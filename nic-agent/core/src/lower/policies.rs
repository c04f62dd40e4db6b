//! Policy rows, the intervals that they hold, and the runs that they point at.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_abi::{
    DECISION_ALLOW, DECISION_DRAIN, DECISION_LOG, DECISION_STATELESS, Direction, Interval, PolicyEntry,
    PolicyKey,
};
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::l4::L4Key;
use selvedge_topology::model;
use selvedge_topology::plan::{Decision, Outcome, Plan, PlanRow, PlanSet, SetId};

use super::LowerError;
use super::layout::Layout;
use crate::tables::{Slot, SlotTables};

/// The class under which a row's default stands.
pub const ROW_DEFAULT: Class = Class(0);

/// Whether policy can tell all identities apart, every row names lists that exist, and every list decides every key.
pub(super) fn check(plan: &Plan) -> Result<(), LowerError> {
    let subjects = plan.rows.iter().map(|row| row.subject);
    let mut identities = subjects.chain(plan.addresses.iter().map(|address| address.identity));
    if let Some(identity) = identities.find(|identity| identity.0 >= PolicyKey::SUBJECTS) {
        return Err(LowerError::LargeIdentity { identity });
    }
    if let Some(set) = plan.sets.iter().find(|set| !is_whole(set)) {
        return Err(LowerError::PartialSet { set: set.id });
    }
    let known: BTreeSet<SetId> = plan.sets.iter().map(|set| set.id).collect();
    for row in &plan.rows {
        if let Some((_, set)) = entries(row).find(|(_, set)| !known.contains(set)) {
            return Err(LowerError::UnknownSet { subject: row.subject, direction: row.direction, set });
        }
    }
    Ok(())
}

fn is_whole(set: &PlanSet) -> bool {
    let begins = set.intervals.first().is_some_and(|interval| interval.first == L4Key::FIRST);
    begins && set.intervals.windows(2).all(|pair| pair[0].first < pair[1].first)
}

/// The row's entries: its default, then the classes that differ.
fn entries(row: &PlanRow) -> impl Iterator<Item = (Class, SetId)> {
    [(ROW_DEFAULT, row.default)].into_iter().chain(row.peers.iter().copied())
}

/// Puts short decision lists into the rows, lays the others out in the slot and points the rows at them.
pub(super) fn lower(
    plan: &Plan,
    slot: Slot,
    found: &SlotTables,
    tables: &mut SlotTables,
) -> Result<(), LowerError> {
    // A list that no row names could never be observed again, so it is not written.
    let named: BTreeSet<SetId> = plan.rows.iter().flat_map(entries).map(|(_, set)| set).collect();
    let sets = plan.sets.iter().filter(|set| named.contains(&set.id));
    let lists: BTreeMap<SetId, Vec<Interval>> =
        sets.map(|set| (set.id, set.intervals.iter().map(interval).collect())).collect();
    let long = lists.values().map(Vec::as_slice).filter(|list| PolicyEntry::inline(list).is_none());
    let layout = Layout::new(slot, long, found);
    let mut places = BTreeMap::new();
    for (id, list) in &lists {
        let entry = PolicyEntry::inline(list).unwrap_or_else(|| {
            let run = layout.place(list);
            tables.intervals.extend((run.first..).zip(list.iter().copied()));
            PolicyEntry::indexed(run)
        });
        places.insert(*id, entry);
    }
    for row in &plan.rows {
        for (peer, set) in entries(row) {
            let unknown = || LowerError::UnknownSet { subject: row.subject, direction: row.direction, set };
            let entry = *places.get(&set).ok_or_else(unknown)?;
            let key = policy_key(slot.number(), row.subject, row.direction, peer);
            tables.policies.insert(key, entry);
        }
    }
    Ok(())
}

/// The key of what a row says of a class.
pub(crate) fn policy_key(
    slot: u32,
    subject: Identity,
    direction: model::Direction,
    peer: Class,
) -> PolicyKey {
    let direction = match direction {
        model::Direction::Ingress => Direction::Ingress,
        model::Direction::Egress => Direction::Egress,
    };
    PolicyKey { slot, subject: subject.0, peer: peer.0, direction: direction as u32 }
}

/// An interval as the tables have it.
pub(super) fn interval(interval: &selvedge_topology::plan::PlanInterval) -> Interval {
    let Decision { outcome, rule, logged } = interval.decision;
    let outcome = match outcome {
        Outcome::Denied => 0,
        Outcome::DeniedDraining => DECISION_DRAIN,
        Outcome::Allowed => DECISION_ALLOW,
        Outcome::AllowedStateless => DECISION_ALLOW | DECISION_STATELESS,
    };
    let log = if logged { DECISION_LOG } else { 0 };
    Interval { start: interval.first.number(), rule: rule.0, decision: outcome | log }
}
