//! Garbage in etcd goes, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[path = "../common/mod.rs"]
mod common;
mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use common::{TestEtcd, apply, client_at, documents, documents_of, free_address, report};
use fastrand::Rng;
use history::{Counts, History, entry, publication};
use selvedge_controller::state::{Proposal, targets};
use selvedge_controller::store::{
    Fresh, Leadership, NewEntry, Novelty, Publication, Retention, Store, StoreError,
};
use selvedge_proto::plan::Manifest;
use selvedge_proto::wire::{self, ApplyOutcome};
use selvedge_proto::{Digest, GenerationRecord, Sources, Summary, TargetList, keys};
use selvedge_topology::documents::{Registry, SourceFile};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Generation;

#[tokio::test]
async fn after_any_history_what_must_stay_is_there_and_nothing_else() {
    let etcd = TestEtcd::start().await;
    let mut counts = Counts::default();
    for seed in 0..25 {
        let mut history = History::begin(&etcd, seed).await;
        for _ in 0..20 {
            match history.rng.u8(..8) {
                0..4 => history.publish().await,
                4..6 => history.follow().await,
                _ => history.collect(true, &mut counts).await,
            }
            history.check().await;
        }
        history.collect(false, &mut counts).await;
        assert_eq!(history.content().await, history.model.needed(history.keep), "history {seed}");
        history.leader.resign().await;
    }
    let Counts { swept, kept_for_nodes, interrupted, spared } = counts;
    assert!(swept > 500, "{swept} keys swept");
    assert!(kept_for_nodes > 20, "{kept_for_nodes} generations kept only because a node ran them");
    assert!(interrupted > 10, "{interrupted} collections interrupted");
    assert!(spared > 20, "{spared} keys spared that were published after their mark");
}

#[tokio::test]
async fn a_publication_during_which_something_is_swept_is_refused() {
    let etcd = TestEtcd::start().await;
    let mut history = History::begin(&etcd, 0).await;
    history.publish().await;
    let (mut slow, _) = publication(2, &history.model.targets, 9);
    for each in (0..6000_u32).map(u32::to_be_bytes) {
        slow.chunks.insert(Digest::of(&each), each.to_vec()).unwrap();
    }
    let before = etcd.dump().await.len();
    let (store, fence) = (history.store.clone(), history.leader.fence());
    let told = entry(&slow);
    let publishing = tokio::spawn(async move { store.publish(fence, &slow, told).await });
    eventually("it begins to write", || async { etcd.dump().await.len() > before }).await;
    etcd.raw().await.put(keys::SWEPT, "", None).await.unwrap();
    let refused = publishing.await.unwrap().unwrap_err();
    assert!(matches!(refused, StoreError::Conflict), "{refused}");
    assert_eq!(generations(&etcd).await, [keys::generation(Generation(1))]);
    assert!(etcd.targets().await.values().all(|target| target.generation == Generation(1)));
    history.leader.resign().await;
}

#[tokio::test]
async fn nothing_is_swept_where_a_generation_came_into_being_that_its_mark_did_not_know() {
    let etcd = TestEtcd::start().await;
    let mut history = History::begin(&etcd, 1).await;
    history.publish().await;
    // Its chunks are there and its record is not: as where it was given up, or is still under way somewhere.
    let (late, _) = publication(2, &history.model.targets, 9);
    let mut raw = etcd.raw().await;
    for (digest, chunk) in late.chunks.iter() {
        raw.put(keys::chunk(digest), chunk, None).await.unwrap();
    }
    let garbage = history.store.find_garbage(Retention(NonZeroU32::MIN)).await.unwrap();
    assert!(!garbage.chunks.is_empty());
    history.fresh.begin();
    raw.put(keys::generation(Generation(2)), late.record.encode(), None).await.unwrap();
    let (batch, fence, before) = (garbage.batches().concat(), history.leader.fence(), etcd.dump().await);
    let refused = history.store.sweep(fence, Generation(1), &batch, &history.fresh).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict), "{refused}");
    assert_eq!(etcd.dump().await, before);
    history.leader.resign().await;
}

#[tokio::test]
async fn a_deposed_leader_sweeps_nothing() {
    let etcd = TestEtcd::start().await;
    let mut history = History::begin(&etcd, 2).await;
    for _ in 0..4 {
        history.publish().await;
    }
    let garbage = history.store.find_garbage(Retention(NonZeroU32::MIN)).await.unwrap();
    assert!(!garbage.is_empty());
    history.fresh.begin();
    etcd.raw().await.delete(keys::LEADER, None).await.unwrap();
    let before = etcd.dump().await;
    let batch = garbage.batches().concat();
    let fence = history.leader.fence();
    let refused = history.store.sweep(fence, Generation(4), &batch, &history.fresh).await.unwrap_err();
    assert!(matches!(refused, StoreError::Deposed), "{refused}");
    assert_eq!(etcd.dump().await, before);
}

#[tokio::test]
async fn a_manifest_of_another_version_keeps_every_chunk() {
    let etcd = TestEtcd::start().await;
    let mut history = History::begin(&etcd, 3).await;
    for _ in 0..4 {
        history.publish().await;
    }
    let target = etcd.targets().await["host1"];
    let garbage = |store: Store| async move { store.find_garbage(Retention(NonZeroU32::MIN)).await.unwrap() };
    assert!(!garbage(history.store.clone()).await.chunks.is_empty());
    // The format number comes first in a manifest: 08 03 is 3.
    let key = keys::manifest(target.manifest);
    let mut bytes = etcd.dump().await.remove(&key).unwrap();
    assert_eq!(bytes[0], 8);
    bytes[1] = 99;
    etcd.raw().await.put(key, bytes, None).await.unwrap();
    let found = garbage(history.store.clone()).await;
    assert_eq!(found.chunks, Vec::<Digest>::new());
    assert_eq!(found.generations, [1, 2, 3].map(Generation));
    history.leader.resign().await;
}

