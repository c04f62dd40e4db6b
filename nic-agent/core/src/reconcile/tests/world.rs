//! A machine that executes actions in memory.

use std::collections::BTreeMap;

use selvedge_abi::{Address, AddressEntry, Interval, PortEntry};
use selvedge_hw_profiles::Mode;
use selvedge_topology::names::PortName;
use selvedge_topology::plan::Plan;

use super::super::{Action, Attachment, Entry, Key, Observed, Program};
use crate::lower;
use crate::machine::{IfIndex, Interface, Machine};
use crate::tables::Slot;
use crate::testing::name;

#[derive(Clone)]
pub(super) struct World {
    observed: Observed,
    /// The interval array, with all that was ever written to it.
    memory: BTreeMap<u32, Interval>,
}

/// What a packet can see of the slot in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    generation: u64,
    addresses: BTreeMap<Address, AddressEntry>,
    prefixes: BTreeMap<(u32, Address), AddressEntry>,
    policies: BTreeMap<(u32, u32, u32), Vec<Interval>>,
}

impl World {
    pub(super) fn new(machine: Machine) -> Self {
        Self { observed: Observed { machine, ..Observed::default() }, memory: BTreeMap::new() }
    }

    /// As the shell observes it: of the array, only what policies point at.
    pub(super) fn observe(&self) -> Observed {
        let mut observed = self.observed.clone();
        for slot in Slot::BOTH {
            let tables = observed.tables.slot_mut(slot);
            for entry in tables.policies.values() {
                let run = self.memory.range(entry.first..entry.first + entry.count);
                tables.intervals.extend(run.map(|(index, interval)| (*index, *interval)));
            }
        }
        observed
    }

    pub(super) fn apply(&mut self, action: &Action) {
        match action {
            Action::Put(entry) => self.put(entry),
            Action::Delete(key) => self.delete(key),
            Action::Switch(config) => self.observed.tables.config = *config,
            Action::Attach { port, index, choice, .. } => {
                let attachment =
                    Attachment { index: Some(*index), mode: choice.first, program: Program::Current };
                let old = self.observed.attachments.insert(port.clone(), attachment);
                assert_eq!(old, None, "{port} is attached twice");
            }
            Action::Refresh { port } => {
                self.observed.attachments.get_mut(port).unwrap().program = Program::Current;
            }
            Action::Detach { port } => {
                self.observed.attachments.remove(port).expect("what is detached was attached");
            }
        }
    }

    fn put(&mut self, entry: &Entry) {
        let tables = &mut self.observed.tables;
        let slot = |number: u32| if number == 0 { Slot::A } else { Slot::B };
        match *entry {
            Entry::Port(index, entry) => drop(tables.ports.insert(index, entry)),
            Entry::Address(key, entry) => drop(tables.slot_mut(slot(key.slot)).addresses.insert(key, entry)),
            Entry::Prefix(key, entry) => drop(tables.slot_mut(slot(key.slot)).prefixes.insert(key, entry)),
            Entry::Policy(key, entry) => drop(tables.slot_mut(slot(key.slot)).policies.insert(key, entry)),
            Entry::Interval(index, interval) => drop(self.memory.insert(index, interval)),
            Entry::Failsafe(key) => drop(tables.failsafe.insert(key)),
            Entry::RuleCounter(rule) => drop(tables.rule_counters.insert(rule)),
            Entry::ReasonCounter(key) => drop(tables.reason_counters.insert(key)),
        }
    }

    fn delete(&mut self, key: &Key) {
        let tables = &mut self.observed.tables;
        let slot = |number: u32| if number == 0 { Slot::A } else { Slot::B };
        let found = match key {
            Key::Port(index) => tables.ports.remove(index).is_some(),
            Key::Address(key) => tables.slot_mut(slot(key.slot)).addresses.remove(key).is_some(),
            Key::Prefix(key) => tables.slot_mut(slot(key.slot)).prefixes.remove(key).is_some(),
            Key::Policy(key) => tables.slot_mut(slot(key.slot)).policies.remove(key).is_some(),
            Key::Failsafe(key) => tables.failsafe.remove(key),
            Key::RuleCounter(rule) => tables.rule_counters.remove(rule),
            Key::ReasonCounter(key) => tables.reason_counters.remove(key),
        };
        assert!(found, "{key:?} is deleted and was not there");
    }

