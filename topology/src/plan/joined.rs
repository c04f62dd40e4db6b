//! Parts of a plan, put together; and after them the next, by what differs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use super::runs::Keyed;
use super::{Block, BlockPlan, Plan, PlanAddress, PlanIdentity, PlanRow, PlanRule, PlanSet, Runs};
use crate::identity::Identity;

/// A plan with the parts that it was put together from.
#[derive(Debug)]
pub struct Joined {
    parts: BlockPlan,
    plan: Plan,
    often: Often,
}

/// What several parts say, or one more than once: how often.
#[derive(Debug, Default)]
struct Often {
    addresses: Counts<PlanAddress>,
    rows: Counts<PlanRow>,
    sets: Counts<PlanSet>,
    rules: Counts<PlanRule>,
    identities: Counts<PlanIdentity>,
}

type Counts<T> = BTreeMap<<T as Keyed>::Key, usize>;

impl Joined {
    /// Puts the parts together, as [`BlockPlan::join`] says.
    pub fn new(parts: BlockPlan) -> Self {
        let BlockPlan { own, shared } = &parts;
        let (addresses, often_addresses) = addresses(&parts);
        let (rows, often_rows) = once(all(&own.rows, shared, |block| &block.rows));
        let (sets, often_sets) = once(all(&own.sets, shared, |block| &block.sets));
        let (rules, often_rules) = once(all(&own.rules, shared, |block| &block.rules));
        let (identities, often_identities) = once(all(&own.identities, shared, |block| &block.identities));
        let often = Often {
            addresses: often_addresses,
            rows: often_rows,
            sets: often_sets,
            rules: often_rules,
            identities: often_identities,
        };
        let plan = Plan { addresses, rows, sets, rules, identities, ..own.clone() };
        Self { parts, plan, often }
    }

    /// The whole.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The whole alone.
    pub fn into_plan(self) -> Plan {
        self.plan
    }

    /// As [`Joined::new`] of `parts`, of which these have many: takes time by what they have not. What both plans say, they share.
    ///
    /// Each list of this plan has each key once, and so has each of the next. Where `parts` contradict each other, so that it would not,
    /// they are returned.
    pub fn next(mut self, parts: BlockPlan) -> Result<Self, Box<BlockPlan>> {
        match self.lists(&parts) {
            Some(plan) => Ok(Self { parts, plan, often: self.often }),
            None => Err(parts.into()),
        }
    }

    fn lists(&mut self, parts: &BlockPlan) -> Option<Plan> {
        let Self { parts: BlockPlan { own: before, shared }, plan, often } = self;
        let [gone, new] = unshared(shared, &parts.shared);
        let own = &parts.own;
        let addresses =
            Edit::between(&before.addresses, &own.addresses, &gone, &new, |block| &block.addresses);
        let rows = Edit::between(&before.rows, &own.rows, &gone, &new, |block| &block.rows);
        let sets = Edit::between(&before.sets, &own.sets, &gone, &new, |block| &block.sets);
        let rules = Edit::between(&before.rules, &own.rules, &gone, &new, |block| &block.rules);
        let identities =
            Edit::between(&before.identities, &own.identities, &gone, &new, |block| &block.identities);
        Some(Plan {
            addresses: addresses.apply_to_addresses(&plan.addresses, &mut often.addresses, parts)?,
            rows: rows.apply(&plan.rows, &mut often.rows)?,
            sets: sets.apply(&plan.sets, &mut often.sets)?,
            rules: rules.apply(&plan.rules, &mut often.rules)?,
            identities: identities.apply(&plan.identities, &mut often.identities)?,
            ..own.clone()
        })
    }
}

/// What the parts say of one list.
fn all<'a, T: Clone>(
    own: &'a Runs<T>,
    shared: &'a [Arc<Block>],
    list: impl Fn(&'a Block) -> &'a Vec<T>,
) -> Vec<T> {
    own.iter().chain(shared.iter().flat_map(|block| list(block))).cloned().collect()
}

/// Sorts, leaves each entry once, and says of which keys there were several.
fn once<T: Keyed>(mut entries: Vec<T>) -> (Runs<T>, Counts<T>) {
    // Runs of blocks are sorted already, which this sort makes use of.
    entries.sort();
    let often = often(&entries);
    entries.dedup();
    (entries.into(), often)
}

