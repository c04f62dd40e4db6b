//! The audit record: everything that changes the fabric is in it, and whatever is done to it shows.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::secure::Secure;
use common::{FABRIC, POLICY, WORKLOADS, documents, files};
use selvedge_proto::wire::audit_client::AuditClient;
use selvedge_proto::{keys, wire};
use selvedge_topology::plan::Generation;
use selvedge_trust::audit::{Chain, Entry};
use selvedge_trust::member::{Invitee, MemberName};
use selvedge_trust::pki::Role;

async fn record(fabric: &Secure) -> Vec<(u64, Vec<u8>)> {
    let channel = fabric.channel(selvedge_controller::trust::client(&fabric.admin())).await.unwrap();
    let answer = AuditClient::new(channel).read(wire::AuditRequest { since_ms: 0 }).await;
    let mut stream = answer.unwrap().into_inner();
    let mut all = Vec::new();
    while let Some(wire::AuditRecord { number, entry }) = stream.message().await.unwrap() {
        all.push((number, entry));
    }
    all
}

fn checked(record: &[(u64, Vec<u8>)]) -> Vec<Entry> {
    let mut chain = Chain::default();
    record.iter().map(|(number, bytes)| chain.check(*number, bytes).unwrap()).collect()
}

async fn etcd_as_its_owner(fabric: &Secure) -> etcd_client::Client {
    let own = fabric.controller_identity();
    fabric.etcd(&own).await.unwrap()
}

fn selvedge(fabric: &Secure, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command.env("SELVEDGE_DATA_DIR", fabric.data.folder.path()).env("SELVEDGE_CONFIG", "/nowhere");
    command.args(["--server", &format!("https://{}", fabric.controller.address())]).args(arguments);
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_the_fabric_is_on_record_with_who_did_it_and_from_where() {
    let fabric = Secure::start().await;
    let alice = Invitee::Operator { name: "alice".parse().unwrap(), role: Role::Operator };
    let alice = fabric.member(&alice).await;
    let mut client = fabric.fabric(&alice).await.unwrap();
    let apply = |files, dry_run| wire::ApplyRequest { files, dry_run, ..Default::default() };
    client.apply(apply(documents(), false)).await.unwrap();
    let changed = POLICY.replace("action: allow", "action: deny");
    let texts = [("fabric.yaml", FABRIC), ("policy.yaml", changed.as_str()), ("workloads.yaml", WORKLOADS)];
    // What changes nothing is not on record.
    client.apply(apply(files(&texts), true)).await.unwrap();
    client.apply(apply(documents(), false)).await.unwrap();
    client.apply(apply(files(&texts), false)).await.unwrap();
    fabric.revoke(&MemberName::Operator("alice".parse().unwrap())).await.unwrap();

    let entries = checked(&record(&fabric).await);
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            (entry.author.name.as_str(), entry.method.as_str(), entry.summary.as_str(), entry.generation)
        })
        .collect();
    let (admin, alice) = ("operator:admin:1", "operator:alice:1");
    let expected = [
        (admin, "Members/Invite", "invited operator alice (operator)", None),
        (alice, "Enrol/Enrol", "operator alice (operator) enrolled", None),
        (alice, "Fabric/Apply", "+4 ~0 -0 documents", Some(Generation(1))),
        (alice, "Fabric/Apply", "+0 ~1 -0 documents", Some(Generation(2))),
        (admin, "Members/Revoke", "revoked operator alice", None),
    ];
    assert_eq!(told, expected);
    assert!(entries.iter().all(|entry| entry.author.from.starts_with("127.")));
    assert_eq!(entries[2].author.organisation, "selvedge:operator");
    let diff = &entries[3].diff;
    assert!(diff.contains("-      action: allow\n+      action: deny\n"), "{diff}");
    assert!(!diff.contains('\u{1b}'), "no colours: {diff}");
    let (code, said) = selvedge(&fabric, &["audit", "--verify"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("5 entries, each as it was written; the last is "), "{said}");
    let (code, said) = selvedge(&fabric, &["audit", "-o", "json", "--since", "1h"]);
    let rows: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, rows.as_array().unwrap().len(), &rows[3]["generation"]), (Some(0), 5, &2.into()));
    let (_, none) = selvedge(&fabric, &["audit", "-o", "json", "--since", "2100-01-01T00:00:00Z"]);
    assert_eq!(none.trim(), "[]");
    fabric.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_etcds_owner_changed_shows_it() {
    let fabric = Secure::start().await;
    for name in ["a", "b", "c"] {
        let invitee = Invitee::Node(name.parse().unwrap());
        fabric.invite(&invitee, Duration::from_secs(60)).await.unwrap();
    }
    let good = record(&fabric).await;
    assert_eq!(checked(&good).len(), 3);
    let mut etcd = etcd_as_its_owner(&fabric).await;
    let verify = || selvedge(&fabric, &["audit", "--verify"]);
    // Another node's name in the second.
    let forged = String::from_utf8_lossy(&good[1].1).replace("node b", "node x");
    assert_ne!(forged.as_bytes(), good[1].1, "it was changed");
    etcd.put(keys::audit(2), forged, None).await.unwrap();
    assert_eq!(verify().0, Some(1), "{}", verify().1);
    etcd.delete(keys::audit(2), None).await.unwrap();
    let (code, said) = verify();
    assert_eq!(code, Some(1));
    assert!(said.contains("after entry 1 comes entry 3"), "{said}");
    etcd.put(keys::audit(2), good[1].1.clone(), None).await.unwrap();
    assert_eq!(verify().0, Some(0));
    fabric.controller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_that_can_not_be_put_on_record_and_the_record_goes_on_after_a_restart() {
    let fabric = Secure::start().await;
    let invitee = Invitee::Node("host1".parse().unwrap());
    fabric.invite(&invitee, Duration::from_secs(60)).await.unwrap();
    // Somebody else wrote the entry that would be next: whatever it is to tell is not done.
    let mut etcd = etcd_as_its_owner(&fabric).await;
    etcd.put(keys::audit(2), "not an entry", None).await.unwrap();
    let mut client = fabric.fabric(&fabric.admin()).await.unwrap();
    let apply = || wire::ApplyRequest { files: documents(), ..Default::default() };
    assert!(client.apply(apply()).await.is_err());
    let generations = etcd.get(keys::generation(Generation(1)), None).await.unwrap();
    assert_eq!(generations.count(), 0, "no generation without its entry");
    etcd.delete(keys::audit(2), None).await.unwrap();
    assert_eq!(client.apply(apply()).await.unwrap().into_inner().generation, 1);
    let fabric = fabric.restart().await;
    fabric.invite(&invitee, Duration::from_secs(60)).await.unwrap();
    assert_eq!(checked(&record(&fabric).await).len(), 3);
    fabric.controller.shutdown().await;
}
