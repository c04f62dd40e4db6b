//! What agents say comes out where users look.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::time::{Duration, SystemTime};

use common::{TestEtcd, apply, client, documents, report};
use futures::StreamExt;
use selvedge_proto::wire::export_client::ExportClient;
use selvedge_proto::wire::observe_response::Item;
use selvedge_proto::wire::{self, ApplyOutcome, NodeState};
use selvedge_proto::{Flow, FlowEnd, Mode, Observed, Refusal, Transport, Verdict};
use selvedge_topology::identity::Identity;
use selvedge_topology::l4::Protocol;
use selvedge_topology::plan::Generation;

const WAIT: u64 = 10_000;

fn states(status: &wire::StatusResponse) -> Vec<(&str, NodeState)> {
    status.nodes.iter().map(|node| (node.node.as_str(), node.state())).collect()
}

#[tokio::test]
async fn status_waits_until_every_node_has_the_generation_in_force() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, documents(), ApplyOutcome::Applied).await;
    let now = client.status(wire::StatusRequest::default()).await.unwrap().into_inner();
    assert_eq!(states(&now), [("host1", NodeState::NeverSeen), ("host2", NodeState::NeverSeen)]);

    let mut waiting = client.clone();
    let wait = async move {
        let request = wire::StatusRequest { generation: 1, wait_ms: WAIT };
        waiting.status(request).await.unwrap().into_inner()
    };
    let tell = async {
        etcd.report(&report("host1", Some(1))).await;
        etcd.report(&report("host2", Some(1))).await;
    };
    let (status, ()) = tokio::join!(wait, tell);
    assert_eq!(states(&status), [("host1", NodeState::InForce), ("host2", NodeState::InForce)]);
    assert!(status.nodes.iter().all(|node| node.age_ms < WAIT));
    controller.shutdown().await;
}

#[tokio::test]
async fn a_refusal_ends_the_wait_and_tells_the_reason() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, documents(), ApplyOutcome::Applied).await;
    etcd.report(&report("host1", Some(1))).await;
    let refusal = Refusal { generation: Generation(1), reason: "port w1 does not exist".into() };
    etcd.report(&selvedge_proto::Report { refusal: Some(refusal), ..report("host2", None) }).await;
    let request = wire::StatusRequest { generation: 1, wait_ms: WAIT };
    let status = client.status(request).await.unwrap().into_inner();
    let refused = status.nodes.iter().find(|node| node.node == "host2").unwrap();
    assert_eq!(refused.state(), NodeState::Refused);
    let reason = refused.report.as_ref().unwrap().refusal.as_ref().unwrap();
    assert_eq!(reason.reason, "port w1 does not exist");
    controller.shutdown().await;
}

#[tokio::test]
async fn an_old_report_found_at_start_is_silent_and_an_unreadable_one_is_passed_over() {
    let etcd = TestEtcd::start().await;
    let old = SystemTime::now() - Duration::from_secs(60);
    etcd.report(&selvedge_proto::Report { time: old, ..report("host1", Some(1)) }).await;
    let key = selvedge_proto::keys::report(&"host2".parse().unwrap());
    etcd.raw().await.put(key, vec![0xff; 9], None).await.unwrap();
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, documents(), ApplyOutcome::Applied).await;
    // The listing comes in beside the API; this waits for it and for nothing more.
    let mut status = client.status(wire::StatusRequest::default()).await.unwrap().into_inner();
    for _ in 0..100 {
        if status.nodes[0].report.is_some() {
            break;
        }
        let request = wire::StatusRequest { generation: 0, wait_ms: 50 };
        status = client.status(request).await.unwrap().into_inner();
    }
    assert_eq!(states(&status), [("host1", NodeState::Silent), ("host2", NodeState::NeverSeen)]);
    controller.shutdown().await;
}

