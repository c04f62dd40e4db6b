//! What is told of a connection, in the words of users.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use selvedge_topology::documents::{SourceFile, load};
use std::collections::BTreeMap;

use selvedge_topology::compile::compile;
use selvedge_topology::explain::{EndKind, NoPorts, end, explain, passed, ports};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::l4::L4Range;
use selvedge_topology::model::{Direction, Model};
use selvedge_topology::placement::{Carries, ledger};

const DOCUMENTS: &str = "
apiVersion: selvedge/v1
kind: Fabric
metadata: {name: test}
spec:
  defaultAction: allow
  nodes:
    - {name: h1, role: host, addresses: [10.255.0.1], ports: [{name: w1, role: workload}, {name: f1, role: fabric}, {name: f2, role: fabric}]}
  externals: [{name: internet, attachment: {node: h1, port: f1}, addresses: [203.0.113.1]}]
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: web}
spec: {labels: {role: web}, addresses: [10.0.0.1, \"fd00::1\"], attachment: {node: h1, port: w1}}
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: app}
spec:
  labels: {role: app}
  addresses: [10.0.0.2, \"fd00::2\"]
  attachment: {node: h1, port: w1}
  services: [{name: http, protocol: TCP, port: 8080}]
---
apiVersion: selvedge/v1
kind: SegmentationPolicy
metadata: {name: v4-only}
spec:
  tier: application
  selector: {matchLabels: {role: app}}
  ingress: [{action: allow, from: [{cidr: 10.0.0.0/8}], ports: [{protocol: TCP, port: http}]}]
";

fn model() -> Model {
    let loaded = load(&[SourceFile { name: "test.yaml".into(), text: DOCUMENTS.into() }]);
    loaded.model.unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics))
}

#[test]
fn a_word_is_a_workload_an_external_a_node_or_an_address() {
    let model = model();
    for (word, kind, name) in [
        ("web", EndKind::Workload, Some("web")),
        ("fd00::1", EndKind::Workload, Some("web")),
        ("::ffff:10.0.0.1", EndKind::Workload, Some("web")),
        ("internet", EndKind::External, Some("internet")),
        ("203.0.113.1", EndKind::External, Some("internet")),
        ("h1", EndKind::Node, Some("h1")),
        ("10.255.0.1", EndKind::Node, Some("h1")),
        ("192.0.2.1", EndKind::World, None),
    ] {
        let end = end(&model, word).unwrap();
        assert_eq!((end.kind, end.name.as_deref()), (kind, name), "{word}");
    }
    let unknown = end(&model, "wed").unwrap_err().to_string();
    assert_eq!(
        unknown,
        "there is no workload, external or node `wed`, and it is no address; did you mean `web`?"
    );
}

#[test]
fn ports_are_read_as_rules_and_people_write_them() {
    let model = model();
    let app = end(&model, "app").unwrap();
    let text = |text| {
        let ranges = ports(&model, text, &app).unwrap();
        ranges.iter().map(L4Range::to_string).collect::<Vec<_>>().join(" and ")
    };
    for (written, read) in [
        ("443/tcp", "443/TCP"),
        ("8080-8090/TCP", "8080-8090/TCP"),
        ("53/udp", "53/UDP"),
        ("sctp", "SCTP"),
        ("http", "8080/TCP"),
        ("icmp", "ICMP and ICMPv6"),
        ("icmp 8", "ICMP 8"),
        ("ICMPv6 128/0", "ICMPv6 128/0"),
        ("protocol 47", "protocol 47"),
    ] {
        assert_eq!(text(written), read, "{written}");
    }
    for wrong in ["https", "9-3/tcp", "70000/tcp", "icmp 300", "icmp 8/0 1", "protocol 256", "", "/"] {
        assert!(matches!(ports(&model, wrong, &app), Err(NoPorts::Unknown { .. })), "{wrong}");
    }
    assert_eq!(ports(&model, "22", &app), Err(NoPorts::Bare { number: 22 }));
    let near = ports(&model, "htp", &app).unwrap_err().to_string();
    assert!(near.ends_with("a service of the destination (did you mean `http`?)"), "{near}");
}

#[test]
fn the_points_on_the_way_depend_on_where_a_connection_comes_from() {
    let model = model();
    let mut identities = IdentityTable::default();
    identities.allocate(&model).unwrap();
    let plans = compile(&model, &identities).unwrap();
    let entries = ledger(&model, &plans, &BTreeMap::new(), &BTreeMap::new());
    let of = |name: &str, direction| {
        let is_it = |entry: &&_| {
            let selvedge_topology::placement::Entry { workload, direction: its, .. } = entry;
            workload.as_str() == name && *its == direction
        };
        entries.iter().find(is_it).unwrap()
    };
    let on_the_way = |word: &str, direction| {
        let other = end(&model, word).unwrap();
        let points = passed(&model, of("app", direction), &other);
        points.map(|point| (point.port.to_string(), point.carries)).collect::<Vec<_>>()
    };
    let at = |port: &str, carries| (port.to_owned(), carries);
    let (ingress, egress) = (Direction::Ingress, Direction::Egress);
    assert_eq!(on_the_way("web", ingress), [at("w1", Carries::FromNeighbours)]);
    assert_eq!(on_the_way("h1", ingress), [at("w1", Carries::FromTheNode)]);
    assert_eq!(on_the_way("internet", ingress), [at("f1", Carries::FromTheFabric)]);
    let anywhere = [at("f1", Carries::FromTheFabric), at("f2", Carries::FromTheFabric)];
    assert_eq!(on_the_way("192.0.2.1", ingress), anywhere);
    assert_eq!(on_the_way("web", egress), [at("w1", Carries::Sent)]);
}

#[test]
fn families_are_told_apart_where_a_block_tells_them_apart() {
    let model = model();
    let [web, app] = ["web", "app"].map(|word| end(&model, word).unwrap());
    let told = |from, to, asked: &str| {
        let answers = explain(&model, from, to, &ports(&model, asked, to).unwrap());
        let verdicts = answers.iter().map(|answer| {
            let of = |interval: &selvedge_topology::explain::Interval| {
                format!("{} {:?}", interval.range, interval.verdict)
            };
            (answer.pairs.len(), answer.intervals.iter().map(of).collect::<Vec<_>>().join(", "))
        });
        verdicts.collect::<Vec<_>>()
    };
    let apart = [(1, "8080/TCP Allowed".to_owned()), (1, "8080/TCP Denied".to_owned())];
    assert_eq!(told(&web, &app, "http"), apart);
    assert_eq!(told(&web, &app, "53/udp"), [(2, "53/UDP Denied".to_owned())]);
    assert_eq!(told(&app, &web, "53/udp"), [(2, "53/UDP Allowed".to_owned())]);
    // ICMP is IPv4's alone.
    assert_eq!(told(&web, &app, "icmp 8/0"), [(1, "ICMP 8/0 Denied".to_owned())]);
    assert_eq!(told(&web, &web, "53/udp"), []);
}
