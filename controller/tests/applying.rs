//! Documents become generations in etcd, or nothing does.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::collections::BTreeSet;

use common::{
    FABRIC, POLICY, TestEtcd, WORKLOADS, apply, client, documents, documents_of, excerpts, files, report,
};
use selvedge_proto::plan::{Manifest, PlanDecodeError};
use selvedge_proto::wire::{self, ApplyOutcome, ChangeKind};
use selvedge_proto::{Chunks, EgressReport, PortReport, Report, keys};
use selvedge_topology::model::PortRole;
use selvedge_topology::placement::{Mode, Nic, PortState};
use selvedge_topology::plan::{Generation, Plan};

#[tokio::test]
async fn applied_documents_come_back_and_nodes_can_read_their_plans() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;

    let response = apply(&mut client, documents(), ApplyOutcome::Applied).await;
    assert_eq!(response.generation, 1);
    assert_eq!(response.nodes_changed, ["host1", "host2"]);
    assert_eq!(response.changes.len(), 4);
    assert!(response.changes.iter().all(|change| change.kind() == ChangeKind::Added));

    assert_eq!(documents_of(&mut client, 0).await.unwrap(), (1, excerpts()));

    let dump = etcd.dump().await;
    let targets = etcd.targets().await;
    assert_eq!(targets.keys().collect::<Vec<_>>(), ["host1", "host2"]);
    for (node, target) in targets {
        assert_eq!(target.generation, Generation(1));
        let plan = plan(&dump, &target);
        assert_eq!(plan.node.as_str(), node);
        assert_eq!(plan.workloads.len(), 1);
        assert_eq!(plan.rows.len(), 2);
    }
    controller.shutdown().await;
}

/// Reads a plan as an agent does.
fn plan(dump: &std::collections::BTreeMap<String, Vec<u8>>, target: &selvedge_proto::Target) -> Plan {
    let bytes = &dump[&keys::manifest(target.manifest)];
    let manifest = Manifest::decode(target.manifest, bytes).unwrap();
    let mut chunks = Chunks::new();
    let get = |digest| Ok::<_, PlanDecodeError>(dump[&keys::chunk(digest)].clone());
    manifest.gather(&mut chunks, get).unwrap();
    manifest.plan(&chunks).unwrap()
}

#[tokio::test]
async fn a_dry_run_says_what_would_change_and_writes_nothing() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    let request = wire::ApplyRequest { files: documents(), dry_run: true, ..Default::default() };
    let response = client.apply(request).await.unwrap().into_inner();
    assert_eq!(response.outcome(), ApplyOutcome::DryRun);
    assert_eq!((response.changes.len(), response.generation), (4, 0));
    assert_eq!(etcd.dump().await, [].into());
    let status = client.status(wire::StatusRequest::default()).await.unwrap().into_inner();
    assert_eq!(status, wire::StatusResponse::default());
    controller.shutdown().await;
}

#[tokio::test]
async fn documents_that_mean_the_same_are_unchanged_whatever_their_order() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, documents(), ApplyOutcome::Applied).await;
    let before = etcd.dump().await;
    let other = format!("# moved\n{WORKLOADS}\n---\n{POLICY}");
    let response =
        apply(&mut client, files(&[("all.yaml", &other), ("f.yaml", FABRIC)]), ApplyOutcome::Unchanged).await;
    assert_eq!((response.generation, response.changes.len()), (1, 0));
    assert_eq!(etcd.dump().await, before);
    controller.shutdown().await;
}

#[tokio::test]
async fn a_change_moves_the_target_of_the_node_whose_plan_it_changes_and_no_other() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, documents(), ApplyOutcome::Applied).await;
    let before = etcd.targets().await;
    let policy = POLICY.replace("action: allow", "action: deny");
    let changed = files(&[("fabric.yaml", FABRIC), ("policy.yaml", &policy), ("workloads.yaml", WORKLOADS)]);
    let response = apply(&mut client, changed, ApplyOutcome::Applied).await;
    assert_eq!(response.nodes_changed, ["host2"]);
    let [change] = &response.changes[..] else { panic!("{:?}", response.changes) };
    assert_eq!((change.kind(), change.document_name.as_str()), (ChangeKind::Changed, "db"));
    let after = etcd.targets().await;
    assert_eq!(after["host2"].generation, Generation(2));
    assert_eq!(after["host1"], before["host1"]);
    assert_ne!(after["host2"].manifest, before["host2"].manifest);

    let listed = client.generations(wire::GenerationsRequest {}).await.unwrap().into_inner().generations;
    assert_eq!(listed.iter().map(|listed| listed.generation).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(listed[0].summary, Some(wire::ChangeSummary { added: 0, changed: 1, removed: 0 }));
    assert_eq!(documents_of(&mut client, 1).await.unwrap().1, excerpts());
    let none = documents_of(&mut client, 9).await.unwrap_err();
    assert_eq!(none.message(), "there is no generation 9; the newest is 2");
    controller.shutdown().await;
}

