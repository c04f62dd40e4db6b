//! What a lab consists of follows from its documents alone.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use selvedge_lab::blueprint::{
    Blueprint, BlueprintError, Forwarding, InterfaceKind, NextHop, PortIsolation, Space, draw,
};
use selvedge_topology::documents::{self, Colours, SourceFile};

const PLAIN: &str = include_str!("fabrics/plain.yaml");

fn drawn(text: &str) -> Result<Blueprint, BlueprintError> {
    let loaded = documents::load(&[SourceFile { name: "test.yaml".to_owned(), text: text.to_owned() }]);
    let findings = documents::render(&loaded.diagnostics, Colours::Plain);
    draw(&loaded.model.unwrap_or_else(|| panic!("{findings}")), &"t".parse().unwrap())
}

fn space<'a>(blueprint: &'a Blueprint, name: &str) -> &'a Space {
    blueprint.spaces.iter().find(|space| space.target.to_string() == name).unwrap()
}

/// `destination gateway interface source` of each IPv4 route of a place.
fn routes(blueprint: &Blueprint, name: &str) -> Vec<String> {
    let space = space(blueprint, name);
    let ipv4 = space.routes.iter().filter(|route| route.destination.addr().is_ipv4());
    let lines = ipv4.map(|route| {
        let interface = space.interfaces.iter().find(|interface| interface.index == route.interface).unwrap();
        let gateway = match route.next_hop {
            NextHop::Direct => "direct".to_owned(),
            NextHop::Gateway(gateway) => gateway.to_string(),
        };
        format!("{} {gateway} {} {}", route.destination, interface.name, route.source.unwrap())
    });
    lines.collect()
}

#[test]
fn drawing_twice_draws_the_same() {
    assert_eq!(drawn(PLAIN).unwrap(), drawn(PLAIN).unwrap());
}

#[test]
fn every_address_has_one_way_from_every_node_and_workloads_have_their_node_alone() {
    let blueprint = drawn(PLAIN).unwrap();
    let mut left = routes(&blueprint, "left");
    left.sort();
    assert_eq!(
        left,
        [
            "10.1.0.1/32 direct w1 10.255.0.11",
            "10.2.0.2/32 fe80::1 eth0 10.255.0.11",
            "10.2.0.3/32 fe80::1 eth0 10.255.0.11",
            "10.255.0.1/32 fe80::1 eth0 10.255.0.11",
            "10.255.0.12/32 fe80::1 eth0 10.255.0.11",
            "203.0.113.10/32 fe80::1 eth0 10.255.0.11",
        ]
    );
    assert_eq!(routes(&blueprint, "two"), ["0.0.0.0/0 169.254.1.1 eth0 10.2.0.2"]);
}

#[test]
fn workloads_behind_one_port_are_kept_apart_by_their_segment() {
    let blueprint = drawn(PLAIN).unwrap();
    let segment = space(&blueprint, "right-w1");
    let kinds: Vec<(&str, InterfaceKind)> =
        segment.interfaces.iter().map(|i| (i.name.as_str(), i.kind)).collect();
    let port = |isolation| InterfaceKind::BridgePort { bridge: 2, isolation };
    assert_eq!(
        kinds,
        [
            ("br0", InterfaceKind::Bridge),
            ("uplink", port(PortIsolation::Open)),
            ("port0", port(PortIsolation::Isolated)),
            ("port1", port(PortIsolation::Isolated)),
        ]
    );
    assert_eq!(
        space(&blueprint, "leaf-idle").interfaces.len(),
        2,
        "an idle port is there, with nobody behind it"
    );
}

#[test]
fn a_workload_at_an_uplink_is_in_its_nodes_namespace_with_its_own_addresses() {
    let text =
        PLAIN.replacen("attachment: {node: left, port: w1}", "attachment: {node: left, port: eth0}", 1);
    let blueprint = drawn(&text).unwrap();
    assert!(!blueprint.spaces.iter().any(|space| space.target.to_string() == "one"));
    let left = space(&blueprint, "left");
    let tenant = left.tenant.as_ref().unwrap();
    assert_eq!(tenant.target.to_string(), "one");
    let text = |addresses: Vec<std::net::IpAddr>| -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    };
    assert_eq!(text(tenant.addresses.clone()), ["10.1.0.1", "fd00:1::1"]);
    assert_eq!(text(left.addresses()), ["10.255.0.11", "fd00:ff::11"]);
    assert_eq!(left.loopback.len(), 4);
    let there = "10.1.0.1/32 fe80::2 swp1 10.255.0.1".to_owned();
    assert!(routes(&blueprint, "leaf").contains(&there), "{:?}", routes(&blueprint, "leaf"));
}

