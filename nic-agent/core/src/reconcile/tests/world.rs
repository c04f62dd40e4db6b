//! A simulated node, and what must hold of it at every moment.

use std::collections::BTreeMap;

use selvedge_abi::{Address, AddressEntry, Interval, PortEntry};
use selvedge_hw_profiles::Mode;
use selvedge_hw_profiles::units::Bytes;
use selvedge_topology::names::PortName;
use selvedge_topology::plan::Plan;

use super::super::{Action, Observed};
use crate::device::ProgramName;
use crate::lower;
use crate::machine::{IfIndex, Machine};
use crate::simulate::Simulation;
use crate::tables::Slot;
use crate::testing::name;

#[derive(Clone)]
pub(super) struct World(Simulation);

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
        Self(Simulation::new(machine))
    }

    pub(super) fn observe(&self) -> Observed {
        self.0.observe()
    }

    pub(super) fn apply(&mut self, action: &Action) {
        self.0.execute(action).unwrap();
    }

    pub(super) fn remove_interface(&mut self, port: &str) {
        self.0.remove_interface(&name(port));
    }

    pub(super) fn add_interface(&mut self, port: &str, index: u32) {
        self.0.add_interface(&name(port), IfIndex(index));
    }

    pub(super) fn age_program(&mut self, port: &str) {
        self.0.age_program(&name(port));
    }

    pub(super) fn leave_tables_behind(&mut self) {
        self.0.leave_tables_behind();
    }

    pub(super) fn change_driver(&mut self, port: &str, driver: &str) {
        self.0.change_driver(&name(port), driver);
    }

    pub(super) fn rename_nic_program(&mut self, port: &str, program: &str) {
        self.0.rename_nic_program(&name(port), ProgramName::found(program));
    }

    pub(super) fn change_mtu(&mut self, port: &str, mtu: Bytes) {
        self.0.change_mtu(&name(port), mtu);
    }

    pub(super) fn change_mode(&mut self, port: &str, mode: Mode) {
        self.0.change_mode(&name(port), mode);
    }

    pub(super) fn overtake(&mut self, port: &str) {
        self.0.overtake(&name(port));
    }

    pub(super) fn without_tcx(&mut self, reason: &str) {
        self.0.without_tcx(reason);
    }

    pub(super) fn indexes_of_local_addresses(&self) -> Vec<u32> {
        let meaning = self.meaning();
        meaning.addresses.values().map(|entry| entry.ifindex).filter(|index| *index != 0).collect()
    }

    pub(super) fn meaning(&self) -> Meaning {
        let observed = self.observe();
        let tables = observed.tables.slot(Slot::in_use(&observed.tables.config));
        let policies = tables.policies.iter().map(|(key, entry)| {
            let list = entry.run().map_or_else(
                || entry.intervals().collect(),
                |run| {
                    let list = tables.run(run);
                    assert_eq!(
                        list.len(),
                        run.count as usize,
                        "a policy in use points at what was never written"
                    );
                    list
                },
            );
            ((key.subject, key.peer, key.direction), list)
        });
        Meaning {
            generation: observed.tables.config.generation,
            addresses: tables.addresses.iter().map(|(key, entry)| (key.address, *entry)).collect(),
            prefixes: tables.prefixes.iter().map(|(k, entry)| ((k.length, k.address), *entry)).collect(),
            policies: policies.collect(),
        }
    }

    /// The modes in which ports run.
    pub(super) fn modes(&self) -> BTreeMap<PortName, Mode> {
        self.observe().attachments.into_iter().map(|(port, found)| (port, found.mode)).collect()
    }

    /// Ports with the program, or its stand-in, on them, and what each is taken for.
    pub(super) fn enforced(&self) -> BTreeMap<PortName, (IfIndex, Option<PortEntry>)> {
        let observed = self.observe();
        let attached = observed.attachments.into_iter().filter_map(|(port, attachment)| {
            assert!(matches!(attachment.mode, Mode::Native | Mode::Generic));
            Some((port, attachment.index?))
        });
        let stand_ins = observed.stand_ins.into_iter();
        let live = stand_ins.filter_map(|(port, stand_in)| Some((port, stand_in.index?))).chain(attached);
        live.map(|(port, index)| (port, (index, observed.tables.ports.get(&index).copied()))).collect()
    }

    /// Ports with the program for what the node sends on them.
    pub(super) fn judged_when_sent(&self) -> BTreeMap<PortName, IfIndex> {
        let links = self.observe().egress.links;
        links.into_iter().filter_map(|(port, link)| Some((port, link.index?))).collect()
    }

    /// That what the node sends is judged at every port of the plan once it is in force, and nowhere less than before until then.
    fn assert_sent_is_judged(&self, before: &Self, new: &Plan, is_new: bool) {
        let (now, then) = (self.judged_when_sent(), before.judged_when_sent());
        for (port, (index, _)) in lower::ports(new, &self.observe().machine) {
            let is_on = now.get(&port) == Some(&index);
            assert!(is_on || !is_new, "what is sent by {port} is not judged under the new generation");
            assert!(is_on || then.get(&port) != Some(&index), "what is sent by {port} was let go on the way");
        }
        for (port, index) in then.iter().filter(|_| !is_new) {
            let found = self.observe().machine.port(port).map(|found| found.index);
            assert!(
                now.contains_key(port) || found != Some(*index),
                "{port} was let go before the new generation"
            );
        }
    }

    /// That this is a state between `before` and `goal` that may last.
    pub(super) fn assert_between(&self, before: &Self, goal: &Self, new: &Plan) {
        let meaning = self.meaning();
        let is_new = meaning == goal.meaning();
        assert!(is_new || meaning == before.meaning(), "half a generation is in force");
        self.assert_sent_is_judged(before, new, is_new && meaning != before.meaning());

        let (now, then, machine) = (self.enforced(), before.enforced(), self.observe().machine);
        for (port, (index, _)) in lower::ports(new, &machine) {
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
                let replaced = machine.port(port).map(|found| found.index) != Some(then[port].0);
                assert!(
                    now.contains_key(port) || replaced,
                    "{port} was opened before the new generation was in force"
                );
            }
        }
    }
}
