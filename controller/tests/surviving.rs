//! Restarts, rivals, and an etcd that comes and goes.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{TestEtcd, apply, client, documents, own_address, start};
use selvedge_controller::server::{Backing, EtcdError, Failure, StartError};
use selvedge_controller::store::{Access, Identities, Leadership, Store, StoreError};
use selvedge_proto::wire::{self, ApplyOutcome};
use selvedge_proto::{GenerationRecord, keys};
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::plan::Generation;

/// Polls until `holds`, for at most ten seconds.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_running(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    status.is_ok_and(|status| !status.contains(") Z "))
}

#[tokio::test]
async fn a_restarted_controller_goes_on_where_the_last_one_ended() {
    let etcd = TestEtcd::start().await;
    let first = etcd.controller().await;
    apply(&mut client(&first).await, documents(), ApplyOutcome::Applied).await;
    first.shutdown().await;
    let before = etcd.dump().await;

    let second = etcd.controller().await;
    let mut client = client(&second).await;
    let response = apply(&mut client, documents(), ApplyOutcome::Unchanged).await;
    assert_eq!(response.generation, 1);
    assert_eq!(etcd.dump().await, before);
    second.shutdown().await;
}

#[tokio::test]
async fn a_publication_that_was_interrupted_before_its_targets_is_completed_at_the_next_start() {
    let etcd = TestEtcd::start().await;
    let first = etcd.controller().await;
    apply(&mut client(&first).await, documents(), ApplyOutcome::Applied).await;
    first.shutdown().await;
    let before = etcd.targets().await;
    etcd.raw().await.delete(keys::target(&"host2".parse().unwrap()), None).await.unwrap();
    etcd.raw().await.put(format!("{}gone", keys::TARGETS), "old", None).await.unwrap();

    let second = etcd.controller().await;
    assert_eq!(etcd.targets().await, before);
    second.shutdown().await;
}

#[tokio::test]
async fn a_second_controller_waits_until_the_first_has_gone() {
    let etcd = TestEtcd::start().await;
    let first = etcd.controller().await;
    let backing = Backing::Cluster { access: etcd.etcd.access().clone() };
    let mut second = Box::pin(start(backing, "second"));
    // Long enough for it to connect and find the key held; a short wait can only hide a failure, not make one.
    let early = tokio::time::timeout(Duration::from_millis(500), &mut second).await;
    assert!(early.is_err(), "the second controller serves beside the first");
    first.shutdown().await;
    let second = tokio::time::timeout(Duration::from_secs(10), second).await.unwrap().unwrap();
    second.shutdown().await;
}

#[tokio::test]
async fn a_deposed_leader_can_write_nothing_more() {
    let etcd = TestEtcd::start().await;
    let store = Store::connect(etcd.etcd.access()).await.unwrap();
    let old = Leadership::acquire(&store, "old").await.unwrap();
    // What happens when its lease runs out while it hangs.
    etcd.raw().await.delete(keys::LEADER, None).await.unwrap();
    let new = Leadership::acquire(&store, "new").await.unwrap();

    let files = documents().into_iter().map(|file| SourceFile { name: file.name, text: file.text });
    let model = load(&files.collect::<Vec<_>>()).model.unwrap();
    let mut identities = Identities::default();
    let missing = identities.table().missing(&model);
    let refused = identities.allocate(&store, old.fence(), &missing).await.unwrap_err();
    assert!(matches!(refused, StoreError::Deposed), "{refused}");
    assert_eq!(etcd.dump().await, [].into());
    identities.allocate(&store, new.fence(), &missing).await.unwrap();
    assert_eq!(etcd.dump().await.len(), 3, "two identities and their counter");
    old.resign().await;
    new.resign().await;
}

#[tokio::test]
async fn a_controller_that_loses_its_lease_fails_and_says_so() {
    let etcd = TestEtcd::start().await;
    let mut controller = etcd.controller().await;
    let mut raw = etcd.raw().await;
    let lease = raw.get(keys::LEADER, None).await.unwrap().kvs()[0].lease();
    raw.lease_revoke(lease).await.unwrap();
    let failure = tokio::time::timeout(Duration::from_secs(15), controller.failed()).await.unwrap();
    assert!(matches!(failure, Failure::LeadershipLost), "{failure}");
    controller.shutdown().await;
}

#[tokio::test]
async fn a_deposed_controller_refuses_to_apply() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    etcd.raw().await.delete(keys::LEADER, None).await.unwrap();
    let request = wire::ApplyRequest { files: documents(), ..Default::default() };
    let refused = client(&controller).await.apply(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert_eq!(refused.message(), "this controller is no longer the leader; nothing was written");
    assert_eq!(etcd.dump().await, [].into());
    controller.shutdown().await;
}

#[tokio::test]
async fn a_controller_whose_etcd_is_gone_says_so_and_changes_nothing() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    etcd.etcd.stop().await;
    let request = wire::ApplyRequest { files: documents(), ..Default::default() };
    let refused = client.apply(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
    assert!(refused.message().contains("etcd"), "{refused}");
    controller.shutdown().await;
}

