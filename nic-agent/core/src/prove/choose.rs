//! Which packets: of every class while there are few, else of a sample that leaves nothing out that could be wrong alone.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use selvedge_abi::Reason;
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::l4::{L4Key, L4Range, Protocol};
use selvedge_topology::model::{Direction, PortRole};
use selvedge_topology::plan::{Plan, PlanRow, PlanSet, PolicyIndex, SetId};

use super::ends::{End, Ends, Place, Wanted};
use super::expect::{Known, Route};
use super::keys::{any_key, ends_of, keys, starts};
use super::packet::Packet;
use super::part::Part;
use super::{Case, Expected};
use crate::change::Touched;
use crate::machine::{IfIndex, Machine};
use crate::reconcile::Hook;

/// Classes up to which all are tried.
pub const LIMIT: usize = 1 << 14;
/// Classes up to which all are tried whatever was touched.
const FEW: u64 = 1 << 8;
/// Users of a decision list that are looked at for one that a packet can be of.
const USERS: usize = 4;
/// Most packets inside of an interval, and the number of classes that would have one each.
const INSIDE: usize = 16;
/// The port of the discard protocol, RFC 863: any would do.
const DISCARD: u16 = 9;
/// Pairs of addresses that are looked at for one that a packet can run between.
const PAIRS: usize = 8;

/// What a trial covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Classes of the plan.
    pub of: u64,
    /// Classes that are tried.
    pub classes: u64,
    /// Classes that were looked at and that no packet can be of: no address has the class, the keys are of protocols that are
    /// not carried, or nothing of it comes past a port.
    pub skipped: u64,
    /// Packets.
    pub packets: u64,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, classes, skipped, packets } = self;
        write!(f, "{packets} packets of {classes} of {of} classes")?;
        if *skipped > 0 { write!(f, "; no packet can be of {skipped} more") } else { Ok(()) }
    }
}

/// Chooses packets: for what was touched and a sample of the rest, another one each `turn`; or, where little is, for at most about
/// `limit` classes, beyond those that a sample must have.
pub(super) fn choose(
    plan: &Plan,
    machine: &Machine,
    turn: u64,
    (touched, limit): (&Touched, usize),
) -> (Vec<Case>, Coverage) {
    if let Touched::Only(change) = touched {
        let part = Part::of(plan, change, turn);
        if part.of > FEW.min(limit as u64) {
            return part.choose(plan, machine);
        }
    }
    let mut chooser = Chooser::whole(plan, machine);
    if chooser.coverage.of <= limit as u64 {
        chooser.everything();
    } else {
        chooser.every_interval();
        chooser.policy_entries(limit);
        chooser.every_class();
        chooser.more(limit);
    }
    chooser.remaining_ends(limit);
    chooser.coverage.packets = chooser.cases.len() as u64;
    (chooser.cases, chooser.coverage)
}

pub(super) struct Chooser<'p> {
    pub(super) rows: Vec<&'p PlanRow>,
    pub(super) index: PolicyIndex<'p>,
    pub(super) ends: Ends,
    /// Every class that an address or a row names; none of a part.
    classes: Vec<Class>,
    /// A port that faces the fabric.
    pub(super) outside: Option<IfIndex>,
    visited: HashSet<(usize, Class, usize)>,
    /// Ends that are in a packet.
    used: Vec<bool>,
    /// Counts up, so that all that can be taken in turn is.
    pub(super) turn: usize,
    /// Keys at which a list begins an interval, ascending, by family.
    starts: [Vec<L4Key>; 2],
    /// How many of them are tried inside of each interval.
    pub(super) inside: usize,
    pub(super) cases: Vec<Case>,
    pub(super) coverage: Coverage,
}

impl<'p> Chooser<'p> {
    pub(super) fn new(plan: &'p Plan, machine: &Machine, wanted: Wanted<'_>, keys: &BTreeSet<L4Key>) -> Self {
        let (index, ends) = (PolicyIndex::new(plan), Ends::new(plan, machine, wanted));
        let outside = plan.ports.iter().filter(|port| port.role != PortRole::Workload);
        let outside = outside.filter_map(|port| machine.port(&port.name)).map(|port| port.index).next();
        let used = vec![false; ends.all.len()];
        Self {
            rows: plan.rows.iter().collect(),
            index,
            ends,
            classes: Vec::new(),
            outside,
            visited: HashSet::new(),
            used,
            turn: 0,
            starts: [0, 1].map(|family| starts(plan, keys, family)),
            inside: INSIDE,
            cases: Vec::new(),
            coverage: Coverage::default(),
        }
    }