#[tokio::test]
async fn a_list_of_shared_chunks_that_is_gone_keeps_every_chunk() {
    let etcd = TestEtcd::start().await;
    let mut history = History::begin(&etcd, 3).await;
    for _ in 0..4 {
        history.publish().await;
    }
    let mut content = etcd.dump().await;
    let target = etcd.targets().await["host2"];
    let bytes = content.remove(&keys::manifest(target.manifest)).unwrap();
    let list = Manifest::decode(target.manifest, &bytes).unwrap().lists().next().unwrap();
    etcd.raw().await.delete(keys::chunk(list), None).await.unwrap();
    let found = history.store.find_garbage(Retention(NonZeroU32::MIN)).await.unwrap();
    assert_eq!(found.chunks, Vec::<Digest>::new());
    assert_eq!(found.generations, [1, 2, 3].map(Generation));
    history.leader.resign().await;
}

/// Polls until `holds`, for at most a minute: a controller rests twenty times as long as a collection took, and that is long where
/// many tests run at once.
async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A controller as a process of its own, killed with the value.
struct Process(std::process::Child, #[expect(dead_code, reason = "gone with the process")] tempfile::TempDir);

impl Process {
    fn start(etcd: &TestEtcd, listen: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_selvedge-controller"))
            .arg("--data-dir")
            .arg(data.path())
            .args(["--insecure", "--listen", listen, "--keep-generations", "2", "--etcd"])
            .arg(etcd.etcd.endpoint())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap(), data)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn generations(etcd: &TestEtcd) -> Vec<String> {
    etcd.dump().await.into_keys().filter(|key| key.starts_with(keys::GENERATIONS)).collect()
}

#[tokio::test]
async fn a_controller_killed_while_it_collects_leaves_whole_generations_and_the_next_one_goes_on() {
    let etcd = TestEtcd::start().await;
    let mut history = History::begin(&etcd, 4).await;
    // Thousands of chunks that nobody names: a sweep of many transactions.
    let mut raw = etcd.raw().await;
    for block in 0..200_u32 {
        let put = |each: u32| {
            let content = [block.to_be_bytes(), each.to_be_bytes()].concat();
            etcd_client::TxnOp::put(keys::chunk(Digest::of(&content)), content, None)
        };
        let puts: Vec<_> = (0..100).map(put).collect();
        raw.txn(etcd_client::Txn::new().and_then(puts)).await.unwrap();
    }
    for _ in 0..6 {
        history.publish().await;
    }
    history.keep = 2;
    history.leader.resign().await;
    let chunks = || {
        let count = etcd_client::GetOptions::new().with_prefix().with_count_only();
        let mut raw = raw.clone();
        async move { raw.get(keys::CHUNKS, Some(count)).await.unwrap().count() }
    };
    let full = chunks().await;

    let listen = free_address();
    let first = Process::start(&etcd, &listen);
    eventually("it begins to sweep", || async { chunks().await < full }).await;
    drop(first);
    let left = chunks().await;
    let model = &history.model;
    let content: BTreeSet<String> = etcd.dump().await.into_keys().collect();
    assert!(model.needed(2).is_subset(&content));
    assert!(left > 100, "it was killed too late to tell: {left} of {full} chunks are left");

    let _second = Process::start(&etcd, &listen);
    eventually("the next one ends it", || async { chunks().await < 100 }).await;
    let (content, needed) = (
        etcd.dump().await.into_keys().filter(|key| key.starts_with(keys::CHUNKS)).collect::<BTreeSet<_>>(),
        model.needed(2).into_iter().filter(|key| key.starts_with(keys::CHUNKS)).collect(),
    );
    assert_eq!(content, needed);
    assert_eq!(generations(&etcd).await.len(), 2);
}

#[tokio::test]
async fn a_controller_collects_by_itself_and_says_what_there_is() {
    let etcd = TestEtcd::start().await;
    let listen = free_address();
    let _controller = Process::start(&etcd, &listen);
    let mut client = client_at(&listen).await;
    for port in 1..=6 {
        let mut files = documents();
        files[2].text = files[2].text.replace("port: 5432", &format!("port: {port}"));
        apply(&mut client, files, ApplyOutcome::Applied).await;
    }
    etcd.report(&report("host1", Some(6))).await;
    eventually("four generations go", || async { generations(&etcd).await.len() == 2 }).await;
    let says = || async {
        let status = client.clone().status(wire::StatusRequest::default()).await.unwrap().into_inner();
        status.store.is_some_and(|store| store.generations == 2)
    };
    eventually("the controller says so", says).await;
    let status = client.status(wire::StatusRequest::default()).await.unwrap().into_inner();
    let store = status.store.unwrap();
    // The port changes what host2 has to enforce, and nothing for host1.
    assert_eq!((store.generations, store.manifests), (2, 3), "{store:?}");
    assert!(store.chunks > 4 && store.removed > 4, "{store:?}");
    let gone = documents_of(&mut client, 2).await.unwrap_err();
    assert_eq!(
        gone.message(),
        "generation 2 is not kept any more; `selvedge get generations` lists those that are"
    );
    assert_eq!(documents_of(&mut client, 5).await.unwrap().1.len(), 4);
}
