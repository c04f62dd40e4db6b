//! Single documents are changed, and the others stay.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

use common::{
    FABRIC, POLICY, TestEtcd, WORKLOADS, apply, client, documents, documents_of, excerpt, excerpts, files,
    start_remembering,
};
use selvedge_controller::server::Backing;
use selvedge_proto::wire::fabric_client::FabricClient;
use selvedge_proto::wire::{self, ApplyOutcome, ChangeKind};
use selvedge_proto::{Digest, GenerationRecord, keys};
use selvedge_topology::plan::Generation;
use tonic::transport::Channel;

const CACHE: &str = r#"apiVersion: selvedge/v1
kind: Workload
metadata: {name: cache1}
spec:
  labels: {app: shop, role: cache}
  addresses: [10.1.0.31]
  attachment: {node: host1, port: w1}
"#;

fn request(written: &[(&str, &str)], removed: &[(&str, &str)]) -> wire::ApplyRequest {
    let name =
        |(kind, name): &(&str, &str)| wire::DocumentName { kind: (*kind).into(), name: (*name).into() };
    wire::ApplyRequest {
        files: files(written),
        partial: true,
        remove: removed.iter().map(name).collect(),
        ..wire::ApplyRequest::default()
    }
}

async fn send(client: &mut FabricClient<Channel>, request: wire::ApplyRequest) -> wire::ApplyResponse {
    client.apply(request).await.unwrap().into_inner()
}

/// The documents that lie in etcd, and the nodes' targets, each by the manifest of its plan.
async fn state(
    client: &mut FabricClient<Channel>,
    etcd: &TestEtcd,
) -> (Vec<wire::SourceFile>, BTreeMap<String, Digest>) {
    let (_, documents) = documents_of(client, 0).await.unwrap();
    let targets = etcd.targets().await.into_iter();
    (documents, targets.map(|(node, target)| (node, target.manifest)).collect())
}

/// What a controller makes of all of these documents at once, from nothing.
async fn from_nothing(files: Vec<wire::SourceFile>) -> (Vec<wire::SourceFile>, BTreeMap<String, Digest>) {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, files, ApplyOutcome::Applied).await;
    let state = state(&mut client, &etcd).await;
    controller.shutdown().await;
    state
}

fn told(response: &wire::ApplyResponse) -> Vec<(ChangeKind, &str)> {
    response.changes.iter().map(|change| (change.kind(), change.document_name.as_str())).collect()
}

#[tokio::test]
async fn documents_are_added_changed_and_removed_one_by_one_and_all_others_stay() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, documents(), ApplyOutcome::Applied).await;

    let added = send(&mut client, request(&[("cache.yaml", CACHE)], &[])).await;
    assert_eq!((added.outcome(), added.generation), (ApplyOutcome::Applied, 2), "{added:#?}");
    assert_eq!(told(&added), [(ChangeKind::Added, "cache1")]);
    assert_eq!(added.nodes_changed, ["host1"]);
    let targets = etcd.targets().await;
    assert_eq!((targets["host1"].generation, targets["host2"].generation), (Generation(2), Generation(1)));

    let moved = CACHE.replace("role: cache", "role: web");
    let changed = send(&mut client, request(&[("cache.yaml", &moved)], &[])).await;
    assert_eq!((told(&changed), changed.generation), (vec![(ChangeKind::Changed, "cache1")], 3));
    let (web, db) = WORKLOADS.split_once("---\n").unwrap();
    let all =
        [("c.yaml", moved.as_str()), ("d.yaml", db), ("f.yaml", FABRIC), ("p.yaml", POLICY), ("w.yaml", web)];
    let (kept, plans) = state(&mut client, &etcd).await;
    assert_eq!(kept[1], excerpt("cache.yaml", 1, &moved));
    assert_eq!(plans, from_nothing(files(&all)).await.1, "as if all were applied at once");

    let removed = send(&mut client, request(&[], &[("Workload", "cache1")])).await;
    assert_eq!((told(&removed), removed.generation), (vec![(ChangeKind::Removed, "cache1")], 4));
    assert_eq!(state(&mut client, &etcd).await, from_nothing(documents()).await);
    let same = send(&mut client, request(&[("policy.yaml", POLICY)], &[])).await;
    assert_eq!((same.outcome(), same.generation), (ApplyOutcome::Unchanged, 4));
    controller.shutdown().await;
}

