//! Counters: per-CPU values added up.

use aya::maps::MapError;
use selvedge_abi::{Reason, Revocations, map};
use selvedge_topology::plan::Generation;

use super::Counters;
use super::kernel::DatapathError;
use super::plain::Plain;
use super::rules::add;
use super::tables::{KernelTables, in_map};

pub(super) fn read(tables: &KernelTables) -> Result<Counters, DatapathError> {
    let mut counters = Counters::default();
    for entry in tables.reason_counters.iter() {
        let (Plain(key), values) = entry.map_err(in_map(map::REASON_COUNTERS))?;
        let Some(reason) = Reason::from_number(key.reason) else { continue };
        let sum = counters.reasons.entry(reason).or_default();
        values.iter().for_each(|Plain(counter)| add(sum, counter));
    }
    for values in tables.port_counters().map_err(in_map(map::PORT_COUNTERS))? {
        for (reason, counter) in values.iter().flat_map(|Plain(counters)| counters.reasons()) {
            add(counters.reasons.entry(reason).or_default(), &counter);
        }
    }
    counters.reasons.retain(|_, count| count.packets > 0);
    counters.rules = tables.rules.counts()?;
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
