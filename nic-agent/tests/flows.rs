//! What packets did, told to the controller; and an agent whose own management crosses the ports it shuts.

mod support;

use selvedge_proto::{FlowRule, Mode, Observed, Transport, Verdict};
use selvedge_topology::failsafe::{Origin, Service, ServiceKind};
use selvedge_topology::identity::Identity;
use selvedge_topology::l4::Protocol;
use selvedge_topology::model::RuleId;
use selvedge_topology::plan::Generation;
use support::etcd::Etcd;
use support::listener::Listener;
use support::{Node, plans};

#[test]
fn every_new_connection_and_every_denied_packet_becomes_a_flow_with_names() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let controller = Listener::start(&node.namespace, "127.0.0.1:7471");
    let _agent = node.agent(&["--controller", "http://127.0.0.1:7471"]);
    etcd.publish(1, &plans::allowing(8080));
    node.wait_generation(1);
    assert!(node.reaches(8080) && !node.reaches(9090));

    let to = |port: u16| {
        move |flow: &selvedge_proto::Flow| {
            let Observed::Ip { transport: Transport::Ports { destination, .. }, .. } = flow.packet else {
                return false;
            };
            destination == port
        }
    };
    let allowed = controller.wait_flow("8080 is allowed", to(8080));
    assert_eq!((allowed.verdict, allowed.reason.as_str()), (Verdict::Allowed, "policy-allow"));
    assert_eq!((allowed.port.as_str(), allowed.mode), ("eth0", Mode::Native));
    assert_eq!(allowed.generation, Some(Generation(1)));
    let rule = |id, display: &str| Some(FlowRule { id: RuleId(id), display: display.to_owned() });
    assert_eq!(allowed.rule, rule(7, "app/ingress/http"));
    let Observed::Ip { source, destination, transport } = allowed.packet else { panic!("an IP packet") };
    assert_eq!((source.address, source.identity), ("192.0.2.1".parse().unwrap(), Identity::WORLD));
    assert_eq!((destination.identity, destination.workload), (Identity(256), Some("app1".parse().unwrap())));
    assert!(matches!(transport, Transport::Ports { protocol: Protocol::TCP, tcp_flags: 2, .. }));

    let denied = controller.wait_flow("9090 is denied", to(9090));
    assert_eq!((denied.verdict, denied.reason.as_str()), (Verdict::Denied, "policy-deny"));
    assert_eq!(denied.rule, rule(100, "app/default/ingress"));
}

#[test]
fn flows_that_nobody_could_take_are_no_obstacle_to_those_after_the_controller_is_back() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let _agent = node.agent(&["--controller", "http://127.0.0.1:7471"]);
    etcd.publish(1, &plans::allowing(8080));
    node.wait_generation(1);
    assert!(!node.reaches(9090));
    let controller = Listener::start(&node.namespace, "127.0.0.1:7471");
    let flow = controller.wait_flow("it was queued", |flow| flow.verdict == Verdict::Denied);
    assert_eq!(flow.reason.as_str(), "policy-deny");
}

#[test]
fn an_agent_reaches_an_etcd_behind_the_port_it_has_shut() {
    let node = Node::wired();
    let etcd = Etcd::start_at(&node.outside, "http://192.0.2.1:2379");
    let _agent = node.agent_of("http://192.0.2.1:2379", &["--fail-closed", "eth0", "w1"]);
    node.wait_status("both are shut", |status| {
        status["ports"].as_array().is_some_and(|ports| ports.len() == 2)
    });
    assert!(!node.reaches(8080));
    let report =
        etcd.wait_report("it is shut", |report| report.reasons.iter().any(|(why, _)| why == "no-generation"));
    assert!(report.reasons.iter().any(|(why, count)| why == "failsafe" && count.packets > 0), "{report:?}");
    assert_eq!(report.in_force, None);
    let (kind, origin) = (ServiceKind::Etcd, Origin::Option);
    assert_eq!(report.services, [Service { kind, host: "192.0.2.1".to_owned(), port: 2379, origin }]);
    etcd.publish(1, &plans::allowing(8080));
    node.wait_generation(1);
    assert!(node.reaches(8080) && !node.reaches(9090));
}