    /// For all of a plan.
    fn whole(plan: &'p Plan, machine: &Machine) -> Self {
        let mut whole = Self::new(plan, machine, Wanted::All, &BTreeSet::new());
        let named = plan.rows.iter().flat_map(|row| &row.peers).map(|(class, _)| *class);
        whole.classes = whole.ends.classes.keys().copied().chain(named).collect();
        whole.classes.sort_unstable();
        whole.classes.dedup();
        whole.coverage.of = plan.rows.iter().map(|row| size(whole.index, row, &whole.classes)).sum();
        whole.inside = (LIMIT as u64 / whole.coverage.of.max(1)).clamp(1, INSIDE as u64) as usize;
        whole
    }

    pub(super) fn set(&self, row: usize, peer: Class) -> Option<&'p PlanSet> {
        self.index.set(self.rows[row], peer)
    }

    fn everything(&mut self) {
        for row in 0..self.rows.len() {
            for peer in self.classes.clone() {
                let intervals = self.set(row, peer).map_or(0, |set| set.intervals.len());
                for interval in 0..intervals {
                    self.visit(row, peer, interval);
                }
            }
        }
    }

    /// Each interval of each list, and so each rule, by one of those that use it.
    fn every_interval(&mut self) {
        let mut users: BTreeMap<SetId, Vec<(usize, Class)>> = BTreeMap::new();
        for (number, row) in self.rows.iter().copied().enumerate() {
            let default = unnamed(row, &self.classes).filter(|class| self.meet(row, *class)).take(USERS);
            let named = row.peers.iter().map(|(class, _)| *class).filter(|class| self.meet(row, *class));
            for class in default.chain(named) {
                let Some(set) = self.index.set(row, class) else { continue };
                let known = users.entry(set.id).or_default();
                if known.len() < USERS {
                    known.push((number, class));
                }
            }
        }
        for users in users.into_values() {
            let intervals = self.set(users[0].0, users[0].1).map_or(0, |set| set.intervals.len());
            for interval in 0..intervals {
                // One that can be of a packet is enough.
                let _ = users.iter().any(|(row, peer)| self.visit(*row, *peer, interval));
            }
        }
    }

    /// Whether a packet may run between workloads of the row and addresses of the class.
    fn meet(&self, row: &PlanRow, class: Class) -> bool {
        let (subjects, peers) = (self.ends.subjects.get(&row.subject), self.ends.classes.get(&class));
        subjects.zip(peers).is_some_and(|(s, p)| (0..2).any(|of| !s[of].is_empty() && !p[of].is_empty()))
    }

    /// Each class that a row names, or `limit` of them spread evenly: each is an entry that could be missing.
    fn policy_entries(&mut self, limit: usize) {
        let named = self
            .rows
            .iter()
            .enumerate()
            .flat_map(|(row, of)| of.peers.iter().map(move |(class, _)| (row, *class)));
        let named: Vec<(usize, Class)> = named.collect();
        for (row, peer) in spread(&named, limit) {
            self.visit_in_turn(row, peer);
        }
    }

    fn every_class(&mut self) {
        let rows = self.rows.len().max(1);
        for step in 0..self.classes.len().max(self.rows.len()) {
            let peer = self.classes[step % self.classes.len()];
            self.visit_in_turn(step % rows, peer);
        }
    }

    /// Others, far from each other, until there are `limit`.
    fn more(&mut self, limit: usize) {
        /// 2^64 divided by the golden ratio: its multiples are spread evenly over all numbers.
        const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;
        let (rows, classes) = (self.rows.len(), self.classes.len());
        for step in 0..2 * limit as u64 {
            if self.coverage.classes >= limit as u64 {
                break;
            }
            let number = (step.wrapping_mul(STRIDE) >> 32) as usize;
            self.visit_in_turn(number % rows, self.classes[number / rows % classes]);
        }
    }

    fn visit_in_turn(&mut self, row: usize, peer: Class) {
        let Some(set) = self.set(row, peer) else { return };
        let interval = self.turn % set.intervals.len().max(1);
        self.visit(row, peer, interval);
    }

    /// Adds the packets of a class, if it was not visited before; whether it has any.
    pub(super) fn visit(&mut self, row: usize, peer: Class, interval: usize) -> bool {
        if !self.visited.insert((row, peer, interval)) {
            return false;
        }
        let before = self.cases.len();
        let of = self.rows[row];
        if let Some(set) = self.set(row, peer)
            && let Some(keys) = keys(set, interval)
        {
            let known = Known { subject: of.subject, direction: of.direction, peer, set };
            for family in 0..2 {
                let subjects = self.ends.subjects.get(&of.subject).map(|of| &of[family][..]);
                let both = subjects.zip(self.ends.classes.get(&peer).map(|of| &of[family][..]));
                for key in ends_of(keys, family).chain(self.inside(keys, family)) {
                    self.turn += 1;
                    let pair = both.and_then(|both| self.pair(of.direction, both));
                    let Some(((subject, peer), route)) = pair else { continue };
                    (self.used[subject], self.used[peer]) = (true, true);
                    let case = self.case_on(route, key, Some(known));
                    self.cases.push(case);
                }
            }
        }
        let any = self.cases.len() > before;
        *if any { &mut self.coverage.classes } else { &mut self.coverage.skipped } += 1;
        any
    }

    /// Keys inside of an interval where other lists begin one, in turn: an entry that points at another list shows there.
    fn inside(&self, keys: L4Range, family: usize) -> Vec<L4Key> {
        let starts = &self.starts[family];
        let from = starts.partition_point(|start| *start <= keys.first);
        let within = &starts[from..starts.partition_point(|start| *start < keys.last).max(from)];
        let count = within.len().min(self.inside);
        (0..count).map(|step| within[(self.turn + step) % within.len()]).collect()
    }

    /// Of the workloads of a row and the peers of a class, those whose turn it is and that a packet can run between.
    fn pair(
        &self,
        direction: Direction,
        (subjects, peers): (&[usize], &[usize]),
    ) -> Option<((usize, usize), Route)> {
        if subjects.is_empty() || peers.is_empty() {
            return None;
        }
        (self.turn..self.turn + PAIRS).find_map(|turn| {
            // Where both lists are long, every workload meets every peer in the end.
            let lap = turn / peers.len();
            let pair = (subjects[(turn + lap) % subjects.len()], peers[turn % peers.len()]);
            Some((pair, self.route(direction, pair)?))
        })
    }

    pub(super) fn case(&mut self, row: usize, subject: usize, peer: usize, key: L4Key) -> Option<Case> {
        let route = self.route(self.rows[row].direction, (subject, peer))?;
        (self.used[subject], self.used[peer]) = (true, true);
        Some(self.case_on(route, key, None))
    }

    /// Every address that no packet had yet, or `limit` of them spread evenly.
    fn remaining_ends(&mut self, limit: usize) {
        let rest: Vec<usize> = (0..self.used.len()).filter(|index| !self.used[*index]).collect();
        for index in spread(&rest, limit) {
            self.turn += 1;
            let case = self.case_of(index).or_else(|| self.case_of_the_node(index));
            self.cases.extend(case);
        }
    }

    /// A packet to or from one end, with workloads of the rows in turn.
    pub(super) fn case_of(&mut self, index: usize) -> Option<Case> {
        let end = self.ends.all[index];
        let family = usize::from(end.address.is_ipv6());
        let rows = self.rows.len();
        for row in (self.turn..self.turn + rows.min(PAIRS)).map(|turn| turn % rows) {
            let subjects = self.ends.subjects.get(&self.rows[row].subject).map(|of| &of[family]);
            let Some(subjects) = subjects.filter(|subjects| !subjects.is_empty()) else { continue };
            let subject = subjects[self.turn % subjects.len()];
            let Some(key) = self.set(row, end.class).and_then(|set| any_key(set, self.turn, family)) else {
                continue;
            };
            if let Some(case) = self.case(row, subject, index, key) {
                return Some(case);
            }
        }
        None
    }

    /// A packet that the node sends from one of its addresses, to where no policy of its has a say.
    pub(super) fn case_of_the_node(&self, index: usize) -> Option<Case> {
        let source = self.ends.all[index];
        if source.identity != Identity::HOST {
            return None;
        }
        let is_away = |end: &&End| end.place == Place::Away && end.identity != Identity::HOST;
        let mut away = self.ends.all.iter().filter(is_away);
        let destination = away.find(|end| end.address.is_ipv4() == source.address.is_ipv4())?;
        let key = L4Key::new(Protocol::UDP, DISCARD);
        let packet = Packet { source: source.address, destination: destination.address, key };
        let identities = [source.identity, destination.identity];
        let expected =
            Expected { reason: Reason::FromNode, rule: None, other: None, logged: false, identities };
        Some(Case { packet, hook: Hook::Egress, port: self.outside?, expected, asked: [None; 2] })
    }
}

/// The number of classes of a row, of all `classes`, without walking them.
pub(super) fn size(index: PolicyIndex<'_>, row: &PlanRow, classes: &[Class]) -> u64 {
    let intervals = |class| index.set(row, class).map_or(0, |set| set.intervals.len() as u64);
    let named: u64 = row.peers.iter().map(|(class, _)| intervals(*class)).sum();
    let others = unnamed(row, classes).next().map_or(0, intervals);
    named + others * (classes.len() as u64).saturating_sub(row.peers.len() as u64)
}

/// Those of `classes` that a row's default is for.
pub(super) fn unnamed<'a>(row: &'a PlanRow, classes: &'a [Class]) -> impl Iterator<Item = Class> + use<'a> {
    let is_named = |class: &Class| row.peers.binary_search_by_key(class, |(named, _)| *named).is_ok();
    classes.iter().copied().filter(move |class| !is_named(class))
}

/// At most `limit` of `all`, spread evenly.
pub(super) fn spread<T: Copy>(all: &[T], limit: usize) -> Vec<T> {
    let count = all.len().min(limit);
    (0..count).map(|step| all[step * all.len() / count]).collect()
}
