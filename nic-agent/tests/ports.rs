//! Ports on a real kernel, without etcd: modes, foreign programs, adoption, detaching.

mod support;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal;
use selvedge_abi::{ABI_VERSION, map};
use support::{Node, map_ids, port};

#[test]
fn a_port_is_shut_natively_before_there_is_a_plan_and_sigterm_leaves_it_shut() {
    let node = Node::wired();
    assert!(node.reaches(8080), "before the agent, the port is open");
    let agent = node.agent(&["--fail-closed", "eth0"]);
    let status = node.wait_status("eth0 is attached", |status| status["egress"][0]["name"] == "eth0");
    assert_eq!(port(&status, "eth0")["mode"], "xdp-native");
    assert_eq!(status["generation"], 0);
    assert!(!node.reaches(8080));

    let (code, log) = agent.end(Signal::SIGTERM);
    assert_eq!(code, Some(0));
    assert!(log.contains("enforcement stays in place"), "{log}");
    assert!(!node.reaches(8080), "a stopped agent never opens a port");
    assert_eq!(node.status().unwrap(), status);
}

#[test]
fn a_veth_that_native_refuses_is_attached_generically_with_the_kernels_reason() {
    let node = Node::bare();
    // veth_xdp_set wants packets of the peer to fit a page, unless the program takes fragments.
    node.namespace.ip("link add eth0 type veth peer name peer0 mtu 9000");
    node.namespace.ip("link set eth0 up");
    node.namespace.ip("link set peer0 up");
    let agent = node.agent(&["--fail-closed", "eth0"]);
    let status = node.wait_status("eth0 is attached", |status| status["egress"][0]["name"] == "eth0");
    assert_eq!(port(&status, "eth0")["mode"], "xdp-generic");
    agent.wait_log("attached in a lesser mode");
    support::wait(|| node.state().join("host1/placements.json").exists().then_some(())).unwrap();
    let ledger = fs::read_to_string(node.state().join("host1/placements.json")).unwrap();
    let ledger: serde_json::Value = serde_json::from_str(&ledger).unwrap();
    assert_eq!(ledger["eth0"]["requested"], "xdp-native");
    assert_eq!(ledger["eth0"]["granted"], "xdp-generic");
    let reason = ledger["eth0"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("xdp-native refused: "), "{reason}");
    assert!(reason.contains("Peer MTU is too large to set XDP"), "the kernel's own words: {reason}");
}

#[test]
fn a_device_whose_driver_has_no_xdp_is_never_asked_for_native() {
    let node = Node::bare();
    node.namespace.ip("link add eth0 type bridge");
    node.namespace.ip("link set eth0 up");
    let agent = node.agent(&["--fail-closed", "eth0"]);
    let status = node.wait_status("eth0 is attached", |status| status["egress"][0]["name"] == "eth0");
    assert_eq!(port(&status, "eth0")["mode"], "xdp-generic");
    agent.wait_log("no xdp-native: driver bridge: it has no ndo_bpf");
}

/// Of veths, by a user who wants none of their native mode.
const OWN_PROFILE: &str = r#"
profile: slow-veth
title: The lab's veths
kind: virtual
kernel: "6.12"
match: {drivers: [veth]}
netdevs:
  - role: virtual
    xdp-offload: {programs: absent, because: it is a lab, source: "tried: here"}
    xdp-native: {programs: absent, because: the lab wants the slow way, source: "tried: here"}
constraints: []
bypasses: []
unknown: []
"#;

/// What the lab's veths are said to need.
const CONSTRAINTS: &str = r#"on-set: {first: none, exchange: none, source: "tried: here"}
constraints:
  - {needs: mtu-at-most, value: 1400 B, mend: "ip link set dev {port} mtu {value}", source: "tried: here"}
  - {needs: channels-at-most-half, source: "tried: here"}"#;

