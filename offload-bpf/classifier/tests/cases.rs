//! The classifier, held to the table of cases.

use std::collections::BTreeSet;

use selvedge_abi::Reason;
use selvedge_classifier::testing::{Outcome, cases};

#[test]
fn every_case_ends_as_its_row_says() {
    let mut wrong = Vec::new();
    for case in cases::all() {
        let (reason, outcome) = Outcome::of(&case.tables, &case.frame);
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
