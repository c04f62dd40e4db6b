//! Lists in runs that copies share: an edit makes anew the runs that it touches, and whoever compares two lists skips those that both
//! have.

use std::collections::BTreeMap;
use std::iter::FlatMap;
use std::ops::{Deref, DerefMut, Index, IndexMut, Range};
use std::sync::Arc;
use std::{fmt, slice};

use ipnet::IpNet;

use super::{PlanAddress, PlanIdentity, PlanRow, PlanRule, PlanSet, SetId};
use crate::identity::Identity;
use crate::model::{Direction, RuleId};

/// Entries of a run at most.
const MOST: usize = 128;
/// Entries below which an edited run takes in the next one.
const LEAST: usize = 32;

/// What the entries of a list are sorted by. Their order as a whole begins with it.
pub trait Keyed: Clone + Ord {
    /// What tells them apart.
    type Key: Ord + Copy;

    /// That of one.
    fn key(&self) -> Self::Key;
}

impl Keyed for PlanAddress {
    type Key = IpNet;

    fn key(&self) -> IpNet {
        self.prefix
    }
}

impl Keyed for PlanRow {
    type Key = (Identity, Direction);

    fn key(&self) -> (Identity, Direction) {
        (self.subject, self.direction)
    }
}

impl Keyed for PlanSet {
    type Key = SetId;

    fn key(&self) -> SetId {
        self.id
    }
}

impl Keyed for PlanRule {
    type Key = RuleId;

    fn key(&self) -> RuleId {
        self.id
    }
}

impl Keyed for PlanIdentity {
    type Key = Identity;

    fn key(&self) -> Identity {
        self.identity
    }
}

/// A list. As a type it promises no order; what looks for keys, or compares by them, needs the lists of a plan.
#[derive(Clone)]
pub struct Runs<T> {
    /// None is empty.
    runs: Vec<Run<T>>,
}

struct Run<T> {
    /// How many entries there are in runs before it.
    before: usize,
    entries: Arc<[T]>,
}

impl<T> Clone for Run<T> {
    fn clone(&self) -> Self {
        Self { before: self.before, entries: Arc::clone(&self.entries) }
    }
}

impl<T> Runs<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.runs.last().map_or(0, |run| run.before + run.entries.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The entry at a place.
    pub fn get(&self, place: usize) -> Option<&T> {
        let run = self.runs.get(self.run_of(place)?)?;
        run.entries.get(place - run.before)
    }

    /// The first.
    pub fn first(&self) -> Option<&T> {
        self.get(0)
    }

    /// All, in order.
    pub fn iter(&self) -> Iter<'_, T> {
        let entries: fn(&Run<T>) -> &[T] = |run| &run.entries;
        Iter(self.runs.iter().flat_map(entries))
    }

    /// All, run by run.
    pub fn slices(&self) -> Vec<&[T]> {
        self.runs.iter().map(|run| &*run.entries).collect()
    }

    /// All from a place on, in order.
    pub fn iter_from(&self, place: usize) -> impl Iterator<Item = &T> {
        let first = self.run_of(place).unwrap_or_default();
        let before = self.runs.get(first).map_or(0, |run| run.before);
        self.runs[first..].iter().flat_map(|run| run.entries.iter()).skip(place - before)
    }

    /// The first place in a range of them where `holds` does not hold; it does at all before that, and at none behind.
    pub fn partition_point(&self, places: Range<usize>, holds: impl Fn(&T) -> bool) -> usize {
        let Range { start: mut first, mut end } = places;
        while first < end {
            let middle = first + (end - first) / 2;
            if self.get(middle).is_some_and(&holds) { first = middle + 1 } else { end = middle }
        }
        first
    }

    fn run_of(&self, place: usize) -> Option<usize> {
        self.runs.partition_point(|run| run.before <= place).checked_sub(1)
    }

    fn share(&mut self, entries: Arc<[T]>) {
        if !entries.is_empty() {
            self.runs.push(Run { before: self.len(), entries });
        }
    }
}

impl<T: Clone> Runs<T> {
    /// All, copied.
    pub fn to_vec(&self) -> Vec<T> {
        self.iter().cloned().collect()
    }

    /// All, to be changed one by one.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.runs.iter_mut().flat_map(|run| Arc::make_mut(&mut run.entries))
    }

    /// All, copied, to be changed at will: they are in place of these when that is dropped.
    pub fn edit(&mut self) -> Editing<'_, T> {
        Editing { entries: self.to_vec(), list: self }
    }

    /// Adds `entries` behind those of all runs, in runs of about the same length.
    fn cut(&mut self, entries: &mut Vec<T>) {
        let count = entries.len().div_ceil(MOST).max(1);
        let length = entries.len().div_ceil(count).max(1);
        let mut rest = entries.drain(..).peekable();
        while rest.peek().is_some() {
            self.share(rest.by_ref().take(length).collect());
        }
    }
}

/// The entries of a list that is changed as a whole.
pub struct Editing<'a, T: Clone> {
    list: &'a mut Runs<T>,
    entries: Vec<T>,
}

impl<T: Clone> Deref for Editing<'_, T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.entries
    }
}

impl<T: Clone> DerefMut for Editing<'_, T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.entries
    }
}

impl<T: Clone> Drop for Editing<'_, T> {
    fn drop(&mut self) {
        *self.list = std::mem::take(&mut self.entries).into();
    }
}

impl<T: Keyed> Runs<T> {
    /// The entry with that key.
    pub fn with_key(&self, key: &T::Key) -> Option<&T> {
        let (run, place) = self.find(key)?;
        run.entries.get(place)
    }

