//! Counters, as the programs' maps hold them.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{MapData, PerCpuHashMap, PerCpuValues};
use selvedge_abi::{Counter, PortCounters, Reason, ReasonKey, RuleCounter, map, port_place, rule_place};
use selvedge_classifier::testing::PORT;

use super::{Bytes, Kernel, Plain};

impl Kernel {
    /// Lets every reason of [`PORT`] begin at zero.
    pub(super) fn reset_reasons(&mut self) {
        self.set_all(map::PORT_COUNTERS, port_place(PORT, 0), Plain(PortCounters::default()));
        let cpus = self.cpus;
        reset(&mut self.counters(map::REASON_COUNTERS), reasons(), cpus);
    }

    /// What [`PORT`] counted, by reason.
    pub(super) fn counted_reasons(&mut self) -> BTreeMap<u32, Counter> {
        let mut all: BTreeMap<u32, Counter> = counted(&self.counters(map::REASON_COUNTERS), reasons())
            .into_iter()
            .map(|(key, counter)| (key.reason, counter))
            .collect();
        let near = self.own::<PortCounters>(map::PORT_COUNTERS).get(&port_place(PORT, 0), 0).unwrap();
        let near = near.iter().flat_map(|Plain(counters)| counters.reasons());
        for (reason, counter) in near.filter(|(_, counter)| *counter != Counter::default()) {
            let sum = all.entry(reason as u32).or_default();
            *sum = added(*sum, counter);
        }
        all
    }

    /// Counters of these rules, which say zero: of every other one at home, and where that is taken, or for the rest, by hash.
    pub(super) fn reset_rules(&mut self, rules: BTreeSet<u32>) {
        for rule in &rules {
            self.set_all(map::NEAR_RULES, rule_place(*rule), Plain(RuleCounter::default()));
        }
        let mut taken = BTreeSet::new();
        let (near, far): (Vec<u32>, Vec<u32>) =
            rules.into_iter().partition(|rule| is_near(*rule) && taken.insert(rule_place(*rule)));
        for rule in near {
            self.set_all(map::NEAR_RULES, rule_place(rule), Plain(RuleCounter::new(rule)));
        }
        let cpus = self.cpus;
        reset(&mut self.counters(map::RULE_COUNTERS), far, cpus);
    }

    /// What these rules counted, where they counted anything.
    pub(super) fn counted_rules(&mut self, rules: BTreeSet<u32>) -> BTreeMap<u32, Counter> {
        let mut counted_rules = BTreeMap::new();
        let mut far = Vec::new();
        for rule in rules {
            let values = self.own::<RuleCounter>(map::NEAR_RULES).get(&rule_place(rule), 0).unwrap();
            if values.iter().any(|Plain(counter)| counter.rule != rule) {
                far.push(rule);
                continue;
            }
            let sum = values.iter().fold(Counter::default(), |sum, Plain(near)| added(sum, near.counter));
            counted_rules.insert(rule, sum);
        }
        counted_rules.retain(|_, counter| *counter != Counter::default());
        counted_rules.extend(counted(&self.counters(map::RULE_COUNTERS), far));
        counted_rules
    }

    fn counters<K: Bytes>(&mut self, name: &str) -> PerCpuHashMap<&mut MapData, Plain<K>, Plain<Counter>> {
        PerCpuHashMap::try_from(self.ebpf.map_mut(name).unwrap()).unwrap()
    }
}

fn reasons() -> impl Iterator<Item = ReasonKey> {
    Reason::ALL.iter().map(|reason| ReasonKey { ifindex: PORT, reason: *reason as u32 })
}

fn reset<K: Bytes>(
    map: &mut PerCpuHashMap<&mut MapData, Plain<K>, Plain<Counter>>,
    keys: impl IntoIterator<Item = K>,
    cpus: usize,
) {
    for key in keys {
        let zero = PerCpuValues::try_from(vec![Plain(Counter::default()); cpus]).unwrap();
        map.insert(Plain(key), zero, 0).unwrap();
    }
}

/// The counters that are not zero, summed over the CPUs.
fn counted<K: Bytes + Ord>(
    map: &PerCpuHashMap<&mut MapData, Plain<K>, Plain<Counter>>,
    keys: impl IntoIterator<Item = K>,
) -> BTreeMap<K, Counter> {
    keys.into_iter()
        .map(|key| {
            let values = map.get(&Plain(key), 0).unwrap();
            let sum = values.iter().fold(Counter::default(), |sum, Plain(counter)| added(sum, *counter));
            (key, sum)
        })
        .filter(|(_, counter)| *counter != Counter::default())
        .collect()
}

fn is_near(rule: u32) -> bool {
    rule.is_multiple_of(2)
}

fn added(one: Counter, other: Counter) -> Counter {
    Counter { packets: one.packets + other.packets, bytes: one.bytes + other.bytes }
}
