//! The flows that keep a node reachable, whatever policy says, and where policy cuts them all the same.

use selvedge_topology::failsafe::{Need, Origin, Service, ServiceKind, lockouts};
use selvedge_topology::model::{Model, Node, PortRole};

use super::indented;
use crate::cli::table::{list, table};

/// Each flow: with whom, at which ports, where that is known from, and what becomes of it.
pub(super) fn flows(model: &Model, node: &Node, services: &[Service]) -> String {
    let faces_fabric = ports(node, |role| matches!(role, PortRole::Uplink | PortRole::Fabric));
    let management = ports(node, |role| role == PortRole::Management);
    let service = |service: &Service| {
        let Service { kind, host, port, .. } = service;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let with = format!("{host}:{port} TCP");
        [kind.to_string(), with, faces_fabric.clone(), origin(service).to_owned(), fate(model, node, service)]
    };
    let always = [
        ["ARP, neighbour discovery, DHCP", "neighbours", "all", "built in", "passes"],
        ["management (SSH)", "anyone", &management, "port role management", "never judged"],
    ];
    let rows = services.iter().map(|each| service(each).to_vec());
    let rows = rows.chain(always.iter().map(|row| row.map(str::to_owned).to_vec()));
    let head = ["FLOW", "WITH", "PORTS", "KNOWN FROM", "POLICY"];
    format!("Failsafe flows:\n{}", indented(&table(&head, rows)))
}

fn ports(node: &Node, has: impl Fn(PortRole) -> bool) -> String {
    list(node.ports.iter().filter(|(_, role)| has(**role)).map(|(name, _)| name))
}

fn origin(service: &Service) -> &'static str {
    match (service.origin, service.kind) {
        (Origin::Token, _) => "enrolment token",
        (Origin::Option, ServiceKind::Etcd) => "selvedge-agent run --etcd",
        (Origin::Option, ServiceKind::Controller) => "selvedge-agent run --controller",
    }
}

/// What policy makes of it.
fn fate(model: &Model, node: &Node, service: &Service) -> String {
    let needs = Need::of_node(&node.name, [service]).collect();
    match lockouts(model, &needs).as_slice() {
        [] if service.address().is_none() => {
            "not before a generation: it is known by a name, not by an address".to_owned()
        }
        [] => "passes".to_owned(),
        [first, ..] => format!("cut by {} of workload {}", first.rule, first.workload),
    }
}