#[tokio::test]
async fn what_is_refused_or_tried_leaves_no_trace() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, documents(), ApplyOutcome::Applied).await;
    let before = etcd.dump().await;
    let nowhere = CACHE.replace("node: host1", "node: host9");
    let taken = CACHE.replace("10.1.0.31", "10.1.0.21");
    for (written, removed, found) in [
        (nowhere.as_str(), ("Workload", "web1"), "cache.yaml:7:"),
        (&taken, ("SegmentationPolicy", "db"), "cache.yaml:6:"),
        (CACHE, ("Workload", "web2"), "<removals>:1:10 "),
        (CACHE, ("Workload", "cache1"), "<removals>:1:10 "),
        (CACHE, ("Fabric", "small"), "<removals>:1:8 "),
    ] {
        let refused = send(&mut client, request(&[("cache.yaml", written)], &[removed])).await;
        assert_eq!(refused.outcome(), ApplyOutcome::Invalid);
        let [finding] = &refused.diagnostics[..] else { panic!("{:#?}", refused.diagnostics) };
        let place = format!("{}:{}:{} {}", finding.file, finding.line, finding.column, finding.message);
        assert!(place.starts_with(found), "{place}");
    }
    let all = [("CidrGroup", "x")];
    let whole = wire::ApplyRequest { partial: false, ..request(&[("f.yaml", FABRIC)], &all) };
    let refused = client.apply(whole).await.unwrap_err();
    assert_eq!(refused.message(), "documents are removed by name in a partial request only");
    let twice = request(&[("a.yaml", CACHE), ("a.yaml", POLICY)], &[]);
    assert_eq!(client.apply(twice).await.unwrap_err().message(), "file `a.yaml` is given twice");

    let edit = request(&[("cache.yaml", CACHE)], &[("Workload", "db1"), ("SegmentationPolicy", "db")]);
    let dry = send(&mut client, wire::ApplyRequest { dry_run: true, ..edit.clone() }).await;
    assert_eq!((dry.outcome(), dry.generation), (ApplyOutcome::DryRun, 0));
    let expected = [(ChangeKind::Removed, "db"), (ChangeKind::Added, "cache1"), (ChangeKind::Removed, "db1")];
    assert_eq!(told(&dry), expected);
    let fabric = FABRIC.replace("defaultAction: allow", "defaultAction: deny");
    let dry_fabric = request(&[("fabric.yaml", &fabric)], &[]);
    let dry_fabric = send(&mut client, wire::ApplyRequest { dry_run: true, ..dry_fabric }).await;
    assert_eq!(told(&dry_fabric), [(ChangeKind::Changed, "small")]);

    let mut after = etcd.dump().await;
    after.retain(|key, _| before.contains_key(key) || !key.starts_with(keys::AUDIT));
    assert_eq!(after, before);
    let made = send(&mut client, edit).await;
    assert_eq!((made.outcome(), told(&made)), (ApplyOutcome::Applied, told(&dry)));
    assert_eq!(made.nodes_changed, dry.nodes_changed);
    controller.shutdown().await;
}

#[tokio::test]
async fn documents_that_were_changed_one_by_one_are_read_back_after_a_restart() {
    let etcd = TestEtcd::start().await;
    let folder = tempfile::tempdir().unwrap();
    let start = || start_remembering(Backing::Cluster { access: etcd.etcd.access().clone() }, folder.path());
    let first = start().await;
    let mut api = client(&first).await;
    apply(&mut api, documents(), ApplyOutcome::Applied).await;
    send(&mut api, request(&[("cache.yaml", CACHE)], &[])).await;
    let before = state(&mut api, &etcd).await;
    first.shutdown().await;

    let second = start().await;
    let mut api = client(&second).await;
    assert_eq!(state(&mut api, &etcd).await, before);
    let unchanged = send(&mut api, request(&[("other.yaml", CACHE)], &[])).await;
    assert_eq!((unchanged.outcome(), unchanged.generation), (ApplyOutcome::Unchanged, 2));
    assert_eq!(state(&mut api, &etcd).await, before, "another file of the same content is no change");
    let removed = send(&mut api, request(&[], &[("Workload", "cache1")])).await;
    assert_eq!((told(&removed), removed.generation), (vec![(ChangeKind::Removed, "cache1")], 3));
    assert_eq!(documents_of(&mut api, 0).await.unwrap(), (3, excerpts()));
    assert_eq!(documents_of(&mut api, 2).await.unwrap(), (2, before.0));
    second.shutdown().await;
}

#[tokio::test]
async fn all_documents_applied_after_single_ones_are_all_there_is() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, documents(), ApplyOutcome::Applied).await;
    send(&mut client, request(&[("cache.yaml", CACHE)], &[])).await;
    let whole = apply(&mut client, documents(), ApplyOutcome::Applied).await;
    assert_eq!((told(&whole), whole.generation), (vec![(ChangeKind::Removed, "cache1")], 3));
    assert_eq!(state(&mut client, &etcd).await, from_nothing(documents()).await);
    controller.shutdown().await;
}

