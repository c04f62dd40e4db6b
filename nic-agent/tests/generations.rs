//! Generations through a real etcd into a real kernel.

mod support;

use std::fs;
use std::os::fd::{AsFd, AsRawFd};

use aya::programs::links::FdLink;
use aya::programs::{Xdp, XdpMode};
use nix::sys::signal::Signal;
use selvedge_topology::placement::{Mode, PortState};
use selvedge_topology::plan::Generation;
use support::etcd::Etcd;
use support::{Node, plans, port};

#[test]
fn a_published_plan_is_enforced_and_the_next_one_flips_the_slot() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let agent = node.agent(&[]);
    etcd.publish(1, &plans::allowing(8080));
    let first = node.wait_generation(1);
    assert_eq!((&first["addresses"], &first["policies"]), (&1.into(), &2.into()));
    assert_eq!(
        (&port(&first, "eth0")["mode"], &port(&first, "w1")["mode"]),
        (&"xdp-native".into(), &"xdp-native".into())
    );
    assert!(node.reaches(8080) && !node.reaches(9090));

    etcd.publish(2, &plans::allowing(9090));
    let second = node.wait_generation(2);
    assert_ne!(first["slot"], second["slot"]);
    assert!(!node.reaches(8080) && node.reaches(9090));
    assert_eq!(port(&first, "w1")["link"], port(&second, "w1")["link"], "policy is never a program swap");

    let report = etcd.wait_report("the drop is counted", |report| {
        report.in_force == Some(Generation(2))
            && report.reasons.iter().any(|(reason, _)| reason == "policy-deny")
    });
    assert_eq!((report.wanted, report.refusal), (Some(Generation(2)), None));
    let modes: Vec<_> =
        report.ports.iter().map(|port| (port.name.as_str(), port.requested, port.state)).collect();
    let native = PortState::Enforced(Mode::Native);
    assert_eq!(modes, [("eth0", Mode::Native, native), ("w1", Mode::Native, native)]);
    assert_eq!(report.ports[0].reason, "driver veth runs XDP itself");
    drop(agent);
}

#[test]
fn a_generation_that_changes_nothing_here_keeps_the_slot() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let _agent = node.agent(&[]);
    etcd.publish(1, &plans::allowing(8080));
    let first = node.wait_generation(1);
    etcd.publish(2, &plans::allowing(8080));
    assert_eq!(node.wait_generation(2)["slot"], first["slot"]);
}

#[test]
fn what_is_refused_is_reported_and_the_old_generation_stays() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let _agent = node.agent(&[]);
    etcd.publish(5, &plans::allowing(8080));
    node.wait_generation(5);

    let refused = |generation: u64, words: &str| {
        let report = etcd.wait_report(words, |report| {
            report.refusal.as_ref().is_some_and(|refusal| refusal.reason.contains(words))
        });
        assert_eq!(report.refusal.unwrap().generation, Generation(generation));
        assert_eq!((report.wanted, report.in_force), (Some(Generation(generation)), Some(Generation(5))));
        assert!(node.reaches(8080) && !node.reaches(9090));
    };
    etcd.publish(4, &plans::allowing(9090));
    refused(4, "generation 4 is older than generation 5");
    etcd.publish(5, &plans::allowing(9090));
    refused(5, "generation 5 is in force with manifest");
    let mut other = plans::allowing(9090);
    other.node = "host2".parse().unwrap();
    etcd.publish(6, &other);
    refused(6, "the plan is for node host2");
    etcd.publish_without_content(7, &plans::allowing(443));
    refused(7, "is not in etcd");

    etcd.publish(8, &plans::allowing(9090));
    node.wait_generation(8);
    etcd.wait_report("it is no longer refused", |report| report.refusal.is_none());
    assert!(node.reaches(9090));
}

#[test]
fn a_plan_for_a_port_that_is_not_there_is_refused_until_it_appears() {
    let node = Node::bare();
    node.wire_uplink();
    let etcd = Etcd::start(&node);
    let _agent = node.agent(&[]);
    etcd.publish(1, &plans::uplink_only());
    node.wait_generation(1);
    etcd.publish(2, &plans::allowing(8080));
    etcd.wait_report("w1 is named", |report| {
        report.refusal.as_ref().is_some_and(|refusal| refusal.reason == "the machine has no interface `w1`")
    });
    assert_eq!(node.status().unwrap()["generation"], 1);
    node.wire_workload();
    let status = node.wait_generation(2);
    assert_eq!(port(&status, "w1")["mode"], "xdp-native");
}

