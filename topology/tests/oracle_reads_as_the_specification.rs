//! The oracle's own tests: each is a sentence of the semantics, in the words users write.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::model::Model;
use selvedge_topology::oracle::{FlowOutcome, FlowVerdict, flow};
use selvedge_topology::plan::Outcome;

/// Two hosts; web, app and db on them, a legacy server nobody enforces for; addresses end in .1 to .4.
const FABRIC: &str = "
apiVersion: selvedge/v1
kind: Fabric
metadata: {name: test}
spec:
  defaultAction: allow
  nodes:
    - {name: h1, role: host, addresses: [10.255.0.1], ports: [{name: up, role: uplink}, {name: w1, role: workload}]}
    - {name: h2, role: host, addresses: [10.255.0.2], ports: [{name: up, role: uplink}, {name: w1, role: workload}]}
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: web}
spec: {labels: {role: web}, addresses: [10.0.0.1], attachment: {node: h1, port: w1}}
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: app}
spec:
  labels: {role: app}
  addresses: [10.0.0.2]
  attachment: {node: h2, port: w1}
  services: [{name: http, protocol: TCP, port: 8080}]
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: db}
spec: {labels: {role: db, env: prod}, addresses: [10.0.0.3], attachment: {node: h2, port: w1}}
---
apiVersion: selvedge/v1
kind: Workload
metadata: {name: legacy}
spec: {labels: {role: legacy}, addresses: [10.0.0.4], unmanaged: true}
";

const WEB: &str = "10.0.0.1";
const APP: &str = "10.0.0.2";
const DB: &str = "10.0.0.3";
const LEGACY: &str = "10.0.0.4";
const STRANGER: &str = "192.0.2.1";
const NODE_1: &str = "10.255.0.1";
const NODE_2: &str = "10.255.0.2";
const ALL_PORTS: &str = "ports: [{protocol: any}]";

/// The fabric with policies, each written `name, tier, rest of the spec`.
fn with(policies: &[(&str, &str, &str)]) -> Model {
    with_fabric(FABRIC, policies)
}

fn with_fabric(fabric: &str, policies: &[(&str, &str, &str)]) -> Model {
    let mut text = fabric.to_owned();
    for (name, tier, spec) in policies {
        text += &format!(
            "---\napiVersion: selvedge/v1\nkind: SegmentationPolicy\nmetadata: {{name: {name}}}\nspec: {{tier: {tier}, {spec}}}\n"
        );
    }
    let loaded = load(&[SourceFile { name: "test.yaml".into(), text }]);
    loaded.model.unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics))
}

fn tcp(model: &Model, source: &str, destination: &str, port: u16) -> FlowVerdict {
    flow(model, source.parse().unwrap(), destination.parse().unwrap(), L4Key::new(Protocol::TCP, port))
}

fn allowed(model: &Model, source: &str, destination: &str, port: u16) -> bool {
    match tcp(model, source, destination, port).outcome {
        FlowOutcome::Allowed => true,
        FlowOutcome::Denied => false,
        FlowOutcome::Unenforced => panic!("nobody enforces for {source} or {destination}"),
    }
}

fn ingress_rule(model: &Model, source: &str, destination: &str, port: u16) -> String {
    tcp(model, source, destination, port).ingress.unwrap().display
}

fn app_ingress(action: &str, from: &str) -> String {
    format!(
        "selector: {{matchLabels: {{role: app}}}}, ingress: [{{name: r, action: {action}, from: [{from}], {ALL_PORTS}}}]"
    )
}

#[test]
fn without_policy_the_fabrics_default_decides() {
    let open = with(&[]);
    assert!(allowed(&open, WEB, APP, 80));
    assert_eq!(ingress_rule(&open, WEB, APP, 80), "fabric/default/ingress");
    let closed = with_fabric(&FABRIC.replace("defaultAction: allow", "defaultAction: deny"), &[]);
    assert!(!allowed(&closed, WEB, APP, 80));
    assert_eq!(tcp(&closed, WEB, APP, 80).egress.unwrap().display, "fabric/default/egress");
}

#[test]
fn an_isolating_tier_denies_what_no_rule_of_it_decides_for_the_workloads_it_selects() {
    let model =
        with(&[("p", "application", &app_ingress("allow", "{selector: {matchLabels: {role: web}}}"))]);
    assert!(allowed(&model, WEB, APP, 80));
    assert!(!allowed(&model, DB, APP, 80));
    assert_eq!(ingress_rule(&model, DB, APP, 80), "application/default-deny/ingress");
    assert!(allowed(&model, DB, WEB, 80), "web is not selected");
    assert!(allowed(&model, APP, DB, 80), "egress of app is not selected");
}