#[test]
fn what_keeps_a_port_from_its_best_mode_is_changed_only_where_the_user_allows_it() {
    let node = Node::bare();
    node.namespace.ip("link add eth0 mtu 1500 numrxqueues 4 numtxqueues 4 type veth peer name peer0");
    node.namespace.ip("link set eth0 up");
    node.namespace.ip("link set peer0 up");
    let profiles = tempfile::tempdir().unwrap();
    let needs = OWN_PROFILE.replace("constraints: []", CONSTRAINTS).replace(
        "xdp-native: {programs: absent, because: the lab wants the slow way,",
        "xdp-native: {programs: run,",
    );
    fs::write(profiles.path().join("slow-veth.yaml"), needs).unwrap();
    let folder = profiles.path().to_str().unwrap();
    let mtu = || {
        let shown = node.namespace.command("ip").args(["-o", "link", "show", "eth0"]).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let (_, after) = shown.split_once(" mtu ").unwrap();
        after.split(' ').next().unwrap().parse::<u32>().unwrap()
    };

    let agent = node.agent(&["--fail-closed", "eth0", "--profiles", folder]);
    node.wait_status("eth0 is attached", |status| status["egress"][0]["name"] == "eth0");
    agent.wait_log("`ip link set dev eth0 mtu 1400` mends it");
    assert_eq!(mtu(), 1500);
    agent.end(Signal::SIGTERM);
    let tuning = node.agent(&["--fail-closed", "eth0", "--profiles", folder, "--tune"]);
    tuning.wait_log("nothing to be had from etcd");
    assert_eq!(mtu(), 1500, "nothing is changed under a program that is there");
    tuning.end(Signal::SIGTERM);
    assert!(node.command("detach", &[]).status.success());

    let tuning = node.agent(&["--fail-closed", "eth0", "--profiles", folder, "--tune"]);
    let status = node.wait_status("eth0 is attached", |status| status["egress"][0]["name"] == "eth0");
    tuning.wait_log("as --tune allows, to MTU 1400 B");
    tuning.wait_log("as --tune allows, to channels: 0 combined, 2 rx, 2 tx");
    assert_eq!((port(&status, "eth0")["mode"].as_str(), mtu()), (Some("xdp-native"), 1400));
}

#[test]
fn a_users_own_profile_decides_and_a_wrong_one_ends_the_agent_with_its_place() {
    let node = Node::wired();
    let profiles = tempfile::tempdir().unwrap();
    let folder = profiles.path().to_str().unwrap();
    fs::write(profiles.path().join("slow-veth.yaml"), OWN_PROFILE).unwrap();
    let agent = node.agent(&["--fail-closed", "eth0", "--profiles", folder]);
    let status = node.wait_status("eth0 is attached", |status| status["egress"][0]["name"] == "eth0");
    assert_eq!(port(&status, "eth0")["mode"], "xdp-generic");
    agent.wait_log("no xdp-native: driver veth: the lab wants the slow way");
    drop(agent);

    let wrong = OWN_PROFILE.replace("kind: virtual", "kind: virtual\nspeed: 100");
    fs::write(profiles.path().join("slow-veth.yaml"), wrong).unwrap();
    let (code, log) = node.agent(&["--profiles", folder]).wait_end();
    assert_eq!(code, Some(1));
    assert!(log.contains("slow-veth.yaml: unknown field `speed`"), "{log}");
    assert!(log.contains("at line 5 column 1"), "{log}");
}

#[test]
fn a_port_with_a_dot_in_its_name_is_pinned_adopted_and_detached_as_any_other() {
    let node = Node::bare();
    // As a VLAN's is called.
    node.namespace.ip("link add eth0.100 type veth peer name peer0");
    node.namespace.ip("link set eth0.100 up");
    node.namespace.ip("link set peer0 up");
    let agent = node.agent(&["--fail-closed", "eth0.100"]);
    let before = node.wait_status("it is attached", |status| status["egress"][0]["name"] == "eth0.100");
    assert_eq!(port(&before, "eth0.100")["mode"], "xdp-native");
    agent.end(Signal::SIGTERM);
    let again = node.agent(&["--fail-closed", "eth0.100"]);
    again.wait_log("nothing to be had from etcd");
    assert_eq!(node.status().unwrap(), before, "the same links");
    again.end(Signal::SIGTERM);
    let output = node.command("detach", &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("eth0.100: detached, and open now"), "{text}");
    assert!(!node.pin("").exists());
}

