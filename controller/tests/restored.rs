//! An etcd that has forgotten something, and who gives it back.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::time::{Duration, Instant};

use common::{TestEtcd, apply, client, documents, start_remembering};
use etcd_client::DeleteOptions;
use selvedge_controller::server::Backing;
use selvedge_controller::store::Store;
use selvedge_proto::wire::{self, ApplyOutcome};
use selvedge_proto::{GenerationRecord, keys};
use selvedge_topology::plan::Generation;

#[tokio::test]
async fn an_etcd_that_was_restored_from_an_older_snapshot_is_given_back_what_it_forgot() {
    let (etcd, folder) = (TestEtcd::start().await, tempfile::tempdir().unwrap());
    let backing = || Backing::Cluster { access: etcd.etcd.access().clone() };
    let first = start_remembering(backing(), folder.path()).await;
    let mut api = client(&first).await;
    apply(&mut api, documents(), ApplyOutcome::Applied).await;
    let snapshot = etcd.dump().await;
    let mut changed = documents();
    changed[1].text = changed[1].text.replace("action: allow", "action: deny");
    apply(&mut api, changed.clone(), ApplyOutcome::Applied).await;
    let (targets, newest) = (etcd.targets().await, keys::generation(Generation(2)));
    let record = etcd.dump().await[&newest].clone();
    first.shutdown().await;

    let mut raw = etcd.raw().await;
    raw.delete(keys::PREFIX, Some(DeleteOptions::new().with_prefix())).await.unwrap();
    for (key, value) in &snapshot {
        raw.put(key.as_str(), value.clone(), None).await.unwrap();
    }
    assert_ne!(etcd.targets().await, targets);
    let second = start_remembering(backing(), folder.path()).await;
    assert_eq!((etcd.targets().await, &etcd.dump().await[&newest]), (targets.clone(), &record));
    let response = apply(&mut client(&second).await, changed, ApplyOutcome::Unchanged).await;
    assert_eq!(response.generation, 2);
    second.shutdown().await;

    // What is damaged on disk is not what was published: then etcd's word is the last.
    std::fs::write(folder.path().join("packs").join(format!("{:020}", 2)), b"\xff\xff").unwrap();
    raw.delete(newest.as_str(), None).await.unwrap();
    let third = start_remembering(backing(), folder.path()).await;
    assert!(etcd.targets().await.values().all(|target| target.generation == Generation(1)));
    third.shutdown().await;
}

#[tokio::test]
async fn a_leader_whose_etcd_was_restored_under_it_goes_on_numbering_where_it_was() {
    let (etcd, folder) = (TestEtcd::start().await, tempfile::tempdir().unwrap());
    let backing = Backing::Cluster { access: etcd.etcd.access().clone() };
    number_on(&etcd, start_remembering(backing, folder.path()).await).await;
    // Neither does one that keeps nothing on disk go back.
    let etcd = TestEtcd::start().await;
    number_on(&etcd, etcd.controller().await).await;
}

async fn number_on(etcd: &TestEtcd, controller: selvedge_controller::server::Controller) {
    let mut api = client(&controller).await;
    apply(&mut api, documents(), ApplyOutcome::Applied).await;
    let snapshot = etcd.dump().await;
    let mut denying = documents();
    denying[1].text = denying[1].text.replace("action: allow", "action: deny");
    apply(&mut api, denying.clone(), ApplyOutcome::Applied).await;

    // The snapshot has the leader's key of that time, which is the one of now.
    let mut raw = etcd.raw().await;
    for key in etcd.dump().await.into_keys().filter(|key| !snapshot.contains_key(key)) {
        raw.delete(key, None).await.unwrap();
    }
    for (key, value) in &snapshot {
        raw.put(key.as_str(), value.clone(), None).await.unwrap();
    }
    // As if the next publication ended nobody knows how.
    let third = keys::generation(Generation(3));
    raw.put(third.as_str(), snapshot[&keys::generation(Generation(1))].clone(), None).await.unwrap();
    let request = wire::ApplyRequest { files: documents(), ..wire::ApplyRequest::default() };
    assert_eq!(api.apply(request).await.unwrap_err().code(), tonic::Code::Aborted);
    raw.delete(third.as_str(), None).await.unwrap();

    let response = apply(&mut api, documents(), ApplyOutcome::Applied).await;
    assert_eq!(response.generation, 3);
    assert_eq!(etcd.targets().await["host2"].generation, Generation(3));
    controller.shutdown().await;
}

#[tokio::test]
async fn content_that_is_missing_is_there_again_after_a_start() {
    let etcd = TestEtcd::start().await;
    let first = etcd.controller().await;
    apply(&mut client(&first).await, documents(), ApplyOutcome::Applied).await;
    first.shutdown().await;
    let before = etcd.dump().await;
    let mut raw = etcd.raw().await;
    let content =
        before.keys().filter(|key| key.starts_with(keys::CHUNKS) || key.starts_with(keys::MANIFESTS));
    // Documents can't be made of nothing: the controller reads those.
    let record = GenerationRecord::decode(&before[&keys::generation(Generation(1))]).unwrap();
    let store = Store::connect(etcd.etcd.access()).await.unwrap();
    let chunks = store.chunks_of(&record).await.unwrap();
    let read: Vec<String> = chunks.digests().map(keys::chunk).collect();
    let lost: Vec<&String> = content.filter(|key| !read.contains(key)).collect();
    for key in &lost {
        raw.delete(key.as_str(), None).await.unwrap();
    }
    assert!(lost.len() >= 4, "{lost:?}");
    let second = etcd.controller().await;
    until(async || etcd.dump().await == before).await;
    second.shutdown().await;
}

#[tokio::test]
async fn a_controller_that_takes_over_gives_back_what_the_one_before_it_published() {
    let etcd = TestEtcd::start().await;
    let [one, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let backing = || Backing::Cluster { access: etcd.etcd.access().clone() };
    let first = start_remembering(backing(), one.path()).await;
    apply(&mut client(&first).await, documents(), ApplyOutcome::Applied).await;
    let snapshot = etcd.dump().await;
    let mut changed = documents();
    changed[1].text = changed[1].text.replace("action: allow", "action: deny");
    apply(&mut client(&first).await, changed, ApplyOutcome::Applied).await;
    let targets = etcd.targets().await;
    first.shutdown().await;

    let second = start_remembering(backing(), other.path()).await;
    until(async || other.path().join("history").exists()).await;
    second.shutdown().await;
    let mut raw = etcd.raw().await;
    raw.delete(keys::PREFIX, Some(DeleteOptions::new().with_prefix())).await.unwrap();
    for (key, value) in &snapshot {
        raw.put(key.as_str(), value.clone(), None).await.unwrap();
    }
    let third = start_remembering(backing(), other.path()).await;
    assert_eq!(etcd.targets().await, targets);
    third.shutdown().await;
}

/// Waits until `holds`, for at most ten seconds.
async fn until(holds: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
