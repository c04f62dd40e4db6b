//! Labels that not everybody may set: real certificates, a real etcd, and the rules of a fabric's documents.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::process::{Command, Output, Stdio};

use common::secure::Secure;
use common::{FABRIC, POLICY, TestEtcd, WORKLOADS, documents, files};
use selvedge_proto::wire::fabric_client::FabricClient;
use selvedge_proto::wire::{self, ApplyOutcome};
use selvedge_trust::pki::Role;
use tonic::transport::Channel;
use tonic::{Code, Status};

const RULES: &str =
    "  labels: [{key: role, values: [web, db, dmz], setBy: {role: admin, operators: [anna]}}]\n";

/// The documents of a fabric with rules for labels, its workloads as `edit` has them.
fn guarded(edit: impl Fn(&str) -> String) -> Vec<wire::SourceFile> {
    let fabric = format!("{FABRIC}{RULES}");
    files(&[("fabric.yaml", &fabric), ("policy.yaml", POLICY), ("workloads.yaml", &edit(WORKLOADS))])
}

async fn apply(
    client: &mut FabricClient<Channel>,
    files: Vec<wire::SourceFile>,
) -> Result<(u64, ApplyOutcome), Status> {
    let request = wire::ApplyRequest { files, ..Default::default() };
    let answer = client.apply(request).await?.into_inner();
    Ok((answer.generation, answer.outcome()))
}

fn selvedge(fabric: &Secure, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command.env("SELVEDGE_DATA_DIR", fabric.data.folder.path()).env("SELVEDGE_CONFIG", "/nowhere");
    command.args(["--server", &format!("https://{}", fabric.controller.address())]).args(arguments);
    let Output { stdout, stderr, .. } = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8([stdout, stderr].concat()).unwrap()
}

/// What somebody is told who may not.
async fn refused(client: &mut FabricClient<Channel>, files: Vec<wire::SourceFile>) -> String {
    let dry = wire::ApplyRequest { files: files.clone(), dry_run: true, ..Default::default() };
    let dry = client.apply(dry).await.unwrap_err();
    let refused = apply(client, files).await.unwrap_err();
    assert_eq!((dry.code(), refused.code()), (Code::PermissionDenied, Code::PermissionDenied));
    assert_eq!(dry.message(), refused.message(), "a dry run says the same");
    refused.message().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whom_the_rules_in_force_name_sets_a_label_and_only_admins_change_the_rules() {
    let fabric = Secure::start().await;
    let mut admin = fabric.fabric(&fabric.admin()).await.unwrap();
    let mut anna = fabric.fabric(&fabric.operator("anna", Role::Operator).await).await.unwrap();
    let mut bob = fabric.fabric(&fabric.operator("bob", Role::Operator).await).await.unwrap();
    let as_it_was = |text: &str| text.to_owned();
    let dmz = |text: &str| text.replace("role: web", "role: dmz");

    assert_eq!(apply(&mut bob, documents()).await.unwrap(), (1, ApplyOutcome::Applied));
    // The rules themselves: to make them, to change them, and to take them away.
    let told = refused(&mut bob, guarded(as_it_was)).await;
    assert!(told.starts_with("operator bob (operator) may not change which labels"), "{told}");
    assert_eq!(apply(&mut admin, guarded(as_it_was)).await.unwrap(), (2, ApplyOutcome::Applied));
    refused(&mut bob, documents()).await;
    refused(&mut anna, documents()).await;

    let described = selvedge(&fabric, &["describe", "fabric"]);
    let table = "Labels:\n  KEY    VALUES         SET BY\n  role   db, dmz, web   an operator with role admin or anna\n";
    assert!(described.ends_with(table), "{described}");

    // A label: another value, none, a workload that goes, one that comes, the same label for other addresses.
    let told = refused(&mut bob, guarded(dmz)).await;
    let line = "\n  workloads.yaml:3:18: label `role` of workload web1 goes from `web` to `dmz`: only an operator with role \
                admin or anna may set it\n";
    assert!(
        told.starts_with("operator bob (operator) may not set these labels:") && told.contains(line),
        "{told}"
    );
    for (edited, what) in [
        (guarded(|text| text.replace(", role: web", "")), "web1 loses `web`"),
        (guarded(|text| text.split("---").next().unwrap().to_owned()), "db1 loses `db`"),
        (guarded(|text| text.replace("name: db1", "name: db2")), "db2 gets `db`"),
        (
            guarded(|text| text.replace("10.1.0.21", "10.1.0.22")),
            "db1 is `db`, and the workload gets other addresses",
        ),
    ] {
        let told = refused(&mut bob, edited).await;
        assert!(told.contains(what), "{told}");
    }
    // Everything else is everybody's, and what was refused changed nothing.
    let other = guarded(|text| text.replace("app: shop", "app: till"));
    assert_eq!(apply(&mut bob, other).await.unwrap(), (3, ApplyOutcome::Applied));
    let by_anna = guarded(|text| dmz(text).replace("app: shop", "app: till"));
    assert_eq!(apply(&mut anna, by_anna.clone()).await.unwrap(), (4, ApplyOutcome::Applied));
    // The rules are still known after a restart.
    let fabric = fabric.restart().await;
    let mut bob = fabric.fabric(&fabric.operator("bob", Role::Operator).await).await.unwrap();
    assert_eq!(apply(&mut bob, by_anna).await.unwrap(), (4, ApplyOutcome::Unchanged));
    refused(&mut bob, guarded(as_it_was)).await;
    // An operator of that name whose role is enough, too.
    let mut carl = fabric.fabric(&fabric.operator("carl", Role::Admin).await).await.unwrap();
    assert_eq!(apply(&mut carl, guarded(as_it_was)).await.unwrap(), (5, ApplyOutcome::Applied));
    fabric.controller.shutdown().await;
}

#[tokio::test]
async fn what_a_workload_may_not_claim_is_an_error_of_the_documents_for_everybody() {
    let fabric = Secure::start().await;
    let mut admin = fabric.fabric(&fabric.admin()).await.unwrap();
    let files = guarded(|text| text.replace("role: web", "role: wbe"));
    let answer = admin.apply(wire::ApplyRequest { files, ..Default::default() }).await.unwrap().into_inner();
    assert_eq!(answer.outcome(), ApplyOutcome::Invalid);
    let found = answer.diagnostics.iter().find(|found| found.code == "label-refused").unwrap();
    assert_eq!((found.file.as_str(), found.line, found.column), ("workloads.yaml", 5, 29));
    fabric.controller.shutdown().await;
}

#[tokio::test]
async fn where_nobody_is_known_nobody_makes_rules_for_labels() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = common::client(&controller).await;
    let told = refused(&mut client, guarded(str::to_owned)).await;
    assert!(told.contains("a controller that runs with --insecure knows nobody"), "{told}");
    assert_eq!(apply(&mut client, documents()).await.unwrap(), (1, ApplyOutcome::Applied));
    controller.shutdown().await;
}