fn flow(verdict: Verdict) -> Flow {
    Flow {
        time: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        node: "host1".parse().unwrap(),
        port: "w1".parse().unwrap(),
        mode: Mode::Generic,
        packet: Observed::Frame { ether_type: 0x88cc },
        length: 60,
        verdict,
        reason: "policy-deny".parse().unwrap(),
        rule: None,
        generation: Some(Generation(1)),
    }
}

fn batch(flows: &[Flow], lost: u64) -> wire::FlowBatch {
    wire::FlowBatch { node: "host1".into(), flows: flows.iter().map(Into::into).collect(), lost }
}

#[tokio::test]
async fn exported_flows_are_observed_past_and_present_and_losses_are_told() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    let mut export = ExportClient::connect(format!("http://{}", controller.address())).await.unwrap();
    let (denied, allowed) = (flow(Verdict::Denied), flow(Verdict::Allowed));

    let past = batch(&[allowed.clone(), denied.clone(), allowed.clone()], 0);
    let received = export.flows(futures::stream::iter([past])).await.unwrap().into_inner().received;
    assert_eq!(received, 3);
    let request =
        wire::ObserveRequest { last: 9, verdicts: vec![wire::Verdict::Denied.into()], ..Default::default() };
    let past: Vec<_> = client.observe(request.clone()).await.unwrap().into_inner().collect().await;
    let past: Vec<_> = past.into_iter().map(|item| item.unwrap().item.unwrap()).collect();
    assert_eq!(past, [Item::Flow((&denied).into())]);

    let following = wire::ObserveRequest { last: 0, follow: true, ..request };
    let mut following = client.observe(following).await.unwrap().into_inner();
    export.flows(futures::stream::iter([batch(&[allowed, denied.clone()], 7)])).await.unwrap();
    let mut next = async || following.message().await.unwrap().unwrap().item.unwrap();
    assert_eq!(next().await, Item::Lost(7));
    assert_eq!(next().await, Item::Flow((&denied).into()));
    controller.shutdown().await;
    assert!(
        following.message().await.is_ok_and(|item| item.is_none()),
        "the stream ends with the controller"
    );
}

#[tokio::test]
async fn the_ends_that_an_agent_cannot_name_are_named() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, documents(), ApplyOutcome::Applied).await;
    let mut export = ExportClient::connect(format!("http://{}", controller.address())).await.unwrap();
    let end = |address: &str, identity| FlowEnd {
        address: address.parse().unwrap(),
        identity: Identity(identity),
        workload: None,
    };
    let packet = Observed::Ip {
        source: end("10.1.0.21", 257),
        destination: end("192.0.2.1", 2),
        transport: Transport::Other(Protocol(47)),
    };
    let told = Flow { packet, ..flow(Verdict::Denied) };
    export.flows(futures::stream::iter([batch(&[told], 0)])).await.unwrap();
    let request = wire::ObserveRequest { last: 1, workloads: vec!["db1".into()], ..Default::default() };
    let item = client.observe(request).await.unwrap().into_inner().message().await.unwrap().unwrap().item;
    let Some(Item::Flow(seen)) = item else { panic!("{item:?}") };
    let Observed::Ip { source, destination, .. } = Flow::try_from(seen).unwrap().packet else { panic!() };
    assert_eq!(source.workload, Some("db1".parse().unwrap()));
    assert_eq!(destination.workload, None);
    controller.shutdown().await;
}

#[tokio::test]
async fn flows_that_cannot_be_are_refused() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut export = ExportClient::connect(format!("http://{}", controller.address())).await.unwrap();
    let foreign = wire::FlowBatch { node: "host2".into(), ..batch(&[flow(Verdict::Denied)], 0) };
    let refused = export.flows(futures::stream::iter([foreign])).await.unwrap_err();
    assert_eq!(refused.message(), "a flow of node `host1` in a batch of node `host2`");
    let mut wrong = batch(&[flow(Verdict::Denied)], 0);
    wrong.flows[0].verdict = 99;
    let refused = export.flows(futures::stream::iter([wrong])).await.unwrap_err();
    assert_eq!(refused.message(), "verdict has no meaning for 99");
    controller.shutdown().await;
}
