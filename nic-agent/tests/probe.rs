//! `selvedge-agent probe` on real interfaces, and what the kernel then does.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[path = "support/gro.rs"]
mod gro;
mod support;

use std::fs;
use std::process::Output;

use selvedge_hw_profiles::port::{Feature, Switch};
use selvedge_hw_profiles::recording::{Load, Origin, RecordedPort, Recording};
use selvedge_hw_profiles::units::Bytes;
use serde_json::{Value, json};
use support::{AGENT, Namespace, Node, port};

/// A node with both ends of a veth, so that each sees the other's MTU.
fn pair(peer_mtu: u32) -> Node {
    let node = Node::bare();
    node.namespace.ip(&format!("link add eth0 type veth peer name peer0 mtu {peer_mtu}"));
    node.namespace.ip("link set eth0 up");
    node.namespace.ip("link set peer0 up");
    node
}

fn probe(node: &Node, arguments: &[&str]) -> Output {
    node.namespace.command(AGENT).arg("probe").args(arguments).output().unwrap()
}

fn probed(node: &Node, arguments: &[&str]) -> Value {
    let output = probe(node, &[arguments, &["-o", "json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_veth_is_seen_as_it_is_and_the_recording_says_the_same() {
    let node = pair(1500);
    node.namespace.ip("link add br0 type bridge");
    node.namespace.ip("link set peer0 master br0");
    let file = node.state().with_extension("yaml");
    let rows = probed(&node, &["--record", file.to_str().unwrap()]);
    let names: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["port"]).collect();
    assert_eq!(names, ["br0", "eth0", "peer0"], "the loopback is left out");
    assert_eq!((&rows[0]["profile"], &rows[0]["fit"]["mode"]), (&"bridge".into(), &"xdp-generic".into()));
    assert_eq!((&rows[1]["profile"], &rows[1]["fit"]["mode"]), (&"veth".into(), &"xdp-native".into()));
    assert_eq!(rows[1]["role"], "virtual");
    assert_eq!((&rows[1]["seen"]["upper"], &rows[2]["seen"]["upper"]), (&Value::Null, &"bridge".into()));
    assert_eq!(rows[1]["seen"]["devlink"], Value::Null, "a veth is on no device");

    let recording = Recording::parse("it", &fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(recording.origin, Origin::Recorded);
    let RecordedPort { seen, tried } = &recording.ports["eth0"];
    assert_eq!(serde_json::to_value(seen).unwrap(), rows[1]["seen"]);
    assert_eq!((seen.driver.as_str(), seen.mtu, seen.peer_mtu), ("veth", Bytes(1500), Some(Bytes(1500))));
    assert_eq!(
        (seen.lro, seen.hw_gro, seen.tc_offload),
        (Some(Switch::Off), Some(Switch::Off), Some(Switch::Off))
    );
    assert!(seen.channels.is_some() && seen.cpus.is_some_and(|cpus| cpus > 0));
    // Kernels before 6.3 make no claims.
    let claims = [Feature::Basic, Feature::Redirect, Feature::RxSg];
    assert!(seen.xdp_features.as_ref().is_none_or(|features| *features == claims), "{seen:?}");
    assert!(tried.is_empty(), "a veth runs no programs itself");
}

#[test]
fn what_the_kernel_newly_claims_of_a_port_is_heard_though_no_link_event_tells_it() {
    const HEARD: &str = "the kernel claims other XDP features than before";
    let (node, other) = (Node::bare(), Namespace::new("x"));
    node.namespace.ip(&format!("link add eth0 type veth peer name eth0 netns {}", other.name));
    node.namespace.ip("link set eth0 up");
    other.ip("link set eth0 up");
    let agent = node.agent(&["--fail-closed", "eth0"]);
    node.wait_status("eth0 is attached", |status| status["egress"][0]["name"] == "eth0");
    let claims = || probed(&node, &["eth0"])[0]["seen"]["xdp-features"].clone();
    if claims().is_null() {
        // Kernels before 6.3 make no claims: the port is enforced at all the same, and there is nothing to hear.
        return;
    }
    assert_eq!(claims(), json!(["basic", "redirect", "rx-sg"]));
    assert!(!agent.log().contains(HEARD));

    // Then this end can be redirected to (veth_set_features), which only its claims tell.
    gro::set(&other, "eth0", true);
    agent.wait_log(HEARD);
    assert_eq!(claims(), json!(["basic", "redirect", "ndo-xmit", "rx-sg", "ndo-xmit-sg"]));
    gro::set(&other, "eth0", false);
    let heard = support::wait(|| (agent.log().matches(HEARD).count() == 2).then_some(()));
    assert!(heard.is_some(), "{}", agent.log());
}

#[test]
fn the_kernel_refuses_native_exactly_where_the_probe_says_so() {
    for (peer_mtu, mode) in [(3506, "xdp-native"), (3507, "xdp-generic")] {
        let node = pair(peer_mtu);
        assert_eq!(probed(&node, &["eth0"])[0]["fit"]["mode"], mode, "{peer_mtu}");
        // The agent does not look at the peer, so this is the kernel's own word.
        let _agent = node.agent(&["--fail-closed", "eth0"]);
        let status = node.wait_status("eth0 is attached", |status| status["egress"][0]["name"] == "eth0");
        assert_eq!(port(&status, "eth0")["mode"], mode, "{peer_mtu}");
    }
}

/// Of veths, by a user who claims that they run programs themselves.
const CLAIM: &str = r#"
profile: claim
title: A claim
kind: virtual
kernel: "6.12"
extends: netdevsim
match: {drivers: [veth]}
"#;

#[test]
fn what_is_tried_on_a_device_carries_the_kernels_words() {
    let node = pair(1500);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("claim.yaml"), CLAIM).unwrap();
    let file = node.state().with_extension("yaml");
    let arguments =
        ["eth0", "--profiles", folder.path().to_str().unwrap(), "--record", file.to_str().unwrap()];
    let output = probe(&node, &arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("tried, xdp-offload, a program that passes everything: "), "{text}");
    let recording = Recording::parse("it", &fs::read_to_string(&file).unwrap()).unwrap();
    let tried = &recording.ports["eth0"].tried;
    assert_eq!(tried.len(), 7);
    assert!(tried.iter().all(|trial| trial.refused.as_ref().is_some_and(|words| words.contains("os error"))));
    assert_eq!(tried.iter().filter(|trial| trial.load == Load::Program).count(), 1);
}

#[test]
fn a_port_that_is_not_there_is_named() {
    let output = probe(&Node::bare(), &["eth9"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("there is no interface `eth9` in this network namespace"), "{error}");
}
