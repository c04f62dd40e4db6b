//! What virtual machines in a lab stand on, without booting one; `make lab-dpu` and `make lab-netdevsim` do that.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::process::Command;

use support::{Lab, fabric_file, lab, run};

/// Runs shell commands in a network namespace that is gone afterwards, `$LAB` being the program.
fn alone(script: &str) -> String {
    let script = format!("set -e; {script}");
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &script]).env("LAB", env!("CARGO_BIN_EXE_selvedge-lab"));
    let done = run(command.env("FABRIC", fabric_file("plain.yaml")));
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    done.out
}

/// Two ports with the indices that a machine in the place of `right` finds, and names of its kernel's own.
const PORTS: &str = "ip link add eth0 index 2 type veth peer name far0 index 12;
    ip link add eth1 index 3 type veth peer name far1 index 13; ip link set far0 up; ip link set far1 up;";

#[test]
fn a_furnished_machine_has_the_names_addresses_and_routes_of_the_node_and_forwards_nothing() {
    let found = alone(&format!(
        "{PORTS} $LAB furnish $FABRIC right; ip -o address show dev lo; ip -o address show dev w1; ip route;
        cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/eth0/forwarding"
    ));
    for expected in [
        "inet 10.255.0.12/32",
        "inet6 fd00:ff::12/128",
        "inet 169.254.1.1/32",
        "10.1.0.1 via inet6 fe80::1 dev eth0 proto static src 10.255.0.12 onlink",
        "10.2.0.2 dev w1 proto static scope link src 10.255.0.12",
    ] {
        assert!(found.contains(expected), "no `{expected}` in\n{found}");
    }
    assert!(found.ends_with("\n0\n0\n"), "it forwards:\n{found}");
}

#[test]
fn it_forwards_when_it_is_told_to() {
    let found = alone(&format!(
        "{PORTS} $LAB furnish $FABRIC right; $LAB furnish $FABRIC right --forward; cd /proc/sys/net
        cat ipv4/ip_forward ipv6/conf/w1/forwarding ipv4/conf/w1/send_redirects ipv4/conf/w1/rp_filter"
    ));
    assert_eq!(found, "1\n1\n0\n0\n");
}

#[test]
fn a_lab_with_a_machine_leaves_its_ports_joined_to_bridges_and_without_addresses() {
    let lab_of_one = Lab::new("machine");
    let fabric = fabric_file("plain.yaml");
    let done = lab(&["up", fabric.to_str().unwrap(), "--name", &lab_of_one.name, "--machine", "right"]);
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    let links = lab_of_one.exec("right", &["ip", "-o", "link"]).out;
    for joined in ["eth0@", "w1@"] {
        let line = links.lines().find(|line| line.contains(joined)).unwrap();
        assert!(line.contains(" master br"), "{line}");
    }
    let addresses = lab_of_one.exec("right", &["ip", "-o", "address"]).out;
    assert!(addresses.lines().all(|line| line.contains(" lo ")), "{addresses}");
    assert_eq!(lab_of_one.exec("right", &["cat", "/proc/sys/net/ipv4/ip_forward"]).out, "0\n");
    assert!(!lab_of_one.reaches("one", "two", "10.2.0.2"), "nobody is plugged in there");
}

#[test]
fn what_a_machine_lacks_is_named() {
    let done = lab(&["vm", "target/vm/riscv64", "--", "true"]);
    assert_eq!(done.code, Some(1));
    assert_eq!(
        done.err,
        "error: target/vm/riscv64: a kit's folder is called amd64 or arm64, as `lab/vm-kit` makes it\n"
    );
    let done = lab(&["vm", "/nonexistent/arm64", "--", "true"]);
    assert_eq!(done.code, Some(1));
    let expected = "error: /nonexistent/arm64/version: No such file or directory (os error 2); `lab/vm-kit arm64` makes it\n";
    assert_eq!(done.err, expected);
    let done = lab(&["vm", "/nonexistent/arm64", "--lab", "x", "--", "true"]);
    assert_eq!(done.code, Some(2), "a lab without a place in it: {}", done.err);
}

#[test]
fn a_lab_without_room_for_a_machine_says_how_it_gets_some() {
    let kit = tempfile::tempdir().unwrap();
    let folder = kit.path().join("arm64");
    std::fs::create_dir_all(folder.join("modules")).unwrap();
    std::fs::write(folder.join("version"), "none").unwrap();
    let whole = Lab::up("whole", "plain.yaml");
    let done = lab(&["vm", folder.to_str().unwrap(), "--lab", &whole.name, "--at", "right", "--", "true"]);
    assert_eq!(done.code, Some(1));
    let expected = format!(
        "error: lab `{}` has no room for a machine at right; build it with `selvedge-lab up --machine right`\n",
        whole.name
    );
    assert_eq!(done.err, expected);
}