#[test]
fn an_outage_changes_nothing_and_a_restart_in_it_puts_the_plan_on_disk_in_force() {
    let node = Node::wired();
    let mut etcd = Etcd::start(&node);
    let agent = node.agent(&[]);
    etcd.publish(3, &plans::allowing(8080));
    let before = node.wait_generation(3);
    etcd.stop();
    agent.wait_log("nothing to be had from etcd");
    assert!(node.reaches(8080) && !node.reaches(9090));
    agent.end(Signal::SIGKILL);
    assert!(node.reaches(8080) && !node.reaches(9090), "kill -9 leaves enforcement");

    // As after a reboot: nothing pinned, etcd away.
    assert!(node.command("detach", &[]).status.success());
    let _again = node.agent(&[]);
    let after = node.wait_generation(3);
    assert_eq!((&after["addresses"], &after["policies"]), (&before["addresses"], &before["policies"]));
    assert!(node.reaches(8080) && !node.reaches(9090));

    etcd.restart();
    etcd.publish(4, &plans::allowing(9090));
    node.wait_generation(4);
}

#[test]
fn a_damaged_state_file_is_named_and_what_runs_stays_in_force() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let agent = node.agent(&[]);
    etcd.publish(3, &plans::allowing(8080));
    let before = node.wait_generation(3);
    agent.end(Signal::SIGTERM);
    drop(etcd);
    let file = node.state().join("host1/accepted");
    fs::write(&file, "generation 900\nrubbish").unwrap();
    let again = node.agent(&[]);
    again.wait_log("host1/accepted is damaged (it has no checksum)");
    assert_eq!(node.status().unwrap(), before);
    assert!(node.reaches(8080) && !node.reaches(9090));

    // The same generation is taken again from etcd, which mends the file.
    let etcd = Etcd::start(&node);
    etcd.publish(3, &plans::allowing(8080));
    again.wait_log("accepted generation=3");
    support::wait(|| fs::read_to_string(&file).ok().filter(|text| text.starts_with("generation 3\n")))
        .unwrap();
}

#[test]
fn a_foreign_program_is_refused_by_name_and_replaced_only_on_demand() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let mut object = aya::Ebpf::load(selvedge_object::OBJECT).unwrap();
    let foreign: &mut Xdp = object.program_mut(selvedge_abi::PROGRAM_XDP).unwrap().try_into().unwrap();
    foreign.load().unwrap();
    let link = node.namespace.enter(|| foreign.attach("w1", XdpMode::Skb).unwrap());
    let link = FdLink::try_from(foreign.take_link(link).unwrap()).unwrap();

    let agent = node.agent(&[]);
    etcd.publish(1, &plans::allowing(8080));
    let report = etcd.wait_report("the foreign program is named", |report| report.refusal.is_some());
    let id = link.info().unwrap().program_id();
    let reason = report.refusal.unwrap().reason;
    let expected = format!(
        "port w1 already runs the XDP program `selvedge_xdp` (id {id}, xdp-generic) of somebody else"
    );
    assert!(reason.contains(&expected), "{reason}");
    assert_eq!(node.status().unwrap()["ports"].as_array().unwrap().len(), 0, "nothing was changed");
    agent.end(Signal::SIGTERM);

    let _replacing = node.agent(&["--replace-foreign"]);
    let status = node.wait_generation(1);
    assert_eq!(port(&status, "w1")["mode"], "xdp-native");
    assert!(node.reaches(8080));
}

#[test]
fn a_foreign_program_attached_over_netlink_is_replaced_too() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let mut object = aya::Ebpf::load(selvedge_object::OBJECT).unwrap();
    let foreign: &mut Xdp = object.program_mut(selvedge_abi::PROGRAM_XDP).unwrap().try_into().unwrap();
    foreign.load().unwrap();
    support::attach_over_netlink(&node.namespace, "w1", foreign.fd().unwrap().as_fd().as_raw_fd());
    let _agent = node.agent(&["--replace-foreign"]);
    etcd.publish(1, &plans::allowing(8080));
    let status = node.wait_generation(1);
    assert_eq!(port(&status, "w1")["mode"], "xdp-native");
    assert!(node.reaches(8080));
}