#[test]
fn an_open_tier_leaves_what_no_rule_of_it_decides_to_the_next() {
    let model = with(&[("p", "platform", &app_ingress("deny", "{selector: {matchLabels: {role: web}}}"))]);
    assert!(!allowed(&model, WEB, APP, 80));
    assert!(allowed(&model, DB, APP, 80));
}

#[test]
fn a_policy_without_rules_isolates_the_direction_it_names_and_no_other() {
    let model = with(&[("p", "application", "selector: {matchLabels: {role: app}}, ingress: []")]);
    assert!(!allowed(&model, WEB, APP, 80));
    assert!(allowed(&model, APP, WEB, 80));
}

#[test]
fn a_deny_beats_an_allow_and_an_allow_beats_a_pass_of_the_same_tier() {
    let any = "{entity: any}";
    let web = "{selector: {matchLabels: {role: web}}}";
    let (allow, deny, pass) = (app_ingress("allow", any), app_ingress("deny", web), app_ingress("pass", any));
    let model =
        with(&[("a", "application", &allow), ("b", "application", &deny), ("c", "application", &pass)]);
    assert!(!allowed(&model, WEB, APP, 80));
    assert_eq!(ingress_rule(&model, WEB, APP, 80), "b/ingress/r");
    assert!(allowed(&model, DB, APP, 80));
    assert_eq!(ingress_rule(&model, DB, APP, 80), "a/ingress/r");
}

#[test]
fn an_earlier_tier_decides_before_a_later_one() {
    let (allow, deny) = (app_ingress("allow", "{entity: any}"), app_ingress("deny", "{entity: any}"));
    assert!(allowed(&with(&[("a", "platform", &allow), ("b", "application", &deny)]), WEB, APP, 80));
    assert!(!allowed(&with(&[("a", "application", &allow), ("b", "platform", &deny)]), WEB, APP, 80));
}

#[test]
fn a_pass_skips_the_rest_of_its_tier_and_its_default_deny() {
    let web = "{selector: {matchLabels: {role: web}}}";
    let (pass, deny) = (app_ingress("pass", web), app_ingress("deny", web));
    let model = with(&[("a", "application", &pass)]);
    assert!(allowed(&model, WEB, APP, 80), "the next tier, and after it the fabric's default");
    assert!(!allowed(&model, DB, APP, 80), "not passed: the tier isolates");
    let model = with(&[("a", "application", &pass), ("b", "baseline", &deny)]);
    assert_eq!(ingress_rule(&model, WEB, APP, 80), "b/ingress/r");
    assert!(!allowed(&model, WEB, APP, 80));
}

#[test]
fn both_ends_must_allow_a_connection() {
    let egress = "selector: {matchLabels: {role: web}}, egress: [{action: deny, to: [{entity: any}], ports: [{protocol: TCP, port: 443}]}]";
    let model =
        with(&[("out", "platform", egress), ("in", "application", &app_ingress("allow", "{entity: any}"))]);
    assert!(!allowed(&model, WEB, APP, 443));
    assert!(allowed(&model, WEB, APP, 80));
    let verdict = tcp(&model, WEB, APP, 443);
    assert!(!verdict.egress.unwrap().outcome.is_allowed());
    assert!(verdict.ingress.unwrap().outcome.is_allowed());
}

#[test]
fn only_enforced_ends_are_asked_and_a_connection_without_one_is_unenforced() {
    let model = with(&[("p", "application", "selector: {}, ingress: []")]);
    assert_eq!(tcp(&model, WEB, LEGACY, 80).ingress, None);
    assert!(allowed(&model, WEB, LEGACY, 80));
    assert_eq!(tcp(&model, STRANGER, LEGACY, 80).outcome, FlowOutcome::Unenforced);
}