#[tokio::test]
async fn content_that_went_together_with_a_target_is_written_again_by_the_next_publication() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, documents(), ApplyOutcome::Applied).await;
    let (before, mut raw) = (etcd.dump().await, etcd.raw().await);
    let of_host1 = keys::target(&"host1".parse().unwrap());
    let lost = |key: &&String| {
        **key == of_host1 || [keys::MANIFESTS, keys::CHUNKS].iter().any(|prefix| key.starts_with(prefix))
    };
    for key in before.keys().filter(lost) {
        raw.delete(key.as_str(), None).await.unwrap();
    }
    let begun = std::time::Instant::now();
    while !etcd.dump().await.contains_key(&of_host1) {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "the target is not written again");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let policy = POLICY.replace("action: allow", "action: deny");
    let changed = files(&[("fabric.yaml", FABRIC), ("policy.yaml", &policy), ("workloads.yaml", WORKLOADS)]);
    let response = apply(&mut client, changed, ApplyOutcome::Applied).await;
    assert_eq!(response.nodes_changed, ["host2"]);
    let after = etcd.dump().await;
    for (name, target) in etcd.targets().await {
        assert_eq!(plan(&after, &target).node.as_str(), name, "all that the target leads to is there");
    }
    controller.shutdown().await;
}

#[tokio::test]
async fn a_node_that_is_removed_loses_its_target_and_identities_stay() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, documents(), ApplyOutcome::Applied).await;
    let before = client.identities(wire::IdentitiesRequest {}).await.unwrap().into_inner();
    let fabric = FABRIC.replace(
        "    - name: host2\n      role: host",
        "    - name: host2\n      role: host\n      agent: none",
    );
    let workloads = WORKLOADS.split("---").next().unwrap();
    let changed = files(&[("fabric.yaml", &fabric), ("policy.yaml", POLICY), ("workloads.yaml", workloads)]);
    let response = apply(&mut client, changed, ApplyOutcome::Applied).await;
    assert!(response.nodes_changed.contains(&"host2".to_owned()));
    assert_eq!(etcd.targets().await.into_keys().collect::<Vec<_>>(), ["host1"]);
    let after = client.identities(wire::IdentitiesRequest {}).await.unwrap().into_inner();
    assert_eq!(after, before);
    controller.shutdown().await;
}

#[tokio::test]
async fn errors_come_back_all_at_once_with_their_lines_and_change_nothing() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, documents(), ApplyOutcome::Applied).await;
    let before = etcd.dump().await;
    let policy = POLICY.replace("tier: application", "tier: aplication").replace("port: sql", "prot: sql");
    let wrong = files(&[("fabric.yaml", FABRIC), ("policy.yaml", &policy), ("workloads.yaml", WORKLOADS)]);
    let response = apply(&mut client, wrong, ApplyOutcome::Invalid).await;
    let errors = response.diagnostics.iter().filter(|finding| finding.severity() == wire::Severity::Error);
    let lines: BTreeSet<_> = errors.map(|error| (error.file.as_str(), error.line)).collect();
    assert!(lines.contains(&("policy.yaml", 5)) && lines.contains(&("policy.yaml", 11)), "{lines:?}");
    assert_eq!(etcd.dump().await, before);
    controller.shutdown().await;
}

#[tokio::test]
async fn a_plan_larger_than_the_tables_is_refused_before_anything_is_written() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    let ports: String = (0..1_100).map(|n| format!("        - {{name: v{n}, role: workload}}\n")).collect();
    let uplink = "ports: [{name: eth0, role: uplink}, {name: w1, role: workload}]\n";
    let many = format!("ports:\n        - {{name: w1, role: workload}}\n{ports}");
    let fabric =
        FABRIC.replacen(uplink, &many, 1).replace("    - endpoints: [\"leaf1:swp1\", \"host1:eth0\"]\n", "");
    let large = files(&[("fabric.yaml", &fabric), ("policy.yaml", POLICY), ("workloads.yaml", WORKLOADS)]);
    let refused = client.apply(wire::ApplyRequest { files: large, ..Default::default() }).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(
        refused.message().starts_with("the plan of node host1 needs 1101 entries of the table of ports, which has room for 512 a generation"),
        "{refused}"
    );
    assert_eq!(etcd.dump().await, [].into());
    controller.shutdown().await;
}

