//! The demo's documents say what README and `make demo` tell about them.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use selvedge_lab::probe::Probed;
use selvedge_topology::documents::{self, Colours, SourceFile};
use selvedge_topology::model::{Attachment, Model};
use selvedge_topology::oracle::{self, FlowOutcome};

/// The files of the demo, those of `edit` in place of theirs.
fn demo(edit: Option<&str>) -> Model {
    let fabrics = Path::new(env!("CARGO_MANIFEST_DIR")).join("fabrics");
    let mut files = BTreeMap::new();
    for directory in ["demo"].into_iter().chain(edit) {
        for entry in fs::read_dir(fabrics.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            files.insert(path.file_name().unwrap().to_owned(), path);
        }
    }
    let read = |path| SourceFile { name: format!("{path:?}"), text: fs::read_to_string(path).unwrap() };
    let loaded = documents::load(&files.values().map(read).collect::<Vec<_>>());
    assert!(loaded.diagnostics.is_empty(), "{}", documents::render(&loaded.diagnostics, Colours::Plain));
    loaded.model.unwrap()
}

/// The outcome of a flow and the rules that decide, in both families, which must agree.
fn flow(model: &Model, from: &str, to: &str, port: &str) -> (FlowOutcome, Vec<String>) {
    let addresses = |name: &str| {
        let workload =
            model.workloads.iter().find(|(own, _)| own.as_str() == name).map(|(_, w)| &w.addresses);
        let external =
            model.fabric.externals.iter().find(|(own, _)| own.as_str() == name).map(|(_, e)| &e.addresses);
        workload.or(external).unwrap().clone()
    };
    let pairs: Vec<(IpAddr, IpAddr)> = addresses(from).into_iter().zip(addresses(to)).collect();
    let verdicts = pairs.iter().map(|(from, to)| {
        let verdict = oracle::flow(model, *from, *to, port.parse::<Probed>().unwrap().key(*from));
        let denies = |judgement: &&oracle::Judgement| !judgement.outcome.is_allowed();
        let denying = verdict.egress.iter().chain(&verdict.ingress).filter(denies).map(|j| j.display.clone());
        (verdict.outcome, denying.collect::<Vec<_>>())
    });
    let verdicts: Vec<_> = verdicts.collect();
    assert_eq!(verdicts.len(), 2, "both families");
    assert_eq!(verdicts[0], verdicts[1], "{from} -> {to} {port}: IPv4 and IPv6");
    verdicts[0].clone()
}

#[track_caller]
fn allowed(model: &Model, from: &str, to: &str, port: &str) {
    assert_eq!(flow(model, from, to, port), (FlowOutcome::Allowed, vec![]), "{from} -> {to} {port}");
}

#[track_caller]
fn denied_by(model: &Model, from: &str, to: &str, port: &str, rule: &str) {
    assert_eq!(
        flow(model, from, to, port),
        (FlowOutcome::Denied, vec![rule.to_owned()]),
        "{from} -> {to} {port}"
    );
}

#[test]
fn the_demo_is_clean_and_as_large_as_it_is_said_to_be() {
    let model = demo(None);
    assert_eq!((model.fabric.nodes.len(), model.workloads.len(), model.fabric.externals.len()), (7, 10, 3));
    let behind = |node: &str, port: &str| {
        let there = |attachment: &Attachment| match attachment {
            Attachment::Managed(end) => end.node.as_str() == node && end.port.as_str() == port,
            Attachment::Unmanaged(_) => false,
        };
        model.workloads.values().filter(|workload| there(&workload.attachment)).count()
    };
    assert_eq!(behind("dpu1", "pf0hpf"), 2);
    assert!(model.policies.values().all(|policy| !policy.description.is_empty()));
}

#[test]
fn the_shop_works_from_the_world_to_the_database() {
    let model = demo(None);
    allowed(&model, "internet", "web1", "443/tcp");
    allowed(&model, "web1", "app1", "8080/tcp");
    allowed(&model, "app1", "db1", "5432/tcp");
    denied_by(&model, "web1", "db1", "5432/tcp", "application/default-deny/ingress");
    denied_by(&model, "internet", "app1", "8080/tcp", "application/default-deny/ingress");
    denied_by(&model, "web1", "app1", "22/tcp", "application/default-deny/ingress");
}

#[test]
fn the_platform_tier_denies_what_the_application_tier_allows() {
    let model = demo(None);
    allowed(&model, "web2", "app2", "8080/tcp");
    denied_by(&model, "web2", "app1", "8080/tcp", "keep-staging-out-of-prod/ingress/from-staging");
    denied_by(&model, "app1", "internet", "443/tcp", "no-way-out/egress/to-world");
}

#[test]
fn operations_reach_everything_and_ping_is_left_to_the_baseline() {
    let model = demo(None);
    for to in ["web1", "app2", "db1", "dns"] {
        allowed(&model, "metrics", to, "9100/tcp");
        allowed(&model, "jump", to, "22/tcp");
        allowed(&model, "jump", to, "icmp");
        denied_by(&model, "legacy", to, "icmp", "fabric/default/ingress");
    }
}

#[test]
fn guests_are_a_hole_in_the_block_of_the_office() {
    let model = demo(None);
    allowed(&model, "office", "jump", "22/tcp");
    allowed(&model, "office", "metrics", "3000/tcp");
    denied_by(&model, "guest", "jump", "22/tcp", "application/default-deny/ingress");
    denied_by(&model, "guest", "metrics", "3000/tcp", "application/default-deny/ingress");
}

#[test]
fn databases_look_names_up_and_open_nothing_else() {
    let model = demo(None);
    allowed(&model, "db1", "dns", "53/udp");
    denied_by(&model, "db1", "legacy", "443/tcp", "application/default-deny/egress");
    assert_eq!(flow(&model, "web1", "legacy", "443/tcp").0, FlowOutcome::Allowed);
    assert_eq!(flow(&model, "legacy", "internet", "443/tcp").0, FlowOutcome::Unenforced);
}

#[test]
fn the_edit_opens_one_flow_and_closes_another() {
    let (before, after) = (demo(None), demo(Some("demo-edit")));
    denied_by(&before, "jump", "db1", "5432/tcp", "application/default-deny/ingress");
    allowed(&after, "jump", "db1", "5432/tcp");
    allowed(&before, "legacy", "db1", "5432/tcp");
    denied_by(&after, "legacy", "db1", "5432/tcp", "application/default-deny/ingress");
    assert_eq!(before.policies.len(), after.policies.len());
}
