//! Counters of rules, wherever they are.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

mod support;

use std::collections::BTreeMap;

use aya::maps::{Map, MapData, PerCpuArray, PerCpuHashMap, PerCpuValues};
use aya::util::nr_cpus;
use selvedge_abi::{Counter, RULE_PLACES, RuleCounter, map, rule_place};
use selvedge_agent::datapath::{Datapath, KernelDatapath, Pins, Sizes};
use selvedge_agent_core::{Action, Choices, Entry, Key};
use selvedge_topology::model::RuleId;
use support::Node;
use zerocopy::IntoBytes;

const HOME: u32 = 5;
/// Of one home.
const FIRST: RuleId = RuleId(HOME);
const SECOND: RuleId = RuleId(HOME + RULE_PLACES);
const THIRD: RuleId = RuleId(HOME + 2 * RULE_PLACES);
const ALONE: RuleId = RuleId(HOME + 1);

fn open(node: &Node) -> (Pins, KernelDatapath) {
    let pins = Pins::prepare(&node.bpffs(), &"host1".parse().unwrap()).unwrap();
    (pins.clone(), KernelDatapath::open(pins, Sizes::default()).unwrap())
}

fn map<T: TryFrom<Map, Error: std::fmt::Debug>>(pins: &Pins, name: &str) -> T {
    Map::from_map_data(MapData::from_pin(pins.map(name)).unwrap()).unwrap().try_into().unwrap()
}

/// Every CPU counts so many packets, as programs do: at home where the rule is there, else by hash.
fn count(pins: &Pins, rule: RuleId, packets: u64) {
    let cpus = nr_cpus().unwrap();
    let counter = Counter { packets, bytes: 100 * packets };
    let mut near: PerCpuArray<_, [u8; size_of::<RuleCounter>()]> = map(pins, map::NEAR_RULES);
    let there = near.get(&rule_place(rule.0), 0).unwrap()[0];
    if there == RuleCounter::new(rule.0).as_bytes() {
        let value = RuleCounter { counter, ..RuleCounter::new(rule.0) };
        let values = PerCpuValues::try_from(vec![value.as_bytes().try_into().unwrap(); cpus]).unwrap();
        near.set(rule_place(rule.0), values, 0).unwrap();
    } else {
        let mut far: PerCpuHashMap<_, u32, [u8; size_of::<Counter>()]> = map(pins, map::RULE_COUNTERS);
        let values = PerCpuValues::try_from(vec![counter.as_bytes().try_into().unwrap(); cpus]).unwrap();
        const EXISTS: u64 = 2;
        far.insert(rule.0, values, EXISTS).unwrap();
    }
}

fn counted(datapath: &mut KernelDatapath) -> BTreeMap<RuleId, u64> {
    let rules = datapath.counters(&Choices::new()).unwrap().rules;
    rules.into_iter().map(|(rule, count)| (rule, count.packets / nr_cpus().unwrap() as u64)).collect()
}

fn put(datapath: &mut KernelDatapath, rule: RuleId) {
    datapath.execute(&Action::Put(Entry::RuleCounter(rule))).unwrap();
}

fn known(datapath: &mut KernelDatapath) -> Vec<RuleId> {
    datapath.observe(&[]).unwrap().tables.rule_counters.into_iter().collect()
}

#[test]
fn rules_of_one_home_have_a_counter_each_also_for_an_agent_started_since() {
    let node = Node::bare();
    let (pins, mut datapath) = open(&node);
    for (rule, packets) in [(FIRST, 1), (SECOND, 20), (ALONE, 300)] {
        put(&mut datapath, rule);
        count(&pins, rule, packets);
    }
    assert_eq!(counted(&mut datapath), [(FIRST, 1), (SECOND, 20), (ALONE, 300)].into());

    let (_, mut next) = open(&node);
    assert_eq!(known(&mut next), [FIRST, ALONE, SECOND]);
    assert_eq!(counted(&mut next), [(FIRST, 1), (SECOND, 20), (ALONE, 300)].into());

    next.execute(&Action::Delete(Key::RuleCounter(FIRST))).unwrap();
    put(&mut next, THIRD);
    assert_eq!(known(&mut next), [ALONE, SECOND, THIRD]);
    assert_eq!(counted(&mut next), [(SECOND, 20), (ALONE, 300)].into(), "who comes to a home begins at zero");
    count(&pins, THIRD, 4_000);
    next.execute(&Action::Delete(Key::RuleCounter(SECOND))).unwrap();
    assert_eq!(counted(&mut next), [(ALONE, 300), (THIRD, 4_000)].into());
    assert_eq!(known(&mut next), [ALONE, THIRD]);
}