#[tokio::test]
async fn a_fabric_is_changed_beside_its_documents_and_begun_with_by_some_of_them() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    let refused = client.apply(request(&[("f.yaml", FABRIC)], &[("Workload", "web1")])).await.unwrap_err();
    assert_eq!(refused.message(), "nothing was applied yet, so there is no Workload `web1` to be removed");
    let without = send(&mut client, request(&[("cache.yaml", CACHE)], &[])).await;
    assert_eq!(without.outcome(), ApplyOutcome::Invalid);
    assert_eq!(etcd.dump().await, [].into());

    let first =
        send(&mut client, request(&[("fabric.yaml", FABRIC), ("workloads.yaml", WORKLOADS)], &[])).await;
    assert_eq!((first.outcome(), first.generation, first.changes.len()), (ApplyOutcome::Applied, 1, 3));
    let second = send(&mut client, request(&[("policy.yaml", POLICY)], &[])).await;
    assert_eq!((second.outcome(), second.generation), (ApplyOutcome::Applied, 2));
    assert_eq!(state(&mut client, &etcd).await, from_nothing(documents()).await);

    let host3 = "    - {name: host3, role: host, rack: r1, ports: [{name: w1, role: workload}]}\n";
    let fabric = FABRIC.replace("  links:\n", &format!("{host3}  links:\n"));
    let wider =
        send(&mut client, request(&[("fabric.yaml", &fabric)], &[("SegmentationPolicy", "db")])).await;
    assert_eq!(told(&wider), [(ChangeKind::Changed, "small"), (ChangeKind::Removed, "db")]);
    let all = files(&[("fabric.yaml", &fabric), ("workloads.yaml", WORKLOADS)]);
    assert_eq!(state(&mut client, &etcd).await, from_nothing(all).await);
    let status = client.status(wire::StatusRequest::default()).await.unwrap().into_inner();
    let roles: Vec<_> = status.nodes.iter().map(|node| (node.node.as_str(), node.role())).collect();
    assert_eq!(roles, ["host1", "host2", "host3"].map(|node| (node, wire::NodeRole::Host)));
    controller.shutdown().await;
}

/// The first list of documents that the newest record names.
async fn sources(etcd: &TestEtcd) -> Digest {
    let dump = etcd.dump().await;
    let (_, newest) = dump.iter().rfind(|(key, _)| key.starts_with(keys::GENERATIONS)).unwrap();
    GenerationRecord::decode(newest).unwrap().lists().next().unwrap()
}

#[tokio::test]
async fn the_record_of_single_changes_names_what_that_of_all_documents_does() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut api = client(&controller).await;
    apply(&mut api, documents(), ApplyOutcome::Applied).await;
    let at_once = sources(&etcd).await;
    send(&mut api, request(&[("cache.yaml", CACHE)], &[("Workload", "web1")])).await;
    assert_ne!(sources(&etcd).await, at_once);
    let back = excerpts()[2].text.clone();
    send(&mut api, request(&[("workloads.yaml", &back)], &[("Workload", "cache1")])).await;
    assert_eq!(sources(&etcd).await, at_once);
    controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_documents_are_applied_and_deleted_and_programs_are_told_what_changed() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let server = format!("http://{}", controller.address());
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache.yaml");
    std::fs::write(&cache, CACHE).unwrap();
    let (folder, cache) = (folder.path().to_str().unwrap(), cache.to_str().unwrap());
    let run = |args: &[&str], code: i32| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
        command.env("SELVEDGE_SERVER", &server).env("NO_COLOR", "1").args(args).stdin(Stdio::null());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let [out, err] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(status.code(), Some(code), "{args:?}: {out}{err}");
        (out, err)
    };
    apply(&mut client(&controller).await, documents(), ApplyOutcome::Applied).await;
    let (told, _) = run(&["apply", "--partial", "-f", cache, "-o", "json"], 0);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let expected = serde_json::json!({
        "outcome": "applied",
        "generation": 2,
        "changes": [{"change": "added", "kind": "Workload", "name": "cache1"}],
        "nodesChanged": ["host1"],
        "unenforced": [],
        "lockouts": [],
    });
    assert_eq!(told, expected);
    let (told, _) = run(&["delete", "Workload", "cache1", "--dry-run"], 0);
    let counts = "+0 ~0 -1 documents; new plans for host1";
    assert_eq!(told, format!("- Workload/cache1\ndry run: {counts}; nothing was changed\n"));
    let (told, _) = run(&["delete", "-f", folder], 0);
    assert_eq!(told, format!("- Workload/cache1\ngeneration 3: {counts}\n"));
    let (told, err) = run(&["delete", "wl", "cache1", "web2"], 1);
    assert_eq!(told, "");
    for words in [
        "there is no Workload `cache1`",
        "<removals>:2:10",
        "did you mean `web1`?",
        "the documents have errors; nothing was changed",
    ] {
        assert!(err.contains(words), "{words}: {err}");
    }
    let (listed, _) = run(&["get", "workloads"], 0);
    assert_eq!(listed.lines().count(), 3, "{listed}");
    for senseless in [
        &["delete"][..],
        &["delete", "workload"],
        &["delete", "fabric", "small"],
        &["delete", "workload", "web1", "-f", cache],
        &["apply", "--partial"],
        &["apply", "--partial", "-f", cache, "--signing-key", "k", "--fabric", "f"],
    ] {
        run(senseless, 2);
    }
    controller.shutdown().await;
}
