//! The rows of both models, so that what differs between two is found without looking at all peers.

use std::collections::HashMap;

use super::ends::{Both, End, Taken};
use crate::compile::{CompileError, Compiler};
use crate::identity::{Class, Identity};
use crate::model::Direction;
use crate::plan::{PlanRow, PlanSet, SetId};

/// A decision list of either model; none where nobody enforces.
pub(crate) type List = Option<u32>;

/// A row: its default and the classes that differ from it, sorted.
#[derive(Debug)]
struct Row {
    default: u32,
    peers: Vec<(Class, u32)>,
}

impl Row {
    fn list(&self, class: Class) -> u32 {
        let named = self.peers.binary_search_by_key(&class, |(named, _)| *named);
        named.map_or(self.default, |place| self.peers[place].1)
    }
}

/// Rows by subject and direction, and the lists that they name.
#[derive(Debug, Default)]
pub(crate) struct Rows<'c> {
    rows: Both<HashMap<(Identity, Direction), Row>>,
    lists: Vec<&'c PlanSet>,
    by_id: HashMap<SetId, u32>,
}

/// An end, and what a row of before and one of after say of it.
pub(super) type Differing = (usize, Both<List>);

impl<'c> Rows<'c> {
    pub(crate) fn of(compilers: &'c Both<Compiler>) -> Result<Self, CompileError> {
        let mut all = Self::default();
        for (side, compiler) in compilers.iter().enumerate() {
            for (subject, block) in compiler.subjects() {
                for set in &block.sets {
                    all.enter(set)?;
                }
                for PlanRow { direction, default, peers, .. } in &block.rows {
                    let peers = peers.iter().map(|(class, set)| (*class, all.by_id[set])).collect();
                    let row = Row { default: all.by_id[default], peers };
                    all.rows[side].insert((subject, *direction), row);
                }
            }
        }
        Ok(all)
    }

    fn enter(&mut self, set: &'c PlanSet) -> Result<(), CompileError> {
        let next = u32::try_from(self.lists.len()).unwrap_or(u32::MAX);
        let number = *self.by_id.entry(set.id).or_insert(next);
        match self.lists.get(number as usize) {
            Some(held) if *held != set => return Err(CompileError::SetCollision { id: set.id }),
            Some(_) => {}
            None => self.lists.push(set),
        }
        Ok(())
    }

    /// A list's content.
    pub(crate) fn list(&self, list: List) -> Option<&'c PlanSet> {
        list.and_then(|list| self.lists.get(list as usize)).copied()
    }

    /// What `subject` says of `peer` in `direction`, in both models.
    pub(crate) fn between(&self, subject: &End<'_>, direction: Direction, peer: &End<'_>) -> Both<List> {
        [0, 1].map(|side: usize| {
            Some(self.row(side, subject.taken[side].identity, direction)?.list(peer.taken[side].class))
        })
    }

    /// Whether `taken` are enforced for in any of both models.
    pub(crate) fn has(&self, taken: Both<Taken>) -> bool {
        (0..2).any(|side| self.row(side, taken[side].identity, Direction::Ingress).is_some())
    }

    fn row(&self, side: usize, subject: Identity, direction: Direction) -> Option<&Row> {
        self.rows[side].get(&(subject, direction))
    }

    /// The ends of which the rows of `subject` say another thing before than after.
    pub(super) fn differing(
        &self,
        subject: Both<Taken>,
        direction: Direction,
        index: &Index,
    ) -> Vec<Differing> {
        let rows = [0, 1].map(|side: usize| self.row(side, subject[side].identity, direction));
        let lists =
            |end: usize| [0, 1].map(|side: usize| rows[side].map(|row| row.list(index.classes[end][side])));
        let defaults = rows.map(|row| row.map(|row| row.default));
        let differs = |end: usize| Some((end, lists(end))).filter(|(_, [before, after])| before != after);
        if defaults[0] != defaults[1] {
            return (0..index.classes.len()).filter_map(differs).collect();
        }
        let named = (0..2).flat_map(|side| {
            let peers = rows[side].into_iter().flat_map(|row| &row.peers);
            peers.filter_map(move |(class, _)| index.by_class[side].get(class)).flatten()
        });
        let mut ends: Vec<usize> = named.copied().collect();
        ends.sort_unstable();
        ends.dedup();
        ends.into_iter().filter_map(differs).collect()
    }
}

/// Ends by their classes.
pub(super) struct Index {
    by_class: Both<HashMap<Class, Vec<usize>>>,
    classes: Vec<Both<Class>>,
}

impl Index {
    pub(super) fn of(ends: &[End<'_>]) -> Self {
        let classes: Vec<Both<Class>> = ends.iter().map(|end| end.taken.map(|taken| taken.class)).collect();
        let by_class = [0, 1].map(|side: usize| {
            let mut by_class: HashMap<Class, Vec<usize>> = HashMap::new();
            for (end, classes) in classes.iter().enumerate() {
                by_class.entry(classes[side]).or_default().push(end);
            }
            by_class
        });
        Self { by_class, classes }
    }
}
