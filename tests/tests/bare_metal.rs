//! A machine that is a workload itself, live: a lab, a controller, agents, and real packets, of which every one fares as the
//! oracle says. Needs root and the built programs.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

mod lab;

use lab::Fabric;

#[test]
fn a_workload_that_is_the_machine_sends_and_receives_what_policy_says_with_or_without_an_agent() {
    let mut fabric = Fabric::up("metal");
    fabric.apply(&[]);
    probe(&fabric);

    // The node may check its workload's health, and gets the answers; it may nothing else.
    assert!(reaches(&fabric, "bare", "near", 8086));
    assert!(!reaches(&fabric, "bare", "near", 8087));
    // What is denied is stopped where it is sent, and told.
    assert!(!reaches(&fabric, "batch", "far", 80));
    let told = eventually_told(&fabric, "batch");
    assert!(told.contains("policy-deny") || told.contains("DENIED"), "{told}");

    fabric.kill_agent("bare");
    probe(&fabric);
    assert!(reaches(&fabric, "bare", "near", 8086) && !reaches(&fabric, "bare", "near", 8087));
    fabric.start_agent("bare");
    fabric.apply(&[]);
    probe(&fabric);
}

/// Every flow between workloads fares as the oracle says.
fn probe(fabric: &Fabric) {
    let probed = fabric.here("probe", &[]);
    assert!(probed.good, "{}", probed.out);
    // Three workloads, six ordered pairs, two families, and what the rules name.
    let last = probed.out.lines().last().unwrap_or_default();
    let (right, all) = last.strip_prefix("probe: ").and_then(|rest| rest.split_once('/')).unwrap();
    let all: u32 = all.split(' ').next().unwrap().parse().unwrap();
    assert!(right.parse() == Ok(all) && all >= 72, "{last}");
}

fn reaches(fabric: &Fabric, from: &str, to: &str, port: u16) -> bool {
    let port = format!("{port}/tcp");
    fabric.here("traffic", &["--from", from, "--to", to, "--port", &port, "--count", "2"]).good
}

/// The denials that the controller was told of, as soon as `source` is among them.
fn eventually_told(fabric: &Fabric, source: &str) -> String {
    fabric.eventually(&format!("told of {source}"), || {
        let told = fabric.cli(&["observe", "--verdict", "DENIED", "--last", "200"]).out;
        let of: Vec<&str> = told.lines().filter(|line| line.contains(source)).collect();
        if of.is_empty() { Err(told.clone()) } else { Ok(of.join("\n")) }
    })
}