#[test]
fn a_wide_cidr_is_not_shadowed_by_narrower_ones_nor_by_a_workloads_own_address() {
    let allow = app_ingress(
        "allow",
        "{cidr: 10.0.0.1/32}, {selector: {matchLabels: {role: web}}}, {cidr: 192.0.2.0/30}",
    );
    let model = with(&[
        ("a", "application", &allow),
        ("d", "application", &app_ingress("deny", "{cidr: 10.0.0.0/8}, {cidr: 192.0.2.0/24}")),
    ]);
    assert!(!allowed(&model, WEB, APP, 80));
    assert!(!allowed(&model, STRANGER, APP, 80));
    let model = with(&[
        ("a", "application", &app_ingress("allow", "{cidr: 10.0.0.0/8}")),
        ("d", "application", &app_ingress("deny", "{cidr: 10.0.0.1/32}")),
    ]);
    assert!(!allowed(&model, WEB, APP, 80));
    assert!(allowed(&model, DB, APP, 80));
}

#[test]
fn an_except_is_a_hole_in_its_own_block_only() {
    let model =
        with(&[("a", "application", &app_ingress("allow", "{cidr: 10.0.0.0/24, except: [10.0.0.1/32]}"))]);
    assert!(!allowed(&model, WEB, APP, 80));
    assert!(allowed(&model, DB, APP, 80));
    let both = app_ingress("allow", "{cidr: 10.0.0.0/24, except: [10.0.0.1/32]}, {cidr: 10.0.0.0/30}");
    assert!(allowed(&with(&[("a", "application", &both)]), WEB, APP, 80));
}

#[test]
fn entities_are_told_apart() {
    let peers = [("world", STRANGER), ("host", NODE_2), ("remote-node", NODE_1), ("unmanaged", LEGACY)];
    for (entity, own) in peers {
        let model = with(&[("a", "application", &app_ingress("allow", &format!("{{entity: {entity}}}")))]);
        for (_, address) in peers {
            assert_eq!(allowed(&model, address, APP, 80), address == own, "{entity} and {address}");
        }
        assert!(!allowed(&model, WEB, APP, 80), "{entity} is no managed workload");
    }
    let any = with(&[("a", "application", &app_ingress("allow", "{entity: any}"))]);
    for address in [WEB, STRANGER, NODE_1, NODE_2, LEGACY] {
        assert!(allowed(&any, address, APP, 80));
    }
}

#[test]
fn unmanaged_workloads_can_be_selected_by_label_too() {
    let model =
        with(&[("a", "application", &app_ingress("allow", "{selector: {matchLabels: {role: legacy}}}"))]);
    assert!(allowed(&model, LEGACY, APP, 80));
    assert!(!allowed(&model, WEB, APP, 80));
}

#[test]
fn a_service_name_means_the_destinations_port_in_both_directions() {
    let ports = "ports: [{protocol: TCP, port: http}]";
    let ingress = format!("selector: {{}}, ingress: [{{action: allow, from: [{{entity: any}}], {ports}}}]");
    let egress = format!("selector: {{}}, egress: [{{action: allow, to: [{{entity: any}}], {ports}}}]");
    for spec in [ingress, egress] {
        let model = with(&[("a", "application", &spec)]);
        assert!(allowed(&model, WEB, APP, 8080));
        assert!(!allowed(&model, WEB, APP, 80));
        assert!(!allowed(&model, WEB, DB, 8080), "db has no service of that name");
    }
}

#[test]
fn a_port_range_holds_its_ends_and_nothing_more_and_no_other_protocol() {
    let spec = "selector: {matchLabels: {role: app}}, ingress: [{action: allow, from: [{entity: any}], ports: [{protocol: TCP, port: 8080, endPort: 8090}]}]";
    let model = with(&[("a", "application", spec)]);
    for (port, verdict) in [(8079, false), (8080, true), (8085, true), (8090, true), (8091, false)] {
        assert_eq!(allowed(&model, WEB, APP, port), verdict, "{port}");
    }
    let udp = flow(&model, WEB.parse().unwrap(), APP.parse().unwrap(), L4Key::new(Protocol::UDP, 8080));
    assert_eq!(udp.outcome, FlowOutcome::Denied);
}

#[test]
fn icmp_is_matched_by_type_and_code() {
    let spec = "selector: {matchLabels: {role: app}}, ingress: [{action: allow, from: [{entity: any}], ports: [{protocol: ICMP, type: 8, code: 0}, {protocol: ICMPv6, type: 3, code: any}]}]";
    let model = with(&[("a", "application", spec)]);
    let verdict = |protocol, kind, code| {
        let key = L4Key::icmp(protocol, kind, code);
        flow(&model, WEB.parse().unwrap(), APP.parse().unwrap(), key).outcome == FlowOutcome::Allowed
    };
    assert!(verdict(Protocol::ICMP, 8, 0));
    assert!(!verdict(Protocol::ICMP, 8, 1));
    assert!(!verdict(Protocol::ICMP, 0, 0));
    assert!(verdict(Protocol::ICMPV6, 3, 1));
    assert!(!verdict(Protocol::ICMPV6, 8, 0));
}

