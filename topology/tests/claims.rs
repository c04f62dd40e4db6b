//! Who may set which label: the rules in force, what changes, and who asks.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::BTreeSet;

use selvedge_topology::claims::Claims;
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::model::Model;
use selvedge_topology::names::WorkloadName;
use selvedge_topology::operators::{Asker, Role};

const RULES: &str = "[{key: env, values: [prod, dev], setBy: {role: admin}}, \
    {key: pci.example.com/, setBy: {operators: [anna]}}, {key: team}]";

fn model(rules: &str, workloads: &[(&str, &str, &str)]) -> Model {
    let mut text = format!(
        "apiVersion: selvedge/v1\nkind: Fabric\nmetadata: {{name: f}}\nspec:\n  defaultAction: deny\n  \
         nodes: [{{name: h1, role: host, ports: [{{name: w1, role: workload}}, {{name: w2, role: workload}}]}}]\n  \
         labels: {rules}\n"
    );
    for (name, labels, rest) in workloads {
        text += &format!(
            "---\napiVersion: selvedge/v1\nkind: Workload\nmetadata: {{name: {name}}}\nspec: {{labels: {labels}, {rest}}}\n"
        );
    }
    let loaded = load(&[SourceFile { name: "all.yaml".to_owned(), text }]);
    loaded.model.unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics))
}

const AT_W1: &str = "addresses: [10.0.0.1], attachment: {node: h1, port: w1}";

fn operator(name: &str, role: Role) -> Asker {
    Asker::Operator { name: name.parse().unwrap(), role }
}

/// What is told to each of an operator, anna, an admin, and nobody known.
fn told(before: &Model, after: &Model) -> [Vec<String>; 4] {
    let claims = Claims::of(before);
    let names: BTreeSet<&WorkloadName> = before.workloads.keys().chain(after.workloads.keys()).collect();
    let askers = [
        operator("bob", Role::Operator),
        operator("anna", Role::Operator),
        operator("root", Role::Admin),
        Asker::Unknown,
    ];
    askers.map(|asker| {
        let found = claims.trespasses(after, names.iter().copied(), &asker);
        found.iter().map(ToString::to_string).collect()
    })
}

#[test]
fn a_label_is_given_changed_and_taken_away_by_whom_its_rule_names_and_by_nobody_else() {
    let with = |labels| model(RULES, &[("web1", labels, AT_W1)]);
    let env = |what: &str| {
        let line = format!(
            "all.yaml:11:18: label `env` of workload web1 {what}: only an operator with role admin may set it"
        );
        [vec![line.clone()], vec![line.clone()], vec![], vec![line]]
    };
    let (none, dev, prod) = (with("{team: a}"), with("{env: dev, team: a}"), with("{env: prod, team: b}"));
    assert_eq!(told(&none, &dev), env("gets `dev`"));
    assert_eq!(told(&dev, &prod), env("goes from `dev` to `prod`"));
    assert_eq!(told(&prod, &none), env("loses `prod`"));
    let free: [Vec<String>; 4] = Default::default();
    assert_eq!(told(&none, &with("{team: b}")), free, "team is everybody's");
    assert_eq!(told(&dev, &with("{env: dev, team: b, other: x}")), free, "env stays");
}

#[test]
fn a_prefix_is_about_every_key_under_it_and_names_are_names_even_for_admins() {
    let with = |labels| model(RULES, &[("web1", labels, AT_W1)]);
    let [bob, anna, root, unknown] = told(&with("{}"), &with("{pci.example.com/level: one, pci: x}"));
    let line =
        ["all.yaml:11:18: label `pci.example.com/level` of workload web1 gets `one`: only anna may set it"];
    assert!(anna.is_empty(), "{anna:?}");
    assert!([bob, root, unknown].iter().all(|told| *told == line));
}

#[test]
fn a_workload_that_comes_goes_or_stands_for_others_sets_its_labels() {
    let none = model(RULES, &[]);
    let there = model(RULES, &[("web1", "{env: prod}", AT_W1)]);
    for (before, after, what) in [(&none, &there, "gets `prod`"), (&there, &none, "loses `prod`")] {
        let [bob, _, root, _] = told(before, after);
        assert!(bob.len() == 1 && bob[0].contains(what) && bob[0].starts_with("all.yaml:11:18"), "{bob:?}");
        assert_eq!(root, Vec::<String>::new());
    }
    // The same label for somebody else.
    for elsewhere in [
        "addresses: [10.0.0.2], attachment: {node: h1, port: w1}",
        "addresses: [10.0.0.1], attachment: {node: h1, port: w2}",
        "addresses: [10.0.0.1], unmanaged: true",
    ] {
        let [bob, _, root, _] = told(&there, &model(RULES, &[("web1", "{env: prod}", elsewhere)]));
        assert!(bob[0].contains("gets other addresses or another attachment"), "{bob:?}");
        assert_eq!(root, Vec::<String>::new());
        let [bob, ..] = told(
            &model(RULES, &[("web1", "{team: a}", AT_W1)]),
            &model(RULES, &[("web1", "{team: a}", elsewhere)]),
        );
        assert_eq!(bob, Vec::<String>::new(), "a workload without such labels moves freely");
    }
}

#[test]
fn the_rules_in_force_say_who_may_not_those_that_would_be() {
    let open = model("[]", &[("web1", "{}", AT_W1)]);
    let closed = model(RULES, &[("web1", "{env: prod}", AT_W1)]);
    assert_eq!(told(&open, &closed)[0], Vec::<String>::new());
    assert_eq!(told(&closed, &open)[0].len(), 1);
    assert_ne!(Claims::of(&open).rules(), Claims::of(&closed).rules());
}