#[tokio::test]
async fn an_etcd_that_does_not_answer_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{free}");
    let error = start(Backing::Cluster { access: Access::plain(vec![endpoint.clone()]) }, "test")
        .await
        .err()
        .unwrap();
    assert!(matches!(error, StartError::Store(StoreError::Unreachable { .. })));
    assert!(error.to_string().starts_with(&format!("etcd does not answer at {endpoint}")), "{error}");
}

#[tokio::test]
async fn the_embedded_etcd_keeps_its_data_and_leaves_no_process() {
    let directory = tempfile::tempdir().unwrap();
    let listen = own_address();
    let embedded = || Backing::Embedded { data_dir: directory.path().join("data"), listen };
    let first = start(embedded(), "first").await.unwrap();
    let pid = first.etcd_pid().unwrap();
    assert!(is_running(pid));
    apply(&mut client(&first).await, documents(), ApplyOutcome::Applied).await;
    first.shutdown().await;
    assert!(!is_running(pid), "etcd {pid} is still there");

    let second = start(embedded(), "second").await.unwrap();
    apply(&mut client(&second).await, documents(), ApplyOutcome::Unchanged).await;
    second.shutdown().await;
}

#[tokio::test]
async fn a_controller_whose_embedded_etcd_dies_fails_with_the_end_of_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let backing = Backing::Embedded { data_dir: directory.path().to_owned(), listen: own_address() };
    let mut controller = start(backing, "test").await.unwrap();
    let pid = i32::try_from(controller.etcd_pid().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    let failure = tokio::time::timeout(Duration::from_secs(10), controller.failed()).await.unwrap();
    assert!(matches!(failure, Failure::EtcdEnded(_)), "{failure}");
    assert!(failure.to_string().contains("etcd.log"), "{failure}");
    controller.shutdown().await;
}

#[tokio::test]
async fn an_embedded_etcd_never_takes_another_one_for_itself() {
    let other = TestEtcd::start().await;
    let listen = other.etcd.endpoint().trim_start_matches("http://").parse().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let backing = Backing::Embedded { data_dir: directory.path().to_owned(), listen };
    let error = start(backing, "test").await.err().unwrap();
    assert!(
        matches!(error, StartError::Etcd(EtcdError::Listen { address, .. }) if address == listen),
        "{error}"
    );
    assert_eq!(other.dump().await, [].into());
}

#[tokio::test]
async fn an_embedded_etcd_needs_a_port_that_agents_can_know() {
    let directory = tempfile::tempdir().unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let backing = Backing::Embedded { data_dir: directory.path().to_owned(), listen };
    let error = start(backing, "test").await.err().unwrap();
    assert!(
        matches!(error, StartError::Etcd(EtcdError::AnyPort { address }) if address == listen),
        "{error}"
    );
    assert!(error.to_string().contains("--embedded-etcd-listen"), "{error}");
}

#[tokio::test]
async fn a_publication_of_unknown_end_is_looked_at_again_before_the_next_one() {
    let etcd = TestEtcd::start().await;
    let controller = etcd.controller().await;
    let mut client = client(&controller).await;
    apply(&mut client, documents(), ApplyOutcome::Applied).await;
    // As if the record of generation 2 had been written, and its answer lost.
    let first = &etcd.dump().await[&keys::generation(Generation(1))];
    let mut second = GenerationRecord::decode(first).unwrap();
    second.generation = Generation(2);
    etcd.raw().await.put(keys::generation(Generation(2)), second.encode(), None).await.unwrap();

    let mut changed = documents();
    changed[1].text = changed[1].text.replace("action: allow", "action: deny");
    let request = wire::ApplyRequest { files: changed.clone(), ..Default::default() };
    let refused = client.apply(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Aborted, "{refused}");
    assert!(etcd.targets().await.values().all(|target| target.generation == Generation(1)));

    let response = apply(&mut client, changed, ApplyOutcome::Applied).await;
    assert_eq!(response.generation, 3);
    let generations: Vec<_> = etcd.targets().await.values().map(|target| target.generation).collect();
    assert_eq!(
        generations,
        [Generation(1), Generation(3)],
        "of host1, whose plan is as it was, and of host2"
    );
    controller.shutdown().await;
}

#[tokio::test]
async fn a_killed_controller_takes_its_etcd_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut controller = Command::new(env!("CARGO_BIN_EXE_selvedge-controller"))
        .args([
            "--insecure",
            "--listen",
            "127.0.0.1:0",
            "--embedded-etcd-listen",
            &own_address().to_string(),
            "--data-dir",
        ])
        .arg(directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let parent = controller.id();
    let mut etcd = None;
    eventually("etcd starts", || {
        etcd = child_of(parent);
        etcd.is_some()
    })
    .await;
    controller.kill().unwrap();
    controller.wait().unwrap();
    let etcd = etcd.unwrap();
    eventually("etcd ends with its controller", || !is_running(etcd)).await;
}

/// The process that `parent` started.
fn child_of(parent: u32) -> Option<u32> {
    let children = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(Path::new(&children)).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