/// What host1 says of a port that its device forwards past.
fn forwarded_past() -> Report {
    let port = |name: &str, role, past: &[&str]| PortReport {
        name: name.parse().unwrap(),
        role,
        profile: Some("veth".parse().unwrap()),
        requested: Mode::Native,
        state: PortState::Enforced(Mode::Native),
        reason: "driver veth runs XDP itself".into(),
        egress: EgressReport::Enforced,
        past: past.iter().map(|way| (*way).to_owned()).collect(),
        nic: Nic::Unable,
    };
    let ports = vec![
        port("eth0", PortRole::Uplink, &["the eSwitch forwards flows of tc"]),
        port("w1", PortRole::Workload, &[]),
    ];
    Report { ports, ..report("host1", Some(1)) }
}

#[tokio::test]
async fn what_is_known_to_go_unenforced_is_refused_unless_the_command_or_the_document_allows_it() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    // Nothing is known of a fabric whose agents do not run yet.
    apply(&mut client, documents(), ApplyOutcome::Applied).await;
    etcd.report(&forwarded_past()).await;
    etcd.report(&report("host2", Some(1))).await;
    let wait = wire::StatusRequest { generation: 1, wait_ms: 10_000 };
    client.status(wait).await.unwrap();

    let policy = POLICY.replace("action: allow", "action: deny");
    let with = |workloads: &str| {
        files(&[("fabric.yaml", FABRIC), ("policy.yaml", &policy), ("workloads.yaml", workloads)])
    };
    let before = etcd.dump().await;
    for dry_run in [true, false] {
        let request = wire::ApplyRequest { files: with(WORKLOADS), dry_run, ..Default::default() };
        let refused = client.apply(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
        let told =
            "node host1, port eth0: the eSwitch forwards flows of tc; unenforced: web1 (from the fabric)";
        assert!(refused.message().contains(told), "{refused}");
        assert!(refused.message().contains("--allow-unenforced"), "{refused}");
    }
    assert_eq!(etcd.dump().await, before);

    let request = wire::ApplyRequest { files: with(WORKLOADS), allow_unenforced: true, ..Default::default() };
    let allowed = client.apply(request).await.unwrap().into_inner();
    assert_eq!((allowed.generation, allowed.unenforced.len()), (2, 1));
    let optional = WORKLOADS.replacen("spec:\n", "spec:\n  enforcement: optional\n", 1);
    let response = apply(&mut client, with(&optional), ApplyOutcome::Applied).await;
    assert_eq!((response.generation, response.unenforced), (3, vec![]));
    controller.shutdown().await;
}

#[tokio::test]
async fn a_demand_that_a_port_is_known_not_to_meet_is_refused_by_port_and_by_kind_of_device() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, documents(), ApplyOutcome::Applied).await;
    let mut told = forwarded_past();
    told.ports[0].past.clear();
    told.ports[1].state = PortState::Enforced(Mode::Generic);
    etcd.report(&told).await;
    etcd.report(&report("host2", Some(1))).await;
    client.status(wire::StatusRequest { generation: 1, wait_ms: 10_000 }).await.unwrap();
    let demands = [
        FABRIC.replacen(
            "{name: w1, role: workload}",
            "{name: w1, role: workload, xdp: {require: native}}",
            1,
        ),
        FABRIC.replacen("  links:", "  hardware: [{profile: veth, xdp: {forbid: [generic]}}]\n  links:", 1),
    ];
    for (fabric, demand) in demands.iter().zip(["at least native", "not generic"]) {
        let files = files(&[("fabric.yaml", fabric), ("policy.yaml", POLICY), ("workloads.yaml", WORKLOADS)]);
        let request = wire::ApplyRequest { files, allow_unenforced: true, ..Default::default() };
        let refused = client.apply(request).await.unwrap_err();
        let told =
            format!("node host1, port w1: runs generic, {demand} is demanded: driver veth runs XDP itself");
        assert!(refused.message().contains(&told), "{refused}");
    }
    controller.shutdown().await;
}

#[tokio::test]
async fn the_same_file_twice_is_refused_by_name() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    let twice = files(&[("a.yaml", FABRIC), ("a.yaml", FABRIC)]);
    let refused = client.apply(wire::ApplyRequest { files: twice, ..Default::default() }).await.unwrap_err();
    assert_eq!(refused.message(), "file `a.yaml` is given twice");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    controller.shutdown().await;
}
