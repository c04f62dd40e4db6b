//! Which policy cuts whom off from what they can't live without.

use std::collections::BTreeSet;
use std::net::IpAddr;

use selvedge_topology::documents::{Registry, SourceFile};
use selvedge_topology::failsafe::{self, Dependent, Lockout, Need, Origin, Service, ServiceKind};
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::oracle::{FlowOutcome, flow};

/// Three hosts with addresses of their own, and one that has none but those of the workload that it is.
const FABRIC: &str = "
apiVersion: selvedge/v1
kind: Fabric
metadata: {name: f}
spec:
  defaultAction: allow
  nodes:
    - {name: h1, role: host, addresses: [10.255.0.1], ports: [{name: eth0, role: uplink}, {name: w1, role: workload}]}
    - {name: h2, role: host, addresses: [10.255.0.2], ports: [{name: eth0, role: uplink}, {name: w1, role: workload}]}
    - {name: h3, role: host, addresses: [10.255.0.3], ports: [{name: eth0, role: uplink}]}
    - {name: bare, role: host, ports: [{name: eth0, role: uplink}]}
";
const STORE: (&str, &str, &str) = ("store", "10.1.0.9", "attachment: {node: h2, port: w1}");
const BARE: (&str, &str, &str) = ("metal", "10.1.0.50", "attachment: {node: bare, port: eth0}");

fn registry(workloads: &[(&str, &str, &str)], policies: &[&str]) -> Registry {
    let mut text = FABRIC.to_owned();
    for (name, address, at) in workloads {
        text += &format!(
            "---\napiVersion: selvedge/v1\nkind: Workload\nmetadata: {{name: {name}}}\nspec: {{labels: {{is: {name}}}, \
             addresses: [{address}], {at}}}\n"
        );
    }
    for (number, spec) in policies.iter().enumerate() {
        text += &format!(
            "---\napiVersion: selvedge/v1\nkind: SegmentationPolicy\nmetadata: {{name: p{number}}}\nspec: {{tier: application, {spec}}}\n"
        );
    }
    let read = Registry::read(&[SourceFile { name: "all.yaml".to_owned(), text }]);
    read.unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}")).0
}

/// What is found by what documents keep of addresses, which is what is found by a walk over all of them.
fn lockouts(documents: &Registry, needs: &BTreeSet<Need>) -> Vec<Lockout> {
    let found = documents.lockouts(needs);
    assert_eq!(found, failsafe::lockouts(documents.model(), needs));
    found
}

fn etcd(host: &str) -> Service {
    Service { kind: ServiceKind::Etcd, host: host.to_owned(), port: 2379, origin: Origin::Token }
}

/// What is told where every node needs etcd at `host`.
fn told(documents: &Registry, host: &str) -> Vec<String> {
    let service = etcd(host);
    let nodes = documents.model().fabric.nodes.keys();
    let needs: BTreeSet<Need> = nodes.flat_map(|node| Need::of_node(node, [&service])).collect();
    lockouts(documents, &needs).iter().map(ToString::to_string).collect()
}

const ISOLATED: &str = "selector: {matchLabels: {is: store}}, ingress: []";
const FROM_NODES: &str = "selector: {matchLabels: {is: store}}, ingress: [{action: allow, from: [{entity: remote-node}], \
                          ports: [{protocol: TCP, port: 2379}]}]";
const SILENT: &str = "selector: {matchLabels: {is: metal}}, egress: []";

