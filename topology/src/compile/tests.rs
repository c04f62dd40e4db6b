use super::*;
use crate::documents::{SourceFile, load};
use crate::names::WorkloadName;
use crate::plan::BlockPlan;

const FABRIC: &str = "\
apiVersion: selvedge/v1
kind: Fabric
metadata: {name: small}
spec:
  defaultAction: deny
  nodes:
    - {name: h1, role: host, addresses: [10.255.0.1], ports: [{name: up, role: uplink}, {name: w1, role: workload}]}
---
apiVersion: selvedge/v1
kind: SegmentationPolicy
metadata: {name: from-the-office}
spec:
  tier: application
  selector: {matchLabels: {role: web}}
  ingress: [{action: allow, from: [{cidr: 10.0.0.0/8}], ports: [{protocol: TCP, port: 443}]}]
";

fn workload(name: &str, role: &str, address: &str) -> String {
    format!(
        "---\napiVersion: selvedge/v1\nkind: Workload\nmetadata: {{name: {name}}}\nspec:\n  labels: {{role: {role}}}\n  \
         addresses: [{address}]\n  attachment: {{node: h1, port: w1}}\n"
    )
}

fn model(workloads: &[String]) -> Model {
    let text = format!("{FABRIC}{}", workloads.concat());
    let loaded = load(&[SourceFile { name: "small.yaml".into(), text }]);
    loaded.model.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
}

fn numbered(mut identities: IdentityTable, model: &Model) -> IdentityTable {
    identities.allocate(model).unwrap();
    identities
}

fn plans(compiler: &Compiler) -> Vec<BlockPlan> {
    compiler.plans().collect()
}

/// As if numbers of classes had collided.
fn crowded(model: &Model, identities: &IdentityTable) -> Compiler {
    let numbers = Numbers::of_all(change::pairs(model, identities).unwrap());
    let mut compiler = Compiler::empty(model, &model.fabric.nodes.values().collect::<Vec<_>>(), numbers);
    compiler.begin(model, identities, model.workloads.keys().collect()).unwrap();
    compiler
}

#[test]
fn where_numbers_of_classes_collide_a_change_of_classes_is_compiled_from_nothing() {
    let workloads = [workload("web1", "web", "10.1.0.1"), workload("db1", "db", "10.1.0.2")];
    let (before, after) = (model(&workloads[..1]), model(&workloads));
    let numbers = numbered(IdentityTable::default(), &before);
    let more_numbers = numbered(numbers.clone(), &after);
    assert_eq!(plans(&crowded(&before, &numbers)), plans(&Compiler::new(&before, &numbers).unwrap()));

    let name: WorkloadName = "db1".parse().unwrap();
    let was = Before { workloads: [(&name, None)].into(), ..Before::default() };
    let halted = crowded(&before, &numbers).change(&after, &more_numbers, &was);
    assert!(matches!(halted, Err(Halt::Crowded)), "another identity in the CIDR is another class");
    let (compiler, touched) = crowded(&before, &numbers).update(&after, &more_numbers, &was).unwrap();
    assert_eq!(plans(&compiler), plans(&Compiler::new(&after, &more_numbers).unwrap()));
    assert_eq!(touched, ["h1".parse().unwrap()].into());
}

#[test]
fn a_node_has_the_addresses_of_those_only_that_its_rows_can_tell() {
    let workloads = [
        workload("web1", "web", "10.1.0.1"),
        // In the CIDR of the rule.
        workload("db1", "db", "10.2.0.1"),
        // Outside of it, so to the web it is as anybody.
        workload("far1", "far", "192.0.2.1"),
    ];
    let (text, elsewhere) = ("attachment: {node: h1, port: w1}", "unmanaged: true");
    let workloads =
        [workloads[0].clone(), workloads[1].replace(text, elsewhere), workloads[2].replace(text, elsewhere)];
    let model = model(&workloads);
    let identities = numbered(IdentityTable::default(), &model);
    let plan = compile(&model, &identities).unwrap().into_values().next().unwrap();
    let known: Vec<String> = plan
        .addresses
        .iter()
        .filter(|entry| entry.identity != Identity::UNKNOWN)
        .map(|entry| entry.prefix.to_string())
        .collect();
    assert_eq!(known, ["10.0.0.0/8", "10.1.0.1/32", "10.2.0.1/32", "10.255.0.1/32"]);
    let of_far = plan.address("192.0.2.1".parse().unwrap());
    assert_eq!(
        of_far,
        (Identity::UNKNOWN, Identity::WORLD.into()),
        "it is of a network in which there are workloads"
    );
}
