//! Garbage in etcd goes, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use common::{TestEtcd, apply, client_at, documents, documents_of, free_address, report};
use fastrand::Rng;
use selvedge_controller::state::{Proposal, targets};
use selvedge_controller::store::{Fresh, Leadership, NewEntry, Publication, Retention, Store, StoreError};
use selvedge_proto::plan::Manifest;
use selvedge_proto::wire::{self, ApplyOutcome};
use selvedge_proto::{Digest, GenerationRecord, Sources, Summary, TargetList, keys};
use selvedge_topology::documents::{Registry, SourceFile};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Generation;

/// What etcd should hold, from what was done to it and nothing that was read.
#[derive(Default)]
struct Model {
    /// All keys that a generation takes.
    published: BTreeMap<u64, BTreeSet<String>>,
    /// What every generation told nodes, and what they are told now.
    told: BTreeMap<u64, TargetList>,
    targets: TargetList,
    in_force: BTreeMap<NodeName, u64>,
}

impl Model {
    fn newest(&self) -> u64 {
        self.published.keys().last().copied().unwrap_or_default()
    }

    /// The generations that have to stay.
    fn generations(&self, keep: u32) -> BTreeSet<u64> {
        let newest = self.published.keys().rev().take(keep as usize).copied();
        let lagging = self.in_force.iter().filter(|(node, run)| self.targets[*node].generation.0 != **run);
        let says = |node, run: u64| move |(_, told): &(&u64, &TargetList)| told[node].generation.0 == run;
        let saying = lagging.map(|(node, run)| *self.told.iter().rev().find(says(node, *run)).unwrap().0);
        newest.chain(saying).collect()
    }

    /// The keys of all content that has to stay.
    fn needed(&self, keep: u32) -> BTreeSet<String> {
        self.generations(keep).into_iter().flat_map(|number| self.published[&number].clone()).collect()
    }
}

/// What the audit record says of a publication; its form is of no matter here.
fn entry(publication: &Publication) -> NewEntry {
    NewEntry { number: publication.record.generation.0, bytes: b"published".to_vec() }
}

/// One of a few states of the small fabric, so that content goes and is wanted again; and the keys it takes.
fn publication(number: u64, before: &TargetList, variant: usize) -> (Publication, BTreeSet<String>) {
    let mut files = documents();
    let port = 5432 + variant % 5;
    files[2].text = files[2].text.replace("port: 5432", &format!("port: {port}"));
    if variant >= 5 {
        files[1].text = files[1].text.replace("action: allow", "action: deny");
    }
    let files: Vec<SourceFile> =
        files.into_iter().map(|file| SourceFile { name: file.name, text: file.text }).collect();
    let (registry, _) = Registry::read(&files).unwrap();
    let model = registry.model();
    let mut identities = IdentityTable::default();
    identities.allocate(model).unwrap();
    let Proposal { plans, manifests, mut chunks, .. } =
        Proposal::new(model, &identities, &BTreeMap::new()).unwrap();
    let targets = targets(before, &plans, Generation(number), |_, _| None);
    let (sources, mut own) = Sources::cut(registry.excerpts_from(None)).unwrap();
    let (generation, now) = (Generation(number), SystemTime::now());
    let (record, names) =
        GenerationRecord::new(generation, now, Summary::default(), sources.digests(), &targets).unwrap();
    own.append(names);
    let plans = plans.values().flat_map(|digest| {
        let manifest = Manifest::decode(*digest, &manifests[digest]).unwrap();
        let parts = manifest.outline(&chunks).unwrap().chunks();
        parts
            .into_iter()
            .chain(manifest.lists())
            .map(keys::chunk)
            .chain([keys::manifest(*digest)])
            .collect::<Vec<_>>()
    });
    let of_record = record.lists().chain(record.chunks(&own).unwrap());
    let own_keys = of_record.map(keys::chunk).chain([keys::generation(Generation(number))]);
    let published = own_keys.chain(plans).collect();
    chunks.append(own);
    (Publication { record, targets, gone: Vec::new(), manifests, chunks }, published)
}

/// A store, its leader, and what should be in it.
struct History<'e> {
    etcd: &'e TestEtcd,
    store: Store,
    leader: Leadership,
    model: Model,
    keep: u32,
    fresh: Fresh,
    rng: Rng,
}

/// What happened in a run, to be held against floors.
#[derive(Default)]
struct Counts {
    swept: usize,
    kept_for_nodes: usize,
    interrupted: usize,
    spared: usize,
}

impl<'e> History<'e> {
    async fn begin(etcd: &'e TestEtcd, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let options = etcd_client::DeleteOptions::new().with_prefix();
        etcd.raw().await.delete(keys::PREFIX, Some(options)).await.unwrap();
        let store = Store::connect(etcd.etcd.access()).await.unwrap();
        let leader = Leadership::acquire(&store, "history").await.unwrap();
        let keep = rng.u32(1..4);
        Self { etcd, store, leader, model: Model::default(), keep, fresh: Fresh::default(), rng }
    }

    async fn publish(&mut self) {
        let number = self.model.newest() + 1;
        let (publication, published) = publication(number, &self.model.targets, self.rng.usize(..10));
        self.model.targets.clone_from(&publication.targets);
        self.model.told.insert(number, publication.targets.clone());
        self.fresh.published(&publication);
        let entry = entry(&publication);
        self.store.publish(self.leader.fence(), &publication, entry).await.unwrap();
        self.model.published.insert(number, published);
    }

    /// A node gets as far as its target.
    async fn follow(&mut self) {
        let Some((node, target)) = self.rng.choice(&self.model.targets) else { return };
        let generation = target.generation.0;
        self.etcd.report(&report(node.as_str(), Some(generation))).await;
        self.model.in_force.insert(node.clone(), generation);
    }

    async fn content(&self) -> BTreeSet<String> {
        let all = self.etcd.dump().await.into_keys();
        let content = [keys::GENERATIONS, keys::MANIFESTS, keys::CHUNKS];
        all.filter(|key| content.iter().any(|prefix| key.starts_with(prefix))).collect()
    }

    async fn check(&self) {
        let (content, needed) = (self.content().await, self.model.needed(self.keep));
        assert_eq!(
            needed.difference(&content).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "needed, and gone"
        );
    }

    /// A collection in small steps, with publications between them, and perhaps given up.
    async fn collect(&mut self, disturbed: bool, counts: &mut Counts) {
        self.fresh.begin();
        let retention = Retention(NonZeroU32::new(self.keep).unwrap());
        let garbage = self.store.find_garbage(retention).await.unwrap();
        counts.kept_for_nodes += garbage.kept.generations.saturating_sub(self.keep as usize);
        let all = garbage.batches().concat();
        for batch in all.chunks(3) {
            if disturbed && self.rng.u8(..4) == 0 {
                self.publish().await;
            }
            if disturbed && self.rng.u8(..8) == 0 {
                counts.interrupted += 1;
                break;
            }
            let newest = Generation(self.model.newest());
            let swept = self.store.sweep(self.leader.fence(), newest, batch, &self.fresh).await.unwrap();
            counts.swept += swept;
            counts.spared += batch.len() - swept;
            self.check().await;
        }
        self.fresh.end();
    }
}

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
