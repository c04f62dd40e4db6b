//! Who reaches whom is what the oracle says: for random fabrics, between all addresses, for every layer-4 key at which anything can differ.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use selvedge_tests::cases::each;
use selvedge_tests::random::{addresses, model};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::oracle::{FlowOutcome, flow};
use selvedge_topology::reach::{Reach, reach, rest};

/// Keys at and around every place where a range begins or ends, and some others.
fn keys(reach: &Reach<'_>) -> Vec<L4Key> {
    let ranges = reach.flows.iter().flat_map(|flow| &flow.ranges);
    let ends = ranges.flat_map(|range| [range.first.number(), range.last.number()]);
    let around = ends.flat_map(|end| [end.saturating_sub(1), end, end + 1]);
    let mut keys: BTreeSet<L4Key> = around.filter_map(L4Key::from_number).collect();
    keys.extend([80, 33333].map(|port| L4Key::new(Protocol::TCP, port)));
    keys.extend([L4Key::FIRST, L4Key::LAST]);
    keys.into_iter().collect()
}

#[test]
fn what_reaches_whom_is_what_the_oracle_allows() {
    let (mut connections, mut pass, mut stopped, mut unenforced) = (0_u64, 0_u64, 0_u64, 0_u64);
    each(400, |u| {
        let (text, model) = model(u)?;
        let mut identities = IdentityTable::default();
        identities.allocate(&model).unwrap();
        let reach = reach(&model, &identities).unwrap();
        let keys = keys(&reach);
        let workload = |address: &IpAddr| model.workloads.values().any(|it| it.addresses.contains(address));
        let all: Vec<IpAddr> = addresses(&model);
        for _ in 0..60 {
            let (source, destination) = (*u.choose(&all)?, *u.choose(&all)?);
            let is_pair = source != destination && source.is_ipv4() == destination.is_ipv4();
            if !is_pair || !(workload(&source) || workload(&destination)) {
                continue;
            }
            let told = reach.between(source, destination);
            for key in &keys {
                let outcome = flow(&model, source, destination, *key).outcome;
                let passes = told.is_some_and(|flow| flow.ranges.iter().any(|range| range.contains(*key)));
                // Of one workload that is unmanaged and somebody who is none, nothing is told: nobody's policy is about them.
                if outcome == FlowOutcome::Unenforced && told.is_none() {
                    unenforced += 1;
                    continue;
                }
                assert_eq!(passes, outcome != FlowOutcome::Denied, "{text}\n{source} {destination} {key}");
                let enforced = told.is_none_or(|flow| flow.enforced);
                assert_eq!(enforced, outcome != FlowOutcome::Unenforced, "{text}\n{source} {destination}");
                connections += 1;
                *(if passes { &mut pass } else { &mut stopped }) += 1;
            }
        }
        for flow in &reach.flows {
            let gaps = rest(&flow.ranges);
            for key in &keys {
                let inside = flow.ranges.iter().any(|range| range.contains(*key));
                assert_ne!(inside, gaps.iter().any(|gap| gap.contains(*key)), "{key}");
            }
        }
        Ok(())
    });
    println!(
        "{connections} connections, {pass} pass, {stopped} are stopped; {unenforced} that nobody enforces for"
    );
    assert!(connections >= 40_000 && pass >= 10_000 && stopped >= 10_000 && unenforced >= 100);
}
