//! The order in which things are written means nothing.

use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::model::{Model, Place};

const FABRIC: &str = "
apiVersion: selvedge/v1
kind: Fabric
metadata: {name: f}
spec:
  defaultAction: deny
  nodes:
    - {name: h1, role: host, ports: [{name: eth0, role: uplink}, {name: w1, role: workload}]}
    - {name: h2, role: host, ports: [{name: eth0, role: uplink}, {name: w1, role: workload}]}
  links: [{endpoints: ['h1:eth0', 'h2:eth0']}]
";
const WEB: &str = "
apiVersion: selvedge/v1
kind: Workload
metadata: {name: web}
spec: {labels: {app: shop, role: web}, addresses: [10.0.0.1, 'fd00::1'], attachment: {node: h1, port: w1}}
";
const APP: &str = "
apiVersion: selvedge/v1
kind: Workload
metadata: {name: app}
spec: {labels: {app: shop, role: app}, addresses: [10.0.0.2], attachment: {node: h2, port: w1}}
";
const POLICY: &str = "
apiVersion: selvedge/v1
kind: SegmentationPolicy
metadata: {name: p}
spec:
  tier: application
  selector: {matchLabels: {app: shop, role: app}}
  ingress:
    - action: allow
      from: [{selector: {matchLabels: {role: web}}}, {entity: host}]
      ports: [{protocol: TCP, port: 80}, {protocol: UDP, port: 53}]
    - action: deny
      from: [{entity: world}]
      ports: [{protocol: any}]
";

const FABRIC_TURNED: &str = "
spec:
  links: [{endpoints: ['h2:eth0', 'h1:eth0']}]
  nodes:
    - {ports: [{role: workload, name: w1}, {name: eth0, role: uplink}], role: host, name: h2}
    - {name: h1, role: host, ports: [{name: eth0, role: uplink}, {name: w1, role: workload}]}
  defaultAction: deny
metadata: {name: f}
kind: Fabric
apiVersion: selvedge/v1
";
const WEB_TURNED: &str = "
apiVersion: selvedge/v1
kind: Workload
metadata: {name: web}
spec: {attachment: {port: w1, node: h1}, addresses: ['fd00::1', 10.0.0.1], labels: {role: web, app: shop}}
";
const POLICY_TURNED: &str = "
apiVersion: selvedge/v1
kind: SegmentationPolicy
metadata: {name: p}
spec:
  ingress:
    - action: deny
      from: [{entity: world}]
      ports: [{protocol: any}]
    - ports: [{protocol: UDP, port: 53}, {port: 80, protocol: TCP}]
      from: [{entity: host}, {selector: {matchLabels: {role: web}}}]
      action: allow
  selector: {matchLabels: {role: app, app: shop}}
  tier: application
";

/// The model as text, without places: all that the order of writing may change.
fn model(documents: &[&str]) -> String {
    let file = SourceFile { name: "all.yaml".to_owned(), text: documents.join("---") };
    let mut model = load(&[file]).model.unwrap();
    forget_places(&mut model);
    format!("{model:#?}")
}

fn forget_places(model: &mut Model) {
    for workload in model.workloads.values_mut() {
        workload.place = Place::default();
    }
    for policy in model.policies.values_mut() {
        policy.place = Place::default();
        for rule in policy.ingress.iter_mut().chain(&mut policy.egress).flatten() {
            rule.place = Place::default();
        }
    }
}

#[test]
fn the_order_of_documents_rules_peers_ports_labels_and_keys_means_nothing() {
    let straight = model(&[FABRIC, WEB, APP, POLICY]);
    assert!(straight.contains("RuleId"), "{straight}");
    assert_eq!(straight, model(&[POLICY, APP, WEB, FABRIC]));
    assert_eq!(straight, model(&[POLICY_TURNED, APP, WEB_TURNED, FABRIC_TURNED]));
}

#[test]
fn a_rule_keeps_its_number_when_another_is_edited() {
    let ids = |text: &str| -> Vec<_> {
        let file = SourceFile { name: "all.yaml".to_owned(), text: [FABRIC, WEB, APP, text].join("---") };
        let model = load(&[file]).model.unwrap();
        let policy = model.policies.values().next().unwrap().clone();
        policy.ingress.unwrap().into_iter().map(|rule| (rule.action, rule.id)).collect()
    };
    let before = ids(POLICY);
    let after = ids(&POLICY.replace("port: 80", "port: 81"));
    assert_eq!(before.len(), 2);
    let unchanged = before.iter().filter(|rule| after.contains(rule)).count();
    assert_eq!(unchanged, 1, "{before:?} {after:?}");
}
