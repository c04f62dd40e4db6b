//! Policies that would cut nodes off from what they can't live without: refused unless forced, and shown.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::process::{Command, Output, Stdio};

use common::{FABRIC, POLICY, TestEtcd, WORKLOADS, apply, client, files, report};
use selvedge_proto::Report;
use selvedge_proto::wire::{self, ApplyOutcome};
use selvedge_topology::failsafe::{Origin, Service, ServiceKind};

/// A node whose etcd is the workload db1.
fn needs_db1(node: &str) -> Report {
    let service = |kind, host: &str, port, origin| Service { kind, host: host.to_owned(), port, origin };
    let services = vec![
        service(ServiceKind::Etcd, "10.1.0.21", 2379, Origin::Option),
        service(ServiceKind::Etcd, "etcd.example", 2379, Origin::Option),
        service(ServiceKind::Controller, "192.0.2.7", 7471, Origin::Token),
    ];
    Report { services, ..report(node, Some(1)) }
}

fn describe(server: &str, node: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command.args(["--server", server, "describe", "node", node]).stdin(Stdio::null());
    let Output { stdout, stderr, .. } = command.output().unwrap();
    String::from_utf8([stdout, stderr].concat()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cuts_nodes_off_from_etcd_is_refused_unless_forced_and_describe_shows_it() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    let open = files(&[("fabric.yaml", FABRIC), ("workloads.yaml", WORKLOADS)]);
    apply(&mut client, open, ApplyOutcome::Applied).await;
    for node in ["host1", "host2"] {
        etcd.report(&needs_db1(node)).await;
    }
    client.status(wire::StatusRequest { generation: 1, wait_ms: 10_000 }).await.unwrap();
    let server = format!("http://{}", controller.address());
    let shown = describe(&server, "host1");
    let flows = shown.split("Failsafe flows:\n").nth(1).unwrap().split("Packets").next().unwrap();
    insta::assert_snapshot!(flows);

    let before = etcd.dump().await;
    let with = |policy: &str| {
        files(&[("fabric.yaml", FABRIC), ("policy.yaml", policy), ("workloads.yaml", WORKLOADS)])
    };
    for dry_run in [true, false] {
        let request = wire::ApplyRequest { files: with(POLICY), dry_run, ..Default::default() };
        let refused = client.apply(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
        let told = "\n  etcd at 10.1.0.21:2379: application/default-deny/ingress of workload db1 denies it to node host1, node \
                    host2\n";
        assert!(
            refused.message().contains(told) && refused.message().contains("--allow-lockout"),
            "{refused}"
        );
    }
    assert_eq!(etcd.dump().await, before);

    // A policy that lets nodes through to it is none of those.
    let kind = POLICY.replace(
        "  ingress:\n",
        "  ingress:\n    - {action: allow, from: [{entity: host}, {entity: remote-node}], ports: [{protocol: TCP, port: 2379}]}\n",
    );
    let response = apply(&mut client, with(&kind), ApplyOutcome::Applied).await;
    assert_eq!((response.generation, response.lockouts), (2, vec![]));

    let forced = wire::ApplyRequest { files: with(POLICY), allow_lockout: true, ..Default::default() };
    let forced = client.apply(forced).await.unwrap().into_inner();
    assert_eq!((forced.generation, forced.lockouts.len()), (3, 1));
    let shown = describe(&server, "host1");
    assert!(shown.contains("cut by application/default-deny/ingress of workload db1"), "{shown}");
    controller.shutdown().await;
}
