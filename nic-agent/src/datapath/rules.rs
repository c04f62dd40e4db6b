//! Counters of rules: each is at home in an array, unless another was there first. Then it is found by a hash.

use std::collections::{BTreeMap, BTreeSet};

use aya::Pod;
use aya::maps::{MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues};
use selvedge_abi::{Counter, RULE_PLACES, RuleCounter, map, rule_place};
use selvedge_proto::Count;
use selvedge_topology::model::RuleId;

use super::kernel::DatapathError;
use super::pins::Pins;
use super::plain::Plain;
use super::tables::{in_map, open};

/// The counters of all rules.
pub(super) struct RuleCounters {
    near: PerCpuArray<MapData, Plain<RuleCounter>>,
    far: PerCpuHashMap<MapData, u32, Plain<Counter>>,
    /// Places of the array that are taken.
    taken: BTreeSet<u32>,
    cpus: usize,
}

impl RuleCounters {
    /// Opens both maps.
    pub(super) fn open(pins: &Pins, cpus: usize) -> Result<Self, DatapathError> {
        let (near, far) = (open(pins, map::NEAR_RULES)?, open(pins, map::RULE_COUNTERS)?);
        let mut counters = Self { near, far, taken: BTreeSet::new(), cpus };
        let taken = counters.at_home()?;
        counters.taken = taken.into_iter().map(|rule| rule_place(rule.0)).collect();
        Ok(counters)
    }

    /// The rules that have a counter.
    pub(super) fn read(&self) -> Result<BTreeSet<RuleId>, DatapathError> {
        let mut rules = self.at_home()?;
        for rule in self.far.keys() {
            rules.insert(RuleId(rule.map_err(in_map(map::RULE_COUNTERS))?));
        }
        Ok(rules)
    }

    /// Makes a counter that says zero.
    pub(super) fn put(&mut self, rule: RuleId) -> Result<(), MapError> {
        let place = rule_place(rule.0);
        let there = self.rule_at(place)?;
        if there != 0 && there != rule.0 {
            return self.far.insert(rule.0, self.on_all_cpus(Counter::default())?, 0);
        }
        self.near.set(place, self.on_all_cpus(RuleCounter::new(rule.0))?, 0)?;
        self.taken.insert(place);
        Ok(())
    }

    /// Deletes a counter.
    pub(super) fn delete(&mut self, rule: RuleId) -> Result<(), MapError> {
        let place = rule_place(rule.0);
        if self.rule_at(place)? != rule.0 {
            return self.far.remove(&rule.0);
        }
        self.near.set(place, self.on_all_cpus(RuleCounter::default())?, 0)?;
        self.taken.remove(&place);
        Ok(())
    }

    /// What they counted.
    pub(super) fn counts(&self) -> Result<BTreeMap<RuleId, Count>, DatapathError> {
        let mut counts = BTreeMap::new();
        for place in &self.taken {
            let values = self.near.get(place, 0).map_err(in_map(map::NEAR_RULES))?;
            for Plain(RuleCounter { counter, rule, .. }) in values.iter() {
                add(counts.entry(RuleId(*rule)).or_default(), counter);
            }
        }
        for entry in self.far.iter() {
            let (rule, values) = entry.map_err(in_map(map::RULE_COUNTERS))?;
            let sum = counts.entry(RuleId(rule)).or_default();
            values.iter().for_each(|Plain(counter)| add(sum, counter));
        }
        Ok(counts)
    }

    fn at_home(&self) -> Result<BTreeSet<RuleId>, DatapathError> {
        let rules = (0..RULE_PLACES).map(|place| self.rule_at(place));
        let rules = rules.filter(|rule| !matches!(rule, Ok(0))).map(|rule| rule.map(RuleId));
        rules.collect::<Result<_, _>>().map_err(in_map(map::NEAR_RULES))
    }

    /// The rule at a place, 0 where it is vacant; every CPU has the same.
    fn rule_at(&self, place: u32) -> Result<u32, MapError> {
        let values = self.near.get(&place, 0)?;
        Ok(values.first().map_or(0, |Plain(counter)| counter.rule))
    }

    fn on_all_cpus<T: Copy>(&self, value: T) -> Result<PerCpuValues<Plain<T>>, MapError>
    where
        Plain<T>: Pod,
    {
        PerCpuValues::try_from(vec![Plain(value); self.cpus]).map_err(MapError::IoError)
    }
}

/// Adds what one CPU counted.
pub(super) fn add(sum: &mut Count, counter: &Counter) {
    sum.packets += counter.packets;
    sum.bytes += counter.bytes;
}