#[test]
fn a_restart_adopts_maps_links_and_program_as_they_are() {
    let node = Node::wired();
    let agent = node.agent(&["--fail-closed", "eth0"]);
    let before = node.wait_status("eth0 is attached", |status| status["egress"][0]["name"] == "eth0");
    let maps = map_ids(&node);
    let (code, log) = node.agent(&[]).wait_end();
    assert_eq!(code, Some(1), "a second agent is refused");
    assert!(log.contains("an agent is running for node host1"), "{log}");
    agent.end(Signal::SIGKILL);
    assert_eq!(node.status().unwrap(), before, "kill -9 leaves everything");
    let again = node.agent(&["--fail-closed", "eth0"]);
    again.wait_log("nothing to be had from etcd");
    assert_eq!(node.status().unwrap(), before, "the same link runs the same program");
    assert_eq!(map_ids(&node), maps);
    let (code, _) = again.end(Signal::SIGINT);
    assert_eq!(code, Some(0));
}

#[test]
fn detach_opens_the_ports_says_so_and_leaves_nothing() {
    let node = Node::wired();
    let agent = node.agent(&["--fail-closed", "eth0", "w1"]);
    node.wait_status("both are attached", |status| {
        status["ports"].as_array().is_some_and(|ports| ports.len() == 2)
    });
    let refused = node.command("detach", &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("stop it first"));
    agent.end(Signal::SIGTERM);

    let output = node.command("detach", &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("eth0: detached, and open now\nw1: detached, and open now\n"), "{text}");
    assert!(text.contains("node host1: 2 ports are open now"), "{text}");
    assert!(!node.pin("").exists());
    assert!(node.reaches(8080));

    let again = node.command("detach", &[]);
    assert_eq!(again.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing to detach"));
    assert_eq!(node.command("status", &[]).status.code(), Some(1));
}

#[test]
fn a_port_that_is_deleted_and_made_again_is_shut_again() {
    let node = Node::wired();
    let _agent = node.agent(&["--fail-closed", "eth0"]);
    let first = node.wait_status("eth0 is attached", |status| status["egress"][0]["name"] == "eth0");
    node.namespace.ip("link del eth0");
    node.wait_status("the link died", |status| status["ports"][0]["mode"] == "gone");
    node.wire_uplink();
    let second =
        node.wait_status("eth0 is attached again", |status| status["ports"][0]["mode"] == "xdp-native");
    assert_ne!(port(&first, "eth0")["ifindex"], port(&second, "eth0")["ifindex"]);
    assert!(!node.reaches(8080));
}

/// Whether no other map than those that are remembered is the same.
fn assert_others_but_for_what_is_remembered(node: &Node, before: &[u32]) {
    for ((name, then), now) in map::ALL.into_iter().zip(before).zip(map_ids(node)) {
        assert_eq!(*then == now, map::REMEMBERED.contains(&name), "{name}");
    }
}

#[test]
fn pins_that_are_exchanged_or_missing_are_told_and_other_tables_take_the_place_of_all() {
    let node = Node::wired();
    let set = format!("v{ABI_VERSION}");
    let pin = |name: &str| node.pin(&format!("{set}/{name}"));
    let exchanged = || {
        fs::remove_file(pin("CONFIG")).unwrap();
        fs::rename(pin("PORTS"), pin("CONFIG")).unwrap();
    };
    let missing = || fs::remove_file(pin("POLICIES")).unwrap();
    let faults: [(&dyn Fn(), [&str; 2]); 2] = [
        (&exchanged, ["CONFIG is PORTS, Array of 2048", "not Array of 1"]),
        (&missing, ["POLICIES is missing", "the pinned tables are not whole"]),
    ];
    for (spoil, words) in faults {
        let agent = node.agent(&["--fail-closed", "eth0"]);
        agent.wait_log("nothing to be had from etcd");
        agent.end(Signal::SIGKILL);
        let maps = map_ids(&node);
        spoil();
        let agent = node.agent(&["--fail-closed", "eth0"]);
        agent.wait_log("renew the program on eth0");
        assert!(words.iter().all(|words| agent.log().contains(words)), "{}", agent.log());
        assert!(!node.reaches(8080));
        assert_others_but_for_what_is_remembered(&node, &maps);
        agent.end(Signal::SIGTERM);
    }
}

#[test]
fn whatever_is_pinned_is_put_back_by_a_running_agent_and_nothing_ends_with_its_pin() {
    let node = Node::wired();
    let agent = node.agent(&["--fail-closed", "eth0", "w1"]);
    agent.wait_log("nothing to be had from etcd");
    let before = node.wait_status("both are attached", |status| {
        status["egress"].as_array().is_some_and(|ports| ports.len() == 2)
    });
    let maps = map_ids(&node);
    fs::remove_dir_all(node.pin("")).unwrap();
    assert!(!node.reaches(8080), "a link is no more than its pin only where no agent runs");
    agent.wait_log("it is put back");
    assert_eq!(node.wait_status("all is pinned again", |status| *status == before), before);
    assert_eq!(map_ids(&node), maps);
    agent.end(Signal::SIGKILL);
    assert!(!node.reaches(8080), "the pins are whole");
}

#[test]
fn maps_of_another_abi_version_are_replaced_under_the_same_link_and_the_port_stays_shut() {
    let node = Node::wired();
    let agent = node.agent(&["--fail-closed", "eth0"]);
    let before = node.wait_status("eth0 is attached", |status| status["egress"][0]["name"] == "eth0");
    agent.end(Signal::SIGTERM);
    let maps = map_ids(&node);
    fs::rename(node.pin(&format!("v{ABI_VERSION}")), node.pin("v0")).unwrap();

    let agent = node.agent(&["--fail-closed", "eth0"]);
    agent.wait_log("renew the program on eth0");
    let program = port(&before, "eth0")["program"].clone();
    let after = node.wait_status("the program is another", |status| status["ports"][0]["program"] != program);
    assert_eq!(port(&after, "eth0")["link"], port(&before, "eth0")["link"], "replaced in place, with no gap");
    assert_others_but_for_what_is_remembered(&node, &maps);
    assert!(support::wait(|| (!node.pin("v0").exists()).then_some(())).is_some(), "the old set is removed");
    assert!(!node.reaches(8080));
}

#[test]
fn missing_rights_are_named_before_anything_is_touched() {
    let node = Node::bare();
    let output = node
        .namespace
        .command("setpriv")
        .args(["--bounding-set", "-net_admin,-sys_admin,-bpf", "--inh-caps", "-net_admin,-sys_admin,-bpf"])
        .args([
            support::AGENT,
            "run",
            "--insecure",
            "--node",
            "host1",
            "--etcd",
            "http://127.0.0.1:2379",
            "--bpffs",
        ])
        .arg(node.bpffs())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("error: the agent lacks CAP_BPF and CAP_NET_ADMIN"), "{text}");
    assert!(!node.pin("").exists());
}

