//! Probes tell what is open, what is closed, and who is wrong.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use serde_json::Value;
use support::{Lab, demo, lab};

#[test]
fn where_nobody_enforces_every_pair_reaches_each_other_in_both_families() {
    let lab = Lab::up("open", "plain.yaml");
    let done = lab.probe(&["--ports", "443/tcp,53/udp,36412/sctp,icmp"]);
    // 4 places, 12 ordered pairs, 2 families, 4 protocols.
    assert!(done.out.ends_with("probe: 96/96 flows as the policy says\n"), "{}{}", done.out, done.err);
    assert_eq!(done.code, Some(0));
    assert!(done.out.contains("96 that nobody enforces for"), "{}", done.out);
    let row = done.out.lines().find(|line| line.starts_with("two ")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["two", "all", "all", "all"]);
}

#[test]
fn nodes_reach_workloads_and_each_other_by_their_own_addresses() {
    let lab = Lab::up("nodes", "plain.yaml");
    let pairs = [
        ("left", "three", "10.2.0.3"),
        ("left", "right", "fd00:ff::12"),
        ("leaf", "one", "fd00:1::1"),
        ("one", "right", "10.255.0.12"),
    ];
    for (from, to, address) in pairs {
        assert!(lab.reaches(from, to, address), "{from} -> {to} ({address})");
    }
    // A node speaks with its own address, not with that of a port.
    let route = lab.exec("left", &["ip", "route", "get", "10.1.0.1"]).out;
    assert!(route.contains("src 10.255.0.11"), "{route}");
}

/// Packets that a node has received on a port.
fn received(lab: &Lab, node: &str, port: &str) -> u64 {
    let table = lab.exec(node, &["cat", "/proc/self/net/dev"]).out;
    let line = table.lines().find_map(|line| line.trim().strip_prefix(&format!("{port}:"))).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn two_workloads_behind_one_port_reach_each_other_through_the_node() {
    let lab = Lab::up("hairpin", "plain.yaml");
    for address in ["10.2.0.3", "fd00:2::3"] {
        let before = received(&lab, "right", "w1");
        let messages = ["--address", address, "--port", "4000/udp", "--count", "50", "--interval", "1ms"];
        let traffic = ["traffic", "--lab", &lab.name, "--from", "two", "--to", "three"];
        assert_eq!(support::lab(&[&traffic[..], &messages].concat()).code, Some(0));
        assert!(received(&lab, "right", "w1") >= before + 100, "every message and every answer");
    }
}

#[test]
fn a_flow_that_should_be_denied_and_is_not_is_named_with_its_rule() {
    let lab = Lab::up("unguarded", "unguarded.yaml");
    let done = lab.probe(&["--families", "4"]);
    assert_eq!(done.code, Some(1));
    // Named: 443/tcp, 36412/sctp; always: icmp, and 1/tcp, which nobody names. One way allows all, the other one port.
    assert!(done.out.ends_with("probe: 5/8 flows as the policy says\n"), "{}", done.out);
    let wrong: Vec<&str> = done.out.lines().filter(|line| line.starts_with("WRONG")).collect();
    assert_eq!(wrong.len(), 3, "{}", done.out);
    let sctp = wrong.iter().find(|line| line.contains("36412/sctp")).unwrap();
    assert!(sctp.starts_with("WRONG client (10.1.0.1) -> server (10.1.0.2) 36412/sctp: should be denied by ingress rule server/ingress/no-sctp ["), "{sctp}");
    assert!(sctp.contains("unguarded.yaml:41:7); it arrived"), "{sctp}");
    let tcp = wrong.iter().find(|line| line.contains(" 1/tcp")).unwrap();
    assert!(tcp.contains("application/default-deny/ingress") && tcp.ends_with("it was answered"), "{tcp}");
    let row = done.out.lines().find(|line| line.starts_with("client ")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["client", "!all"]);
}

#[test]
fn a_flow_that_should_be_allowed_and_is_not_is_asked_again_and_named() {
    let lab = Lab::up("broken", "unguarded.yaml");
    let cut = lab.exec("server", &["ip", "route", "replace", "blackhole", "10.1.0.1/32"]);
    assert_eq!(cut.code, Some(0), "{}", cut.err);
    let done = lab.probe(&["--families", "4", "--ports", "443/tcp", "--timeout", "300ms", "-o", "json"]);
    assert_eq!(done.code, Some(1));
    let report: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&report["asPolicySays"], &report["total"]), (&Value::from(0), &Value::from(2)));
    let flow = &report["flows"][0];
    assert_eq!(
        (&flow["source"], &flow["expected"], &flow["seen"]),
        (&"client".into(), &"allowed".into(), &"arrived".into())
    );
    assert_eq!(flow["attempts"], 3);
    assert_eq!(flow["ingress"]["name"], "server/ingress/https");
    assert_eq!(report["flows"][1]["seen"], "no-way", "{}", done.out);
}

#[test]
fn a_port_that_something_else_listens_on_is_named() {
    let lab = Lab::up("taken", "unguarded.yaml");
    let other = ["traffic", "--lab", &lab.name, "--from", "client", "--to", "server", "--port", "443/tcp"];
    let mut other = support::program().args(other).args(["--duration", "60s"]).spawn().unwrap();
    let listens = || lab.exec("server", &["cat", "/proc/self/net/tcp"]).out.contains("0200010A:01BB");
    support::eventually("the other one listens", listens);
    let done = lab.probe(&["--ports", "443/tcp"]);
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(done.code, Some(1));
    assert!(
        done.err.contains(&format!("{}-server: listen on 443/tcp: Address already in use", lab.name)),
        "{}",
        done.err
    );
}

#[test]
fn traffic_counts_what_comes_back_and_what_is_lost() {
    let lab = Lab::up("traffic", "plain.yaml");
    let traffic = |more: &[&str]| {
        let arguments = ["traffic", "--lab", &lab.name, "--from", "one", "--to", "three", "-o", "json"];
        support::lab(&[&arguments, more].concat())
    };
    for port in ["5000/tcp", "5000/udp"] {
        let done = traffic(&["--port", port, "--count", "50", "--interval", "2ms"]);
        let summary: Value = serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{}", done.err));
        assert_eq!(
            (&summary["sent"], &summary["received"], &summary["lost"]),
            (&50.into(), &50.into(), &0.into())
        );
        assert_eq!(done.code, Some(0));
    }
    assert_eq!(lab.exec("three", &["ip", "route", "replace", "blackhole", "10.1.0.1/32"]).code, Some(0));
    let done = traffic(&["--port", "5000/udp", "--count", "5", "--interval", "2ms"]);
    let summary: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&summary["sent"], &summary["received"], &summary["lost"]), (&5.into(), &0.into(), &5.into()));
    assert_eq!(done.code, Some(1));
}

#[test]
fn the_demo_is_routed_everywhere_before_anyone_enforces() {
    let demo_lab = Lab::new("demo");
    let up = demo_lab.try_up(&demo());
    assert_eq!(up.code, Some(0), "{}", up.err);
    let done = demo_lab.probe(&["--ports", "22/tcp,icmp", "-o", "json"]);
    let report: Value = serde_json::from_str(&done.out).unwrap();
    // 10 workloads and 3 externals.
    assert_eq!(report["total"], 13 * 12 * 2 * 2);
    let unanswered: Vec<&Value> =
        report["flows"].as_array().unwrap().iter().filter(|flow| flow["seen"] != "answered").collect();
    assert_eq!(unanswered, Vec::<&Value>::new());
    assert_eq!(lab(&["inspect", &demo_lab.name]).code, Some(0));
}
