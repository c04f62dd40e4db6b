//! Faults, each caused for real under traffic: nothing forbidden is delivered, nothing allowed is lost, and afterwards the
//! fabric converges by itself.
//!
//! The demo's fabric in network namespaces, an etcd of three members, controllers under a supervisor, an agent on every node; all
//! of them with certificates, and plans with signatures.
//! Every packet is captured where it leaves and where it arrives, and judged by the oracle's word on the policy in force.
//! `make test-faults` runs this alone; SELVEDGE_FAULTS=WORDS only the faults whose names have these words. Needs root.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]
#![allow(dead_code, reason = "a part of what runs a live fabric is for other tests")]

mod faults;
mod live;

use std::time::Instant;

use faults::catalogue::Fault;
use faults::scene::{Outcome, Scene};
use faults::site::Site;
use live::flows::{self, Class};
use live::ledger::Account;
use live::sets;
use selvedge_lab::kernel::namespace::Namespace;
use selvedge_lab::table::Table;

#[test]
fn every_fault_is_survived_without_a_packets_difference() {
    let wanted = std::env::var("SELVEDGE_FAULTS").unwrap_or_default();
    let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| fault.name().contains(&wanted)).collect();
    assert!(!faults.is_empty(), "no fault has `{wanted}` in its name");
    let sets = sets::all();
    let mut site = Site::up();
    let flows = flows::all(&site.record(), &sets);
    let place = site.place("controller");
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut outcomes = Vec::new();
            for fault in faults {
                let begun = Instant::now();
                println!("{} …", fault.name());
                let mut scene = Scene::begin(&mut site, &sets, &flows).await;
                fault.strike(&mut scene).await;
                outcomes.push((fault, scene.end().await));
                println!("{}: {:.1} s", fault.name(), begun.elapsed().as_secs_f64());
            }
            outcomes
        })
    };
    let outcomes = Namespace::open(&place.namespace).unwrap().run(work).unwrap();
    assert_eq!(
        site.lab.lines_with("somebody else changed the tables"),
        [""; 0],
        "agents alone write their tables"
    );
    drop(site);
    report(&outcomes);
}

fn sum(outcome: &Outcome, column: fn(&Account) -> u64) -> u64 {
    [Class::Always, Class::Flips, Class::Never]
        .into_iter()
        .map(|class| outcome.ledger.sum(class, column))
        .sum()
}

fn report(outcomes: &[(Fault, Outcome)]) {
    let mut table = Table::new(["FAULT", "SENT", "DUE", "LOST", "FORBIDDEN", "DELIVERED", "CONVERGED"]);
    let (mut survived, mut delivered, mut lost) = (0, 0, 0);
    let mut wrong = Vec::new();
    for (fault, outcome) in outcomes {
        let columns: [fn(&Account) -> u64; 5] =
            [|a| a.left, |a| a.due, |a| a.lost, |a| a.forbidden, |a| a.leaked];
        let counts = columns.map(|column| sum(outcome, column));
        let converged = format!("{:.1} s", outcome.converged.as_secs_f64());
        let name = fault.name().to_owned();
        table.row(
            [name].into_iter().chain(counts.map(|count| count.to_string())).chain([converged]).collect(),
        );
        (lost, delivered) = (lost + counts[2], delivered + counts[4]);
        let faults: Vec<&String> = outcome.ledger.wrong.iter().chain(&outcome.failures).collect();
        survived += usize::from(faults.is_empty());
        wrong.extend(faults.iter().take(12).map(|line| format!("{}: {line}", fault.name())));
    }
    println!("{table}");
    println!(
        "faults: {survived}/{} survived, {delivered} forbidden delivered, {lost} allowed lost",
        outcomes.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