#[test]
fn wrong_usage_is_told_from_failure() {
    let node = Node::bare();
    let output = node.command("run", &["--etcd", "172.31.0.1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is no URL with a scheme and a host"));
}

#[test]
fn what_the_node_sends_is_judged_by_a_link_of_its_own_that_outlives_the_agent_and_goes_with_detach() {
    let node = Node::wired();
    let listener = node.inside.enter(|| TcpListener::bind("10.1.0.12:8080")).unwrap();
    let speaks = || {
        let target = "10.1.0.12:8080".parse().unwrap();
        node.namespace.enter(|| TcpStream::connect_timeout(&target, Duration::from_millis(700))).is_ok()
    };
    assert!(
        support::wait(|| speaks().then_some(())).is_some(),
        "before the agent, the node speaks to its workload"
    );
    let agent = node.agent(&["--fail-closed", "eth0", "w1"]);
    let before = node.wait_status("both are attached", |status| {
        status["egress"].as_array().is_some_and(|ports| ports.len() == 2)
    });
    assert_eq!(before["egress"][1]["name"], "w1");
    assert_eq!(before["egress"][1]["mode"], "tcx-egress");
    assert!(!speaks());
    agent.end(Signal::SIGKILL);
    assert!(!speaks(), "kill -9 leaves it");
    let again = node.agent(&["--fail-closed", "eth0", "w1"]);
    again.wait_log("nothing to be had from etcd");
    assert_eq!(node.status().unwrap(), before, "the same links run the same program");
    again.end(Signal::SIGTERM);
    assert_eq!(node.command("detach", &[]).status.code(), Some(0));
    assert!(speaks());
    drop(listener);
}