    pub(super) fn remove_interface(&mut self, port: &str) {
        self.observed.machine.interfaces.remove(port);
        if let Some(attachment) = self.observed.attachments.get_mut(&name::<PortName>(port)) {
            attachment.index = None;
        }
    }

    pub(super) fn add_interface(&mut self, port: &str, index: u32) {
        let index = IfIndex(index);
        let interface = Interface { index, driver: "veth".to_owned(), mtu: 1500, programs: Vec::new() };
        self.observed.machine.interfaces.insert(port.to_owned(), interface);
    }

    pub(super) fn age_program(&mut self, port: &str) {
        self.observed.attachments.get_mut(&name::<PortName>(port)).unwrap().program = Program::Outdated;
    }

    pub(super) fn indexes_of_local_addresses(&self) -> Vec<u32> {
        let meaning = self.meaning();
        meaning.addresses.values().map(|entry| entry.ifindex).filter(|index| *index != 0).collect()
    }

    pub(super) fn meaning(&self) -> Meaning {
        let observed = self.observe();
        let tables = observed.tables.slot(Slot::in_use(&observed.tables.config));
        let policies = tables.policies.iter().map(|(key, entry)| {
            let run = tables.run(entry);
            assert_eq!(run.len(), entry.count as usize, "a policy in use points at what was never written");
            ((key.subject, key.peer, key.direction), run)
        });
        Meaning {
            generation: observed.tables.config.generation,
            addresses: tables.addresses.iter().map(|(key, entry)| (key.address, *entry)).collect(),
            prefixes: tables.prefixes.iter().map(|(k, entry)| ((k.prefix_len, k.address), *entry)).collect(),
            policies: policies.collect(),
        }
    }

    /// Ports with the program on them, and what each is taken for.
    pub(super) fn enforced(&self) -> BTreeMap<PortName, (IfIndex, Option<PortEntry>)> {
        let live = self.observed.attachments.iter().filter_map(|(port, attachment)| {
            assert!(matches!(attachment.mode, Mode::Native | Mode::Generic));
            let index = attachment.index?;
            Some((port.clone(), (index, self.observed.tables.ports.get(&index).copied())))
        });
        live.collect()
    }

    /// That this is a state between `before` and `goal` that may last.
    pub(super) fn assert_between(&self, before: &Self, goal: &Self, new: &Plan) {
        let meaning = self.meaning();
        let is_new = meaning == goal.meaning();
        assert!(is_new || meaning == before.meaning(), "half a generation is in force");

        let (now, then) = (self.enforced(), before.enforced());
        for (port, (index, _)) in lower::ports(new, &self.observed.machine) {
            let Some((attached, entry)) = now.get(&port) else {
                assert!(!is_new || meaning == before.meaning(), "{port} is open under the new generation");
                assert!(then.get(&port).is_none_or(|(old, _)| *old != index), "{port} was opened on the way");
                continue;
            };
            assert_eq!(*attached, index);
            let old = then.get(&port).and_then(|(_, entry)| *entry);
            let wanted = goal.enforced()[&port].1;
            assert!(
                entry.is_none() || *entry == old || *entry == wanted,
                "{port} has a role that nobody gave it"
            );
            if old.is_some() && old != wanted && before.meaning() != goal.meaning() {
                let expected = if is_new { wanted } else { old };
                assert!(entry.is_none() || *entry == expected, "{port} mixes two generations");
            }
        }
        if !is_new {
            for port in then.keys() {
                let replaced =
                    self.observed.machine.port(port).map(|found| found.index) != Some(then[port].0);
                assert!(
                    now.contains_key(port) || replaced,
                    "{port} was opened before the new generation was in force"
                );
            }
        }
    }
}