#[test]
fn hosts_carry_no_packets_of_others() {
    // A host with two uplinks joins two leaves that have no other link.
    let text = "
apiVersion: selvedge/v1
kind: Fabric
metadata: {name: split}
spec:
  defaultAction: allow
  nodes:
    - {name: a, role: switch, agent: none, addresses: [10.255.0.1], ports: [{name: p1, role: fabric}]}
    - {name: b, role: switch, agent: none, addresses: [10.255.0.2], ports: [{name: p1, role: fabric}]}
    - name: host
      role: host
      agent: none
      addresses: [10.255.0.3]
      ports: [{name: e1, role: uplink}, {name: e2, role: uplink}]
  links:
    - endpoints: [\"a:p1\", \"host:e1\"]
    - endpoints: [\"b:p1\", \"host:e2\"]
";
    let blueprint = drawn(text).unwrap();
    assert_eq!(routes(&blueprint, "a"), ["10.255.0.3/32 fe80::2 p1 10.255.0.1"], "to the host, not to b");
    assert_eq!(routes(&blueprint, "host").len(), 2);
}

#[test]
fn nodes_with_an_agent_get_a_way_to_the_controller() {
    let text = PLAIN.replacen("agent: none\n      addresses: [10.255.0.11", "addresses: [10.255.0.11", 1);
    let text = text.replacen("  unmanaged: true\n  attachment: {node: left", "  attachment: {node: left", 1);
    let blueprint = drawn(&text).unwrap();
    let management =
        |name| space(&blueprint, name).interfaces.iter().find(|i| i.kind == InterfaceKind::Management);
    let port = management("left").unwrap();
    assert_eq!((port.name.as_str(), port.addresses[0].to_string().as_str()), ("mgmt0", "172.31.0.2/16"));
    assert_eq!(management("right"), None);
    assert_eq!(space(&blueprint, "controller").interfaces[0].addresses[0].to_string(), "172.31.0.1/16");
}

#[test]
fn places_that_would_share_a_namespace_are_refused() {
    let clash = drawn(&PLAIN.replace("metadata: {name: one}", "metadata: {name: leaf}")).unwrap_err();
    assert_eq!(
        clash.to_string(),
        "node `leaf` and workload `leaf` would share the namespace `t-leaf`; rename one of them"
    );
    let clash = drawn(&PLAIN.replace("metadata: {name: one}", "metadata: {name: controller}")).unwrap_err();
    assert!(matches!(clash, BlueprintError::NamespaceClash { .. }), "{clash}");
}

#[test]
fn a_machine_leaves_a_chassis_that_joins_its_ports_and_routes_nothing() {
    let (whole, node) = (drawn(PLAIN).unwrap(), "right".parse().unwrap());
    let blueprint = whole.clone().with_machines(&[node].into()).unwrap();
    let (before, chassis) = (space(&whole, "right"), space(&blueprint, "right"));
    let (ports, bridges) = chassis.interfaces.split_at(before.interfaces.len());
    assert_eq!(ports.len(), 2);
    for (port, (own, bridge)) in ports.iter().zip(before.interfaces.iter().zip(bridges)) {
        assert_eq!((&port.name, port.index), (&own.name, own.index), "the wires stay as they are");
        let joined = InterfaceKind::BridgePort { bridge: bridge.index, isolation: PortIsolation::Open };
        assert_eq!((port.kind, bridge.kind), (joined, InterfaceKind::Bridge));
        assert_eq!(bridge.name, format!("br{}", port.index));
    }
    let indices: Vec<u32> = chassis.interfaces.iter().map(|interface| interface.index).collect();
    assert_eq!(indices, [2, 3, 4, 5]);
    assert!(chassis.interfaces.iter().all(|interface| interface.addresses.is_empty()));
    assert!(chassis.routes.is_empty() && chassis.loopback.is_empty() && chassis.addresses().is_empty());
    assert_eq!(chassis.forwarding, Forwarding::EndsHere);
    let others = |blueprint: &Blueprint| {
        let others = blueprint.spaces.iter().filter(|space| space.target.to_string() != "right");
        others.cloned().collect::<Vec<_>>()
    };
    assert_eq!(others(&whole), others(&blueprint), "nothing else changes");
    assert_eq!(whole.wires, blueprint.wires);
}

#[test]
fn there_is_no_machine_in_the_place_of_nobody() {
    let error = drawn(PLAIN).unwrap().with_machines(&["nobody".parse().unwrap()].into()).unwrap_err();
    assert_eq!(error.to_string(), "the fabric has no node `nobody`");
}