fn often<T: Keyed>(sorted: &[T]) -> Counts<T> {
    let of_keys = sorted.chunk_by(|a, b| a.key() == b.key());
    of_keys.filter(|of_key| of_key.len() > 1).map(|of_key| (of_key[0].key(), of_key.len())).collect()
}

/// The addresses: as [`once`], but of each prefix only what counts.
fn addresses(parts: &BlockPlan) -> (Runs<PlanAddress>, Counts<PlanAddress>) {
    let mut entries = all(&parts.own.addresses, &parts.shared, |block| &block.addresses);
    entries.sort();
    let often = often(&entries);
    let mut own: BTreeMap<IpNet, Vec<PlanAddress>> = BTreeMap::new();
    for entry in parts.own.addresses.iter().filter(|entry| often.contains_key(&entry.prefix)) {
        own.entry(entry.prefix).or_default().push(entry.clone());
    }
    let mut counting = Vec::with_capacity(entries.len());
    for of_prefix in entries.chunk_by(|a, b| a.prefix == b.prefix) {
        match (of_prefix, own.remove(&of_prefix[0].prefix)) {
            ([alone], _) => counting.push(alone.clone()),
            (_, Some(own)) => counting.extend(settled(own)),
            (several, None) => counting.extend(settled(several.to_vec())),
        }
    }
    (counting.into(), often)
}

/// What counts of what is said of one prefix.
fn settled(mut of_prefix: Vec<PlanAddress>) -> Vec<PlanAddress> {
    of_prefix.sort();
    of_prefix.dedup();
    of_prefix.dedup_by(|later, earlier| {
        let is_once = is_of_an_end(later) != is_of_an_end(earlier);
        if is_once && is_of_an_end(later) {
            std::mem::swap(later, earlier);
        }
        is_once
    });
    of_prefix
}

/// Whether it is the address of a workload or node, and no CIDR or network.
fn is_of_an_end(entry: &PlanAddress) -> bool {
    entry.identity < Identity::FIRST_CIDR && entry.identity != Identity::UNKNOWN
}

/// The blocks of each of two plans that the other has not.
fn unshared<'a>(before: &'a [Arc<Block>], after: &'a [Arc<Block>]) -> [Vec<&'a Block>; 2] {
    let is_same = |(a, b): &(&Arc<Block>, &Arc<Block>)| Arc::ptr_eq(a, b);
    let first = before.iter().zip(after).take_while(is_same).count();
    let (before, after) = (&before[first..], &after[first..]);
    let last = before.iter().rev().zip(after.iter().rev()).take_while(is_same).count();
    let between = |blocks: &'a [Arc<Block>]| {
        let mut blocks: Vec<&Block> = blocks[..blocks.len() - last].iter().map(|block| &**block).collect();
        blocks.sort_unstable_by_key(|block| std::ptr::from_ref(*block));
        blocks
    };
    let mut unshared = [Vec::new(), Vec::new()];
    let (mut before, mut after) =
        (between(before).into_iter().peekable(), between(after).into_iter().peekable());
    loop {
        let at = [before.peek(), after.peek()].map(|block| block.map(|block| std::ptr::from_ref(*block)));
        match at {
            [None, None] => return unshared,
            [Some(a), Some(b)] if a == b => drop((before.next(), after.next())),
            [Some(a), Some(b)] if a > b => unshared[1].extend(after.next()),
            [None, Some(_)] => unshared[1].extend(after.next()),
            [Some(_), _] => unshared[0].extend(before.next()),
        }
    }
}

/// What is not said any more of one list, and what is new; each sorted by key.
struct Edit<'a, T> {
    gone: Vec<&'a T>,
    new: Vec<&'a T>,
}

/// What is said of one key otherwise than before.
struct OfKey<'a, T: Keyed> {
    key: T::Key,
    /// How often it was said, of which so often not any more.
    before: usize,
    gone: usize,
    new: &'a [&'a T],
}