#[test]
fn a_store_that_is_a_workload_can_be_cut_off_by_its_own_policy() {
    let default = "etcd at 10.1.0.9:2379: application/default-deny/ingress of workload store denies it to";
    assert_eq!(told(&registry(&[STORE], &[]), "10.1.0.9"), Vec::<String>::new());
    assert_eq!(
        told(&registry(&[STORE], &[ISOLATED]), "10.1.0.9"),
        [format!("{default} node h1, node h2, node h3")]
    );
    // The node behind which it is has another name in policy, and one that is a workload is that.
    assert_eq!(
        told(&registry(&[STORE, BARE], &[FROM_NODES]), "10.1.0.9"),
        [format!("{default} node bare, node h2")]
    );
    let deny = "selector: {}, ingress: [{name: none, action: deny, from: [{cidr: 10.255.0.3/32}], ports: [{protocol: any}]}, \
                {action: allow, from: [{entity: any}], ports: [{protocol: any}]}]";
    assert_eq!(
        told(&registry(&[STORE], &[deny]), "10.1.0.9"),
        ["etcd at 10.1.0.9:2379: p0/ingress/none (all.yaml:21:51) of workload store denies it to node h3"]
    );
}

#[test]
fn what_no_policy_judges_no_policy_cuts() {
    let all = "selector: {}, ingress: [], egress: []";
    let unmanaged = ("store", "10.1.0.9", "unmanaged: true");
    for (workloads, host) in [
        (&[unmanaged][..], "10.1.0.9"),
        (&[], "10.9.9.9"),
        (&[STORE], "10.255.0.2"),
        (&[STORE], "etcd.example"),
    ] {
        assert_eq!(told(&registry(workloads, &[all]), host), Vec::<String>::new(), "{host}");
    }
    // A workload that is the node, and the node's own address.
    let on_h3 = ("store", "10.1.0.9", "attachment: {node: h3, port: eth0}");
    let found = told(&registry(&[on_h3], &[all]), "10.1.0.9");
    assert!(found.len() == 1 && found[0].ends_with("denies it to node h1, node h2"), "{found:?}");
}

#[test]
fn a_node_without_an_address_of_its_own_speaks_as_the_workload_that_it_is() {
    let told = |policies: &[&str]| told(&registry(&[BARE], policies), "10.9.9.9");
    assert_eq!(told(&[]), Vec::<String>::new());
    let egress =
        "etcd at 10.9.9.9:2379: application/default-deny/egress of workload metal denies it to node bare";
    assert_eq!(told(&[SILENT]), [egress]);
}

#[test]
fn whoever_asks_is_told_that_policy_would_keep_them_from_asking_again() {
    let documents = registry(&[STORE, BARE], &[FROM_NODES]);
    let asked = |from: &str| {
        let dependent = Dependent::Asker(from.parse().unwrap());
        let (kind, address) = (ServiceKind::Controller, "10.1.0.9".parse().unwrap());
        lockouts(&documents, &[Need { dependent, kind, address, port: 2379 }].into()).len()
    };
    assert_eq!(
        [asked("10.255.0.1"), asked("10.255.0.2"), asked("10.1.0.50"), asked("192.0.2.1")],
        [0, 1, 1, 1]
    );
}

#[test]
fn the_oracle_says_the_same_of_each_flow() {
    let key = L4Key::new(Protocol::TCP, 2379);
    let (mut denied, mut passed) = (0, 0);
    for policies in [&[][..], &[ISOLATED], &[FROM_NODES], &[SILENT], &[FROM_NODES, SILENT]] {
        let documents = registry(&[STORE, BARE], policies);
        for service in ["10.1.0.9", "10.9.9.9", "10.255.0.2"] {
            for (node, from) in [("h1", "10.255.0.1"), ("h2", "10.255.0.2"), ("bare", "10.1.0.50")] {
                let address: IpAddr = service.parse().unwrap();
                let by_oracle = flow(documents.model(), from.parse().unwrap(), address, key).outcome;
                let (node, service) = (node.parse().unwrap(), etcd(service));
                let needs = Need::of_node(&node, [&service]).collect();
                let is_cut = !lockouts(&documents, &needs).is_empty();
                assert_eq!(is_cut, by_oracle == FlowOutcome::Denied, "{policies:?} {node} {address}");
                if is_cut { denied += 1 } else { passed += 1 }
            }
        }
    }
    assert!(denied >= 8 && passed >= 20, "{denied} {passed}");
}
