//! Which packets, where a part of a slot only may be wrong: the rest was proven, and was not written since.
//!
//! What was touched is tried as a sample of everything would try it. Of the rest, a few are tried each time, others each time, so that
//! nothing is out of sight for ever.

use std::collections::BTreeSet;

use ipnet::IpNet;
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::l4::L4Key;
use selvedge_topology::model::Direction;
use selvedge_topology::plan::{Plan, PolicyIndex};

use super::Case;
use super::choose::{Chooser, Coverage, size, unnamed};
use super::classes::named;
use super::ends::Wanted;
use super::keys::any_key;
use crate::change::Change;
use crate::lower::ROW_DEFAULT;
use crate::machine::Machine;

/// Addresses, and policies, of the rest that are tried each time.
const SAMPLE: usize = 64;
/// Intervals beside which there are no more packets inside of each.
const BUDGET: usize = 1 << 10;
/// Most packets inside of an interval.
const INSIDE: usize = 16;
/// Most packets of an address.
const OF_ADDRESS: usize = 8;

/// What is tried of a plan.
pub(super) struct Part {
    /// Classes of the whole plan.
    pub(super) of: u64,
    /// Policies: the place of the row, and the class.
    entries: BTreeSet<(usize, Class)>,
    /// Places of rows of which the default is.
    defaults: Vec<usize>,
    /// Classes that have to have an address.
    classes: BTreeSet<Class>,
    /// Prefixes that were touched, and some of the rest.
    prefixes: BTreeSet<IpNet>,
    /// Keys to be tried besides those at which intervals begin.
    keys: BTreeSet<L4Key>,
    /// The first of the plan's addresses whose turn it is.
    from: usize,
}

impl Part {
    /// What `change` touched, and the `turn`-th sample of the rest.
    pub(super) fn of(plan: &Plan, change: &Change, turn: u64) -> Self {
        let index = PolicyIndex::new(plan);
        let all = named(plan);
        let of = plan.rows.iter().map(|row| size(index, row, &all)).sum();
        let entries: Vec<(usize, Class)> = plan
            .rows
            .iter()
            .enumerate()
            .flat_map(|(row, of)| of.peers.iter().map(move |(class, _)| (row, *class)))
            .collect();
        let turn_of = |all: usize| (turn.wrapping_mul(SAMPLE as u64) % all.max(1) as u64) as usize;
        let mut part = Self {
            of,
            entries: entries[turn_of(entries.len())..].iter().chain(&entries).take(SAMPLE).copied().collect(),
            defaults: Vec::new(),
            classes: BTreeSet::from([Identity::WORLD.into()]),
            prefixes: change.addresses.clone(),
            keys: change.keys.clone(),
            from: turn_of(plan.addresses.len()),
        };
        for (subject, direction, class) in &change.policies {
            // Nobody is the subject of a row that is no more.
            let Some(row) = index.row(*subject, *direction) else { continue };
            match *class {
                ROW_DEFAULT => part.defaults.push(row),
                class => part.entries.extend([(row, class)]),
            }
        }
        part.classes.extend(part.entries.iter().map(|(_, class)| *class));
        let count = plan.addresses.len().min(SAMPLE);
        for entry in plan.addresses.iter_from(part.from).chain(&plan.addresses).take(count) {
            part.prefixes.insert(entry.prefix);
            part.classes.insert(entry.class);
        }
        part
    }

    /// Its packets.
    pub(super) fn choose(&self, plan: &Plan, machine: &Machine) -> (Vec<Case>, Coverage) {
        let wanted = Wanted::Some { classes: &self.classes, prefixes: &self.prefixes, from: self.from };
        let mut chooser = Chooser::new(plan, machine, wanted, &self.keys);
        let classes: Vec<Class> = self.classes.iter().copied().collect();
        let policies: Vec<(usize, Vec<Class>)> = self
            .entries
            .iter()
            .map(|(row, class)| (*row, vec![*class]))
            .chain(self.defaults.iter().map(|row| (*row, unnamed(&plan.rows[*row], &classes).collect())))
            .collect();
        let count = |(row, classes): &(usize, Vec<Class>)| {
            classes.first().and_then(|class| chooser.set(*row, *class)).map_or(0, |set| set.intervals.len())
        };
        let intervals: Vec<usize> = policies.iter().map(count).collect();
        chooser.inside = (BUDGET / intervals.iter().sum::<usize>().max(1)).clamp(1, INSIDE);
        for ((row, classes), intervals) in policies.iter().zip(intervals) {
            for interval in 0..intervals {
                // One that can be of a packet is enough.
                let _ = classes.iter().any(|class| chooser.visit(*row, *class, interval));
            }
        }
        chooser.addresses();
        chooser.coverage.of = self.of;
        chooser.coverage.packets = chooser.cases.len() as u64;
        (chooser.cases, chooser.coverage)
    }
}

impl Chooser<'_> {
    /// Packets of each address that is asked for: of those behind this node as themselves.
    fn addresses(&mut self) {
        let asked = self.ends.of_prefixes.clone();
        let each = (BUDGET / asked.len().max(1)).clamp(1, OF_ADDRESS);
        for index in asked {
            for _ in 0..each {
                self.turn += 1;
                let case = match self.ends.all[index].is_local() {
                    true => self.case_by(index),
                    false => self.case_of(index).or_else(|| self.case_of_the_node(index)),
                };
                self.cases.extend(case);
            }
        }
    }

    /// A packet of a workload behind this node, with another end in turn.
    fn case_by(&mut self, index: usize) -> Option<Case> {
        let end = self.ends.all[index];
        let family = usize::from(end.address.is_ipv6());
        let direction = Direction::BOTH[self.turn % 2];
        let row = self.index.row(end.identity, direction)?;
        let count = self.ends.all.len();
        (self.turn..self.turn + count).map(|turn| turn % count).find_map(|other| {
            let peer = self.ends.all[other];
            if peer.address.is_ipv4() != end.address.is_ipv4() {
                return None;
            }
            let key = self.set(row, peer.class).and_then(|set| any_key(set, self.turn, family))?;
            self.case(row, index, other, key)
        })
    }
}

#[cfg(test)]
mod tests {
    use selvedge_topology::plan::{PlanAddress, SetId};

    use super::*;
    use crate::testing::{APP, Sample, machine};

    #[test]
    fn policy_towards_the_node_itself_is_tried_however_many_other_addresses_there_are() {
        let host = Class::from(Identity::HOST);
        let mut plan = Sample::new().plan;
        let entry = |address: String, number: u32| PlanAddress {
            prefix: address.parse().unwrap(),
            identity: Identity(number),
            class: Class(number),
        };
        plan.addresses.edit().push(entry("10.1.0.1/32".into(), Identity::HOST.0));
        plan.addresses
            .edit()
            .extend((0..1000).map(|n| entry(format!("10.2.{}.{}/32", n / 250, n % 250), 300 + n)));
        plan.addresses.edit().sort();
        let mut change = Change::default();
        for direction in Direction::BOTH {
            change.policies.insert((APP, direction, host));
        }
        for row in plan.rows.iter_mut() {
            row.peers.insert(0, (host, SetId(2)));
        }
        // A turn in which the node's address is not among the sample.
        let (cases, _) = Part::of(&plan, &change, 5).choose(&plan, &machine(&["eth0", "w1"]));
        for direction in Direction::BOTH {
            let asks = |case: &Case| {
                case.asked.iter().flatten().any(|asked| asked.direction == direction && asked.peer == host)
            };
            assert!(
                cases.iter().any(asks),
                "{direction} policy towards the node was tried by none of {}",
                cases.len()
            );
        }
    }
}