impl<'a, T: Keyed> Edit<'a, T> {
    fn between(
        before: &'a Runs<T>,
        after: &'a Runs<T>,
        gone: &[&'a Block],
        new: &[&'a Block],
        list: impl Fn(&'a Block) -> &'a Vec<T>,
    ) -> Self {
        let is_same = before == after;
        let said = |own: &'a Runs<T>, blocks: &[&'a Block]| {
            let own = own.iter().take(if is_same { 0 } else { own.len() });
            let mut said: Vec<&T> = own.chain(blocks.iter().flat_map(|block| list(block))).collect();
            said.sort_by_key(|entry| entry.key());
            said
        };
        Self { gone: said(before, gone), new: said(after, new) }
    }

    /// Goes through the keys, and counts anew how often something is said of each. Ends where `each` says nothing.
    fn each(
        &self,
        list: &Runs<T>,
        often: &mut Counts<T>,
        mut each: impl FnMut(OfKey<'_, T>) -> Option<()>,
    ) -> Option<()> {
        let (mut gone, mut new) = (&self.gone[..], &self.new[..]);
        while let Some(key) = [gone.first(), new.first()].into_iter().flatten().map(|entry| entry.key()).min()
        {
            let (of_gone, of_new) = (of_key(&mut gone, key), of_key(&mut new, key));
            let once = || usize::from(list.with_key(&key).is_some());
            let before = often.get(&key).copied().unwrap_or_else(once);
            match before - of_gone.len() + of_new.len() {
                0 | 1 => often.remove(&key),
                several => often.insert(key, several),
            };
            each(OfKey { key, before, gone: of_gone.len(), new: of_new })?;
        }
        Some(())
    }

    /// The list as it is after that; none where something else is said of one thing.
    fn apply(&self, list: &Runs<T>, often: &mut Counts<T>) -> Option<Runs<T>> {
        let mut edits = BTreeMap::new();
        self.each(list, often, |OfKey { key, before, gone, new }| {
            let now = new.first();
            if new.iter().any(|entry| Some(entry) != now) {
                return None;
            }
            let (was, stays) = (list.with_key(&key), before > gone);
            match now {
                None if stays => {}
                None => drop(edits.insert(key, None)),
                Some(now) if was == Some(now) => {}
                Some(_) if stays => return None,
                Some(now) => drop(edits.insert(key, Some((*now).clone()))),
            }
            Some(())
        })?;
        Some(list.edited(edits))
    }
}

/// Takes the entries with that key from the front.
fn of_key<'a, T: Keyed>(rest: &mut &'a [&'a T], key: T::Key) -> &'a [&'a T] {
    let count = rest.iter().take_while(|entry| entry.key() == key).count();
    let (of_key, behind) = rest.split_at(count);
    *rest = behind;
    of_key
}

impl Edit<'_, PlanAddress> {
    /// As [`Edit::apply`]; but of a prefix, several may say something, of which one thing counts.
    fn apply_to_addresses(
        &self,
        list: &Runs<PlanAddress>,
        often: &mut Counts<PlanAddress>,
        parts: &BlockPlan,
    ) -> Option<Runs<PlanAddress>> {
        let (mut said, mut crowded) = (BTreeMap::new(), BTreeSet::new());
        self.each(list, often, |OfKey { key, before, gone, new }| {
            if before == gone && new.len() < 2 {
                said.insert(key, new.iter().copied().cloned().collect());
            } else {
                crowded.insert(key);
            }
            Some(())
        })?;
        said.extend(said_of(&crowded, parts));
        let mut edits = BTreeMap::new();
        for (prefix, of_prefix) in said {
            let mut counting = settled(of_prefix);
            let now = counting.pop();
            if !counting.is_empty() {
                return None;
            }
            if now.as_ref() != list.with_key(&prefix) {
                edits.insert(prefix, now);
            }
        }
        Some(list.edited(edits))
    }
}

/// All that is said of some prefixes that can count.
fn said_of(prefixes: &BTreeSet<IpNet>, parts: &BlockPlan) -> BTreeMap<IpNet, Vec<PlanAddress>> {
    let mut said: BTreeMap<IpNet, Vec<PlanAddress>> = BTreeMap::new();
    if prefixes.is_empty() {
        return said;
    }
    let mut enter = |entry: &PlanAddress| said.entry(entry.prefix).or_default().push(entry.clone());
    let is_asked = |entry: &&PlanAddress| prefixes.contains(&entry.prefix);
    parts.own.addresses.iter().filter(is_asked).for_each(&mut enter);
    let own: BTreeSet<IpNet> =
        parts.own.addresses.iter().filter(is_asked).map(|entry| entry.prefix).collect();
    let shared = parts.shared.iter().flat_map(|block| &block.addresses);
    shared.filter(is_asked).filter(|entry| !own.contains(&entry.prefix)).for_each(enter);
    said
}

#[cfg(test)]
mod tests;
