//! Counters: per-CPU values added up.

use aya::maps::{MapError, PerCpuValues};
use selvedge_abi::{Counter, NotedCounters, Reason, Revocations, map};
use selvedge_proto::Count;
use selvedge_topology::model::RuleId;
use selvedge_topology::plan::Generation;

use super::Counters;
use super::kernel::DatapathError;
use super::plain::Plain;
use super::tables::{KernelTables, in_map};

pub(super) fn read(tables: &KernelTables) -> Result<Counters, DatapathError> {
    let mut counters = Counters::default();
    for entry in tables.reason_counters.iter() {
        let (Plain(key), values) = entry.map_err(in_map(map::REASON_COUNTERS))?;
        let Some(reason) = Reason::from_number(key.reason) else { continue };
        let sum = counters.reasons.entry(reason).or_default();
        add(sum, &values);
    }
    for values in tables.noted().map_err(in_map(map::NOTED_COUNTERS))? {
        for Plain(NotedCounters { passed, denied }) in values.iter() {
            for (reason, counter) in [(Reason::Established, passed), (Reason::PolicyDeny, denied)] {
                let sum = counters.reasons.entry(reason).or_default();
                sum.packets += counter.packets;
                sum.bytes += counter.bytes;
            }
        }
    }
    counters.reasons.retain(|_, count| count.packets > 0);
    for entry in tables.rule_counters.iter() {
        let (rule, values) = entry.map_err(in_map(map::RULE_COUNTERS))?;
        add(counters.rules.entry(RuleId(rule)).or_default(), &values);
    }
    counters.rules.retain(|_, count| count.packets > 0);
    for entry in tables.revocations.iter() {
        let (generation, values) = entry.map_err(in_map(map::REVOCATIONS))?;
        let sum = counters.revocations.entry(Generation(generation)).or_default();
        for Plain(Revocations { cut, draining }) in values.iter() {
            sum.cut += cut;
            sum.draining += draining;
        }
    }
    let shares: Result<_, MapError> = tables.event_shares.get(&0, 0);
    let shares = shares.map_err(in_map(map::EVENT_SHARES))?;
    counters.events_lost = shares.iter().map(|Plain(share)| share.lost).sum();
    Ok(counters)
}

fn add(sum: &mut Count, values: &PerCpuValues<Plain<Counter>>) {
    for Plain(Counter { packets, bytes }) in values.iter() {
        sum.packets += packets;
        sum.bytes += bytes;
    }
}
