//! The classifier, held to the table of cases.

use std::collections::BTreeSet;

use selvedge_abi::{PortEntry, PortRole, Reason};
use selvedge_classifier::Way;
use selvedge_classifier::testing::{MemoryTables, PORT, cases, frame, world};

#[test]
fn every_case_ends_as_its_row_says() {
    let mut wrong = Vec::new();
    for case in cases::all() {
        let (reason, outcome) = case.judge();
        let faults = case.faults(&outcome);
        if reason != case.expected.reason || !faults.is_empty() {
            wrong.push(format!("{}: {reason:?}, wrong in {faults:?}: {outcome:#?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_reason_is_the_end_of_some_case() {
    let ends: BTreeSet<_> = cases::all().iter().map(|case| case.expected.reason).collect();
    let missing: Vec<_> = Reason::ALL.iter().filter(|reason| !ends.contains(reason)).collect();
    assert!(missing.is_empty(), "no case ends in {missing:?}");
}

#[test]
fn no_two_cases_share_a_name() {
    let cases = cases::all();
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len());
}

#[test]
fn what_was_received_at_a_port_is_not_judged_again_on_its_way_out() {
    let denied = frame::packet("10.0.0.9", "10.0.0.1", frame::tcp(40000, 8080, frame::SYN));
    let mut tables = world::world(PortRole::Workload);
    let sent =
        |tables: &MemoryTables, received| tables.classify_sent(&denied, Way { received, leaves: PORT });
    assert_eq!(sent(&tables, world::OTHER_PORT), Some(Reason::PolicyDeny), "not a port yet");
    tables.ports.insert(world::OTHER_PORT, PortEntry { role: PortRole::Uplink as u32 });
    let before = tables.clone();
    assert_eq!(sent(&tables, world::OTHER_PORT), None);
    assert_eq!(tables.reason_counters, before.reason_counters, "nor counted");
    assert_eq!(sent(&tables, 0), Some(Reason::PolicyDeny), "made here");
}
