//! What a program takes of its device, as figures for the ledger.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use selvedge_codegen::{DeviceProgram, Drops, Kind, Limits, Map, Shed, Worth};
use selvedge_hw_profiles::profile::{Limit, OffloadLimits};
use selvedge_topology::identity::Identity;
use selvedge_topology::model::RuleId;
use selvedge_topology::placement::{Counting, DeviceCost, DeviceKind, Room, Share, ShedDrops};
use selvedge_topology::plan::Plan;

use super::NicProgram;

/// What a program takes of a device with `limits`. Of what it leaves out, the `named` drops that are worth most are named, by the
/// rules of `plan`.
pub fn cost(program: &NicProgram, limits: &OffloadLimits, plan: &Plan, named: usize) -> DeviceCost {
    let NicProgram { name: _, program, incomplete } = program;
    let DeviceProgram { kind, instructions, maps, counters, shed, .. } = &**program;
    let taken = Limits::of(limits);
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let largest = |of: fn(&Map) -> u32| maps.iter().map(of).max().unwrap_or_default();
    let entry = |map: &Map| map.key_size.next_multiple_of(8) + map.value_size.next_multiple_of(8);
    let entries = maps.iter().fold(0_u32, |sum, map| sum.saturating_add(map.max_entries));
    let rules = plan.rules.iter().map(|rule| (rule.id, rule.display.as_str())).collect();
    let mut by_worth: Vec<&Shed> = shed.iter().collect();
    by_worth.sort_by_key(|shed| Reverse(shed.worth));
    DeviceCost {
        kind: match kind {
            Kind::Prefilter => DeviceKind::Prefilter,
            Kind::Complete => DeviceKind::Complete,
        },
        instructions: share(count(instructions.len()), &limits.instructions, taken.instructions.0),
        maps: share(count(maps.len()), &limits.maps, taken.maps.0),
        entries: share(entries, &limits.entries, taken.entries.0),
        entries_each: share(largest(|map| map.max_entries), &limits.entries_each, taken.entries_each.0),
        entry_bytes: share(largest(entry), &limits.entry, taken.entry.0),
        counting: if counters.is_empty() { Counting::Nothing } else { Counting::ByRule },
        shed: by_worth.iter().take(named).map(|shed| left(shed, &rules)).collect(),
        shed_more: count(shed.len().saturating_sub(named)),
        incomplete: incomplete.as_ref().map(ToString::to_string).unwrap_or_default(),
        shed_why: shed.first().map(|shed| shed.why.to_string()).unwrap_or_default(),
    }
}

fn share<T>(used: u32, limit: &Limit<T>, most: u32) -> Share {
    let room = match limit {
        Limit::AtMost(..) => Room::AtMost(most),
        Limit::Learnt(..) => Room::Assumed(most),
        Limit::Unlimited(_) => Room::Unlimited,
    };
    Share { used, room }
}

fn left(shed: &Shed, rules: &BTreeMap<RuleId, &str>) -> ShedDrops {
    let Shed { drops: Drops { rule, source, destination }, worth: Worth { packets, breadth }, why: _ } = shed;
    let rule = Some(RuleId(*rule)).filter(|rule| rule.0 != 0);
    ShedDrops {
        rule,
        name: rule.and_then(|rule| rules.get(&rule)).map(|name| (*name).to_owned()).unwrap_or_default(),
        from: source.map(Identity),
        to: destination.map(Identity),
        packets: *packets,
        flows: u64::try_from(*breadth).unwrap_or(u64::MAX),
    }
}
