//! What is demanded of modes, on a real kernel: refused before it is in force, and never at the price of an open port.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod support;

use selvedge_hw_profiles::{Demand, Mode};
use selvedge_proto::Report;
use selvedge_topology::placement::PortState;
use selvedge_topology::plan::{Generation, Plan};
use support::etcd::Etcd;
use support::{Node, plans, port};

/// A node whose uplink runs XDP in the driver only while its peer's packets fit a page (veth_xdp_set), which nothing shows before.
fn unwilling() -> Node {
    let node = Node::bare();
    let peer = format!("peer name peer0 mtu 9000 netns {}", node.outside.name);
    node.namespace.ip(&format!("link add eth0 type veth {peer}"));
    node.namespace.ip("link set eth0 up");
    node
}

fn native(mut plan: Plan) -> Plan {
    let demand = Demand { require: Some(Mode::Native), ..Demand::default() };
    plan.demands.ports.insert("eth0".parse().unwrap(), demand);
    plan
}

fn refused(report: &Report) -> Option<&str> {
    report.refusal.as_ref().map(|refusal| refusal.reason.as_str())
}

#[test]
fn a_demand_that_the_kernel_does_not_grant_keeps_the_generation_out_and_the_port_shut() {
    let node = unwilling();
    let etcd = Etcd::start(&node);
    let _agent = node.agent(&[]);
    etcd.publish(1, &native(plans::uplink_only()));
    let report = etcd.wait_report("it is refused", |report| refused(report).is_some());
    assert_eq!(report.in_force, None);
    let told = refused(&report).unwrap();
    assert!(told.contains("port eth0 runs xdp-generic, and at least native is demanded"), "{told}");
    assert_eq!(report.ports[0].state, PortState::Shut(Mode::Generic));
    let reason = &report.ports[0].reason;
    assert!(reason.contains("Peer MTU is too large to set XDP"), "the kernel's own words: {reason}");
    assert!(
        reason.ends_with("at least native is demanded, and the port stays enforced as it is"),
        "{reason}"
    );

    etcd.publish(2, &plans::uplink_only());
    let report = etcd.wait_report("it is in force", |report| report.in_force == Some(Generation(2)));
    assert_eq!(report.ports[0].state, PortState::Enforced(Mode::Generic));
}

#[test]
fn a_demand_that_shows_to_be_unmet_leaves_the_last_good_generation_in_force() {
    let node = unwilling();
    let etcd = Etcd::start(&node);
    let _agent = node.agent(&[]);
    etcd.publish(1, &plans::uplink_only());
    let first = node.wait_generation(1);
    assert_eq!(port(&first, "eth0")["mode"], "xdp-generic");
    etcd.publish(2, &native(plans::uplink_only()));
    let report = etcd.wait_report("it is refused", |report| refused(report).is_some());
    assert_eq!((report.wanted, report.in_force), (Some(Generation(2)), Some(Generation(1))));
    let told = refused(&report).unwrap();
    assert!(told.starts_with("port eth0 runs xdp-generic, and at least native is demanded"), "{told}");
    assert_eq!(report.ports[0].state, PortState::Enforced(Mode::Generic));
    assert_eq!(report.ports[0].profile, Some("veth".parse().unwrap()));
}