    /// The place of the entry with that key.
    pub fn place_of(&self, key: &T::Key) -> Option<usize> {
        let (run, place) = self.find(key)?;
        Some(run.before + place)
    }

    fn find(&self, key: &T::Key) -> Option<(&Run<T>, usize)> {
        let run = self.runs.partition_point(|run| run.entries.last().is_some_and(|last| last.key() < *key));
        let run = self.runs.get(run)?;
        let place = run.entries.binary_search_by(|entry| entry.key().cmp(key)).ok()?;
        Some((run, place))
    }

    /// As it is when under each key of `edits` there is what that says. Both lists have each key once.
    pub(super) fn edited(&self, edits: BTreeMap<T::Key, Option<T>>) -> Self {
        if edits.is_empty() {
            return self.clone();
        }
        let mut edited = Self { runs: Vec::with_capacity(self.runs.len() + 2) };
        let (mut edits, mut open) = (edits.into_iter().peekable(), Vec::new());
        for run in &self.runs {
            let last = run.entries.last().map(Keyed::key);
            let is_touched = edits.peek().is_some_and(|(key, _)| Some(*key) <= last);
            if !is_touched && (open.is_empty() || open.len() >= LEAST) {
                edited.cut(&mut open);
                edited.share(Arc::clone(&run.entries));
                continue;
            }
            for entry in run.entries.iter() {
                while let Some((_, edit)) = edits.next_if(|(key, _)| *key < entry.key()) {
                    open.extend(edit);
                }
                match edits.next_if(|(key, _)| *key == entry.key()) {
                    Some((_, edit)) => open.extend(edit),
                    None => open.push(entry.clone()),
                }
            }
        }
        open.extend(edits.filter_map(|(_, edit)| edit));
        edited.cut(&mut open);
        edited
    }

    /// The runs of each of two lists that the other has not. Both have each key once: an entry that is in none of these runs is the
    /// same in both.
    pub fn unshared<'a>(before: &'a Self, after: &'a Self) -> [Vec<&'a [T]>; 2] {
        let mut unshared = [Vec::new(), Vec::new()];
        let (mut ours, mut theirs) = (before.runs.iter().peekable(), after.runs.iter().peekable());
        loop {
            let (a, b) = (ours.peek(), theirs.peek());
            if let (Some(a), Some(b)) = (a, b)
                && Arc::ptr_eq(&a.entries, &b.entries)
            {
                ours.next();
                theirs.next();
                continue;
            }
            // The run that ends first can't come later in the other list.
            let [a, b] = [a, b].map(|run| run.and_then(|run| run.entries.last()).map(Keyed::key));
            let goes = match (a, b) {
                (None, None) => return unshared,
                (Some(_), None) => [true, false],
                (None, Some(_)) => [false, true],
                (Some(a), Some(b)) => [a <= b, b <= a],
            };
            let runs = [ours.next_if(|_| goes[0]), theirs.next_if(|_| goes[1])];
            for (unshared, run) in unshared.iter_mut().zip(runs) {
                unshared.extend(run.map(|run| &*run.entries));
            }
        }
    }
}

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self { runs: Vec::new() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Runs<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: PartialEq> PartialEq for Runs<T> {
    /// Wherever they are cut.
    fn eq(&self, other: &Self) -> bool {
        let is_same = |(a, b): (&Run<T>, &Run<T>)| Arc::ptr_eq(&a.entries, &b.entries);
        let shared = self.runs.iter().zip(&other.runs).take_while(|pair| is_same(*pair)).count();
        let rest = |list: &Self| list.runs.get(shared).map_or(list.len(), |run| run.before);
        self.len() == other.len() && self.iter_from(rest(self)).eq(other.iter_from(rest(other)))
    }
}

impl<T: Eq> Eq for Runs<T> {}

impl<T> Index<usize> for Runs<T> {
    type Output = T;

    fn index(&self, place: usize) -> &T {
        let run = &self.runs[self.run_of(place).unwrap_or_default()];
        &run.entries[place - run.before]
    }
}

impl<T: Clone> IndexMut<usize> for Runs<T> {
    fn index_mut(&mut self, place: usize) -> &mut T {
        let run = self.run_of(place).unwrap_or_default();
        let Run { before, entries } = &mut self.runs[run];
        &mut Arc::make_mut(entries)[place - *before]
    }
}

impl<T: Clone> From<Vec<T>> for Runs<T> {
    fn from(mut entries: Vec<T>) -> Self {
        let mut runs = Self::default();
        runs.cut(&mut entries);
        runs
    }
}

impl<T: Clone, const N: usize> From<[T; N]> for Runs<T> {
    fn from(entries: [T; N]) -> Self {
        Vec::from(entries).into()
    }
}

impl<T: Clone> FromIterator<T> for Runs<T> {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        Vec::from_iter(entries).into()
    }
}

/// The entries of a list, in order.
pub struct Iter<'a, T>(Flat<'a, T>);

type Flat<'a, T> = FlatMap<slice::Iter<'a, Run<T>>, &'a [T], fn(&'a Run<T>) -> &'a [T]>;

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        self.0.next()
    }

    fn fold<B, F: FnMut(B, &'a T) -> B>(self, first: B, fold: F) -> B {
        self.0.fold(first, fold)
    }
}

impl<T> DoubleEndedIterator for Iter<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back()
    }
}

impl<'a, T> IntoIterator for &'a Runs<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
