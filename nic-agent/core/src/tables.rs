//! The content of the maps as ordered values, keyed exactly as the ABI has it.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_abi::{
    AddressEntry, AddressKey, Config, FailsafeKey, INTERVALS_PER_SLOT, Interval, PolicyEntry, PolicyKey,
    PortEntry, PrefixKey, ReasonKey,
};
use selvedge_topology::model::RuleId;
use selvedge_topology::plan::Generation;

use crate::machine::IfIndex;

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
    /// The intervals of a run; shorter than its count where some were not observed.
    pub fn run(&self, entry: &PolicyEntry) -> Vec<Interval> {
        let end = entry.first.saturating_add(entry.count);
        self.intervals.range(entry.first..end).map(|(_, interval)| *interval).collect()
    }
}

/// What all maps hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// The one entry that says what is in force.
    pub config: Config,
    /// Ports.
    pub ports: BTreeMap<IfIndex, PortEntry>,
    /// Both halves: index by [`Slot::number`] through [`Tables::slot`].
    pub slots: [SlotTables; 2],
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
            Slot::A => &mut self.slots[0],
            Slot::B => &mut self.slots[1],
        }
    }
}

impl Default for Slot {
    /// The half that an all-zero [`Config`] names.
    fn default() -> Self {
        Self::A
    }
}
