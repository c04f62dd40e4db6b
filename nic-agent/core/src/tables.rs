//! The content of the maps as ordered values, keyed exactly as the ABI has it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use selvedge_abi::{
    AddressEntry, AddressKey, Config, FailsafeKey, INTERVALS_PER_SLOT, Interval, PolicyEntry, PolicyKey,
    PortEntry, PrefixKey, ReasonKey, Run,
};
use selvedge_topology::model::RuleId;
use selvedge_topology::plan::Generation;

use crate::machine::IfIndex;
use crate::reconcile::{Entry, Key};

/// One half of the tables that a generation lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The half that keys call 0.
    A,
    /// The half that keys call 1.
    B,
}

impl Slot {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The number that keys and [`Config::slot`] hold.
    pub const fn number(self) -> u32 {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }

    /// The slot that a key's number names.
    pub const fn of(number: u32) -> Self {
        if number == Self::A.number() { Self::A } else { Self::B }
    }

    /// The slot that `config` puts in use.
    pub const fn in_use(config: &Config) -> Self {
        Self::of(config.slot)
    }

    /// The other half.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The indexes of the interval array that belong to the slot.
    pub const fn intervals(self) -> std::ops::Range<u32> {
        let base = self.number() * INTERVALS_PER_SLOT;
        base..base + INTERVALS_PER_SLOT
    }
}

/// What one slot holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotTables {
    /// Exact addresses.
    pub addresses: BTreeMap<AddressKey, AddressEntry>,
    /// Prefixes.
    pub prefixes: BTreeMap<PrefixKey, AddressEntry>,
    /// Policy rows.
    pub policies: BTreeMap<PolicyKey, PolicyEntry>,
    /// The intervals that `policies` point at. What else the array holds is never read, and so not observed.
    pub intervals: BTreeMap<u32, Interval>,
}

impl SlotTables {
    /// The runs that policies point at, each once.
    pub fn runs(&self) -> BTreeSet<Run> {
        self.policies.values().filter_map(PolicyEntry::run).collect()
    }

    /// The intervals of a run; shorter than its count where some were not observed.
    pub fn run(&self, Run { first, count }: Run) -> Vec<Interval> {
        let end = first.saturating_add(count);
        self.intervals.range(first..end).map(|(_, interval)| *interval).collect()
    }

    /// Forgets intervals that no policy points at, as whoever observes the array does.
    pub fn prune(&mut self) {
        let mut used = BTreeMap::new();
        for Run { first, count } in self.runs() {
            let end = first.saturating_add(count);
            used.extend(self.intervals.range(first..end).map(|(index, interval)| (*index, *interval)));
        }
        self.intervals = used;
    }
}

/// What all maps hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// The one entry that says what is in force.
    pub config: Config,
    /// Ports.
    pub ports: BTreeMap<IfIndex, PortEntry>,
    /// Both halves: index by [`Slot::number`] through [`Tables::slot`]. Shared by those who look at the same content.
    pub slots: [Arc<SlotTables>; 2],
    /// Failsafe entries.
    pub failsafe: BTreeSet<FailsafeKey>,
    /// Rules that have a counter.
    pub rule_counters: BTreeSet<RuleId>,
    /// Ports and reasons that have a counter.
    pub reason_counters: BTreeSet<ReasonKey>,
    /// Generations whose revocations are counted.
    pub revocations: BTreeSet<Generation>,
}

impl Tables {
    /// One half.
    pub fn slot(&self, slot: Slot) -> &SlotTables {
        match slot {
            Slot::A => &self.slots[0],
            Slot::B => &self.slots[1],
        }
    }

    /// One half, to change.
    pub fn slot_mut(&mut self, slot: Slot) -> &mut SlotTables {
        match slot {
            Slot::A => Arc::make_mut(&mut self.slots[0]),
            Slot::B => Arc::make_mut(&mut self.slots[1]),
        }
    }

    /// Does what writing the entry to its map does.
    pub fn put(&mut self, entry: &Entry) {
        match *entry {
            Entry::Port(index, entry) => drop(self.ports.insert(index, entry)),
            Entry::Address(key, entry) => drop(self.half(key.slot).addresses.insert(key, entry)),
            Entry::Prefix(key, entry) => drop(self.half(key.slot).prefixes.insert(key, entry)),
            Entry::Policy(key, entry) => drop(self.half(key.slot).policies.insert(key, entry)),
            Entry::Interval(index, interval) => {
                self.half(index / INTERVALS_PER_SLOT).intervals.insert(index, interval);
            }
            Entry::Failsafe(key) => drop(self.failsafe.insert(key)),
            Entry::RuleCounter(rule) => drop(self.rule_counters.insert(rule)),
            Entry::ReasonCounter(key) => drop(self.reason_counters.insert(key)),
            Entry::Revocations(generation) => drop(self.revocations.insert(generation)),
        }
    }

    /// Does what deleting the key from its map does; whether it was there.
    pub fn delete(&mut self, key: &Key) -> bool {
        match key {
            Key::Port(index) => self.ports.remove(index).is_some(),
            Key::Address(key) => self.half(key.slot).addresses.remove(key).is_some(),
            Key::Prefix(key) => self.half(key.slot).prefixes.remove(key).is_some(),
            Key::Policy(key) => self.half(key.slot).policies.remove(key).is_some(),
            Key::Failsafe(key) => self.failsafe.remove(key),
            Key::RuleCounter(rule) => self.rule_counters.remove(rule),
            Key::ReasonCounter(key) => self.reason_counters.remove(key),
            Key::Revocations(generation) => self.revocations.remove(generation),
        }
    }

    fn half(&mut self, slot: u32) -> &mut SlotTables {
        self.slot_mut(Slot::of(slot))
    }
}

impl Default for Slot {
    /// The half that an all-zero [`Config`] names.
    fn default() -> Self {
        Self::A
    }
}