#[test]
fn match_expressions_mean_what_kubernetes_says() {
    for (expression, db, web) in [
        ("{key: env, operator: In, values: [prod]}", true, false),
        ("{key: env, operator: NotIn, values: [prod]}", false, true),
        ("{key: env, operator: Exists}", true, false),
        ("{key: env, operator: DoesNotExist}", false, true),
    ] {
        let from = format!("{{selector: {{matchExpressions: [{expression}]}}}}");
        let model = with(&[("a", "application", &app_ingress("allow", &from))]);
        assert_eq!((allowed(&model, DB, APP, 80), allowed(&model, WEB, APP, 80)), (db, web), "{expression}");
    }
}

/// `deny` of everyone on TCP 80 by policies of these names, each with what it says of established connections.
fn denials(policies: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let spec = |established: &str| {
        format!(
            "established: {established}, selector: {{matchLabels: {{role: app}}}}, ingress: [{{name: r, action: deny, \
             from: [{{entity: any}}], ports: [{{protocol: TCP, port: 80}}]}}]"
        )
    };
    policies.iter().map(|(name, established)| (*name, spec(established))).collect()
}

fn app_denied(fabric: &str, tier: &str, policies: &[(&'static str, &str)]) -> (Outcome, String) {
    let specs = denials(policies);
    let policies: Vec<_> = specs.iter().map(|(name, spec)| (*name, tier, spec.as_str())).collect();
    let judged = tcp(&with_fabric(fabric, &policies), WEB, APP, 80).ingress.unwrap();
    (judged.outcome, judged.display)
}

#[test]
fn a_denial_cuts_established_connections_unless_its_policy_says_drain() {
    let silent = with(&[("p", "platform", &app_ingress("deny", "{entity: any}"))]);
    assert_eq!(tcp(&silent, WEB, APP, 80).ingress.unwrap().outcome, Outcome::Denied);
    assert_eq!(app_denied(FABRIC, "platform", &[("a", "cut")]).0, Outcome::Denied);
    assert_eq!(app_denied(FABRIC, "platform", &[("a", "drain")]).0, Outcome::DeniedDraining);
}

#[test]
fn of_several_denials_in_a_tier_one_that_cuts_decides() {
    let decided = app_denied(FABRIC, "platform", &[("a", "drain"), ("b", "cut"), ("c", "drain")]);
    assert_eq!(decided, (Outcome::Denied, "b/ingress/r".to_owned()));
    let decided = app_denied(FABRIC, "platform", &[("a", "drain"), ("b", "drain")]);
    assert_eq!(decided, (Outcome::DeniedDraining, "a/ingress/r".to_owned()));
}

#[test]
fn a_tiers_default_drains_where_every_policy_that_selects_for_the_direction_does() {
    let isolating = |established: &str, directions: &str| {
        format!("established: {established}, selector: {{matchLabels: {{role: app}}}}, {directions}")
    };
    let (drains, cuts) = (isolating("drain", "ingress: []"), isolating("cut", "ingress: []"));
    let cuts_egress = isolating("cut", "egress: []");
    let ingress = |policies: &[(&str, &str, &str)]| {
        let judged = tcp(&with(policies), WEB, APP, 80).ingress.unwrap();
        assert_eq!(judged.display, "application/default-deny/ingress");
        judged.outcome
    };
    assert_eq!(ingress(&[("a", "application", &drains)]), Outcome::DeniedDraining);
    assert_eq!(ingress(&[("a", "application", &drains), ("b", "application", &cuts)]), Outcome::Denied);
    let other_direction = [("a", "application", &*drains), ("b", "application", &*cuts_egress)];
    assert_eq!(ingress(&other_direction), Outcome::DeniedDraining);
}

#[test]
fn the_fabrics_default_drains_where_the_fabric_says_so() {
    let closed = |more: &str| {
        let fabric = FABRIC.replace("defaultAction: allow", &format!("defaultAction: deny{more}"));
        tcp(&with_fabric(&fabric, &[]), WEB, APP, 80).egress.unwrap().outcome
    };
    assert_eq!(closed(""), Outcome::Denied);
    assert_eq!(closed("\n  established: cut"), Outcome::Denied);
    assert_eq!(closed("\n  established: drain"), Outcome::DeniedDraining);
}
