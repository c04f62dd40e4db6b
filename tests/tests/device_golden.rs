//! Device programs as annotated text, reviewed like code: one of each kind, from documents as users write them.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

use std::collections::BTreeSet;

use selvedge_abi::FailsafeKey;
use selvedge_agent_core::lower::port_policy;
use selvedge_classifier::testing::world::address;
use selvedge_codegen::{Limits, PortPolicy, Step, change, complete, prefilter};
use selvedge_hw_profiles::Profiles;
use selvedge_hw_profiles::units::Instructions;
use selvedge_tests::scene::machine;
use selvedge_topology::compile::compile;
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::IdentityTable;

/// A host with a workload on each of two ports, and one elsewhere.
const FABRIC: &str = "
apiVersion: selvedge/v1
kind: Fabric
metadata: {name: golden}
spec:
  defaultAction: deny
  nodes:
    - {name: h1, role: host, addresses: [10.255.0.1], ports: [{name: up, role: uplink}, {name: w1, role: workload}, {name: w2, role: workload}]}
    - {name: h2, role: host, addresses: [10.255.0.2], ports: [{name: up, role: uplink}, {name: w1, role: workload}]}
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: web}
spec: {labels: {role: web}, addresses: [10.0.0.1], attachment: {node: h1, port: w1}}
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: db}
spec: {labels: {role: db}, addresses: [10.0.0.2, \"fd00::2\"], attachment: {node: h1, port: w2}}
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: app}
spec: {labels: {role: app}, addresses: [10.0.0.3, \"fd00::3\"], attachment: {node: h2, port: w1}}
";

/// The world reaches the web by HTTPS, the app reaches the database; what the database denies drains.
const POLICIES: &str = "
---
apiVersion: selvedge/v1
kind: SegmentationPolicy
metadata: {name: web}
spec:
  tier: application
  selector: {matchLabels: {role: web}}
  ingress:
    - {name: https, action: allow, from: [{entity: world}], ports: [{protocol: TCP, port: 443}]}
  egress: []
---
apiVersion: selvedge/v1
kind: SegmentationPolicy
metadata: {name: db}
spec:
  tier: application
  established: drain
  selector: {matchLabels: {role: db}}
  ingress:
    - {name: sql, action: allow, from: [{selector: {matchLabels: {role: app}}}], ports: [{protocol: TCP, port: 5432}]}
    - {name: ssh, action: deny, from: [{entity: any}], ports: [{protocol: TCP, port: 22}], log: true}
  egress:
    - {name: ntp, action: allow, to: [{entity: any}], ports: [{protocol: UDP, port: 123}]}
";

/// The same for one workload, without anything to remember.
const STATELESS: &str = "
---
apiVersion: selvedge/v1
kind: SegmentationPolicy
metadata: {name: dns}
spec:
  tier: application
  selector: {}
  ingress:
    - {name: asked, action: allow, from: [{cidr: 192.0.2.0/24}], ports: [{protocol: UDP, port: 53}], stateless: true}
  egress:
    - {name: answered, action: allow, to: [{cidr: 192.0.2.0/24}], ports: [{protocol: UDP, port: any}], stateless: true}
";

/// What decides at a port of `h1`.
fn policy(documents: &str, port: &str) -> PortPolicy {
    let text = FABRIC.to_owned() + documents;
    let loaded = load(&[SourceFile { name: "golden.yaml".into(), text }]);
    let Some(model) = loaded.model else { panic!("{:#?}", loaded.diagnostics) };
    let mut identities = IdentityTable::default();
    identities.allocate(&model).unwrap();
    let plan = &compile(&model, &identities).unwrap()[&"h1".parse().unwrap()];
    let port = port.parse().unwrap();
    let failsafe = FailsafeKey { remote: address("10.255.0.9"), remote_port: 2379, protocol: 6 };
    port_policy(plan, &machine(plan, &port), &port, &BTreeSet::from([failsafe])).unwrap().unwrap()
}

fn limits(profile: &str) -> Limits {
    let profiles = Profiles::embedded().unwrap();
    Limits::of(profiles.get(profile).unwrap().profile.offload.as_ref().unwrap())
}

#[test]
fn before_an_uplink() {
    let program = prefilter(&policy(POLICIES, "up"), &limits("nfp"), None).unwrap();
    insta::assert_snapshot!("uplink", program);
}

#[test]
fn before_a_port_of_a_workload() {
    let program = prefilter(&policy(POLICIES, "w1"), &limits("netdevsim"), None).unwrap();
    insta::assert_snapshot!("workload_port", program);
}

#[test]
fn that_decides_on_all_that_it_reads() {
    let program = complete(&policy(STATELESS, "up"), &limits("nfp")).unwrap();
    insta::assert_snapshot!("complete", program);
}

#[test]
fn with_less_room_than_it_needs() {
    let policy = policy(POLICIES, "up");
    let limits = Limits { instructions: Instructions(250), ..limits("nfp") };
    let text = prefilter(&policy, &limits, None).unwrap().to_string();
    insta::assert_snapshot!("shed", text);
}

#[test]
fn with_more_prefixes_than_a_tree_is_for() {
    let blocks = (0..40).map(|index| format!("198.51.{}.0/24", 2 * index)).collect::<Vec<_>>();
    let group = format!(
        "---\napiVersion: selvedge/v1\nkind: CidrGroup\nmetadata: {{name: partners}}\nspec: {{cidrs: [{}]}}\n",
        blocks.iter().map(|block| format!("{{cidr: {block}}}")).collect::<Vec<_>>().join(", ")
    );
    let documents = POLICIES.replace("{entity: world}", "{cidrGroup: partners}") + &group;
    let program = prefilter(&policy(&documents, "up"), &limits("nfp"), None).unwrap();
    insta::assert_snapshot!("tables", program);
}

#[test]
fn while_the_web_is_opened_and_the_database_is_shut() {
    let (old, new) = (
        policy(POLICIES, "up"),
        policy(
            &POLICIES.replace("port: 443", "port: 80, endPort: 443").replace("port: 5432", "port: 5433"),
            "up",
        ),
    );
    let steps = change(None, Some(&old), &new, &limits("nfp"), None).unwrap();
    let text: Vec<String> = steps
        .iter()
        .map(|step| match step {
            Step::Device(selvedge_codegen::Device::Runs(program)) => format!("the device runs\n{program}"),
            Step::Device(selvedge_codegen::Device::Idle) => "the device runs nothing\n".to_owned(),
            Step::FullProgram => "the full program changes over\n".to_owned(),
        })
        .collect();
    insta::assert_snapshot!("change", text.join("\n"));
}
