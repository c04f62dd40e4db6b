//! What is read and written stays within what etcd takes, however much there is of it.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::fmt::Write as _;
use std::time::SystemTime;

use common::TestEtcd;
use selvedge_controller::store::{Identities, Leadership, NewEntry, Novelty, Publication, Store};
use selvedge_proto::{Digest, GenerationRecord, Summary, Target, TargetList, keys};
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::plan::Generation;

#[tokio::test]
async fn generations_are_listed_newest_first_across_pages_and_no_more_than_asked_for() {
    let etcd = TestEtcd::start().await;
    let mut raw = etcd.raw().await;
    for number in 1..=120 {
        let (generation, targets) = (Generation(number), TargetList::new());
        let record =
            GenerationRecord::new(generation, SystemTime::now(), Summary::default(), [], &targets).unwrap().0;
        raw.put(keys::generation(generation), record.encode(), None).await.unwrap();
    }
    let store = Store::connect(etcd.etcd.access()).await.unwrap();
    for (limit, oldest) in [(1, 120), (50, 71), (51, 70), (100, 21), (120, 1), (1000, 1)] {
        let found = store.generations(limit).await.unwrap();
        let numbers: Vec<u64> = found.iter().map(|record| record.generation.0).collect();
        assert_eq!(numbers, (oldest..=120).rev().collect::<Vec<_>>(), "limit {limit}");
    }
}

#[tokio::test]
async fn identities_whose_labels_fill_several_transactions_are_all_allocated() {
    let mut text = String::from(
        "apiVersion: selvedge/v1\nkind: Fabric\nmetadata: {name: f}\nspec:\n  defaultAction: allow\n  nodes:\n    \
         - {name: h, role: host, ports: [{name: w, role: workload}]}\n",
    );
    let (prefix, value) = (["a".repeat(60).as_str(); 4].join("."), "v".repeat(63));
    for workload in 0..100 {
        let labels = (0..60).map(|label| format!("{prefix}/{}{label}: {value}", "n".repeat(50)));
        let labels = labels.chain([format!("n: \"{workload}\"")]).collect::<Vec<_>>().join(", ");
        write!(
            text,
            "---\napiVersion: selvedge/v1\nkind: Workload\nmetadata: {{name: w{workload}}}\nspec:\n  labels: {{{labels}}}\n  \
             addresses: [10.0.0.{workload}]\n  attachment: {{node: h, port: w}}\n"
        )
        .unwrap();
    }
    assert!(text.len() > 2 << 20, "{} bytes of labels are no challenge", text.len());
    let loaded = load(&[SourceFile { name: "f.yaml".into(), text }]);
    let model = loaded.model.unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics.first()));
    let etcd = TestEtcd::start().await;
    let store = Store::connect(etcd.etcd.access()).await.unwrap();
    let leadership = Leadership::acquire(&store, "test").await.unwrap();
    let mut identities = Identities::default();
    let missing = identities.table().missing(&model);
    identities.allocate(&store, leadership.fence(), &missing).await.unwrap();
    assert_eq!(identities.table().missing(&model), []);
    let read = Identities::read(&store).await.unwrap();
    assert_eq!(read.table().iter().count(), 100);
    leadership.resign().await;
}

#[tokio::test]
async fn a_generation_of_ten_thousand_nodes_and_twenty_thousand_chunks_is_published_and_read_back() {
    const NODES: u32 = 10_000;
    let target = |number: u32| {
        let manifest = Digest::of(&number.to_be_bytes());
        Target { generation: Generation(1), manifest, signature: None }
    };
    let targets: TargetList =
        (0..NODES).map(|number| (format!("host{number}").parse().unwrap(), target(number))).collect();
    let (record, mut chunks) =
        GenerationRecord::new(Generation(1), SystemTime::UNIX_EPOCH, Summary::default(), [], &targets)
            .unwrap();
    let content = |number: u32| (Digest::of(&number.to_be_bytes()), number.to_be_bytes().to_vec());
    for (digest, bytes) in (0..2 * NODES).map(content) {
        chunks.insert(digest, bytes).unwrap();
    }
    let manifests = (0..NODES).map(content).collect();
    let etcd = TestEtcd::start().await;
    let store = Store::connect(etcd.etcd.access()).await.unwrap();
    let leadership = Leadership::acquire(&store, "test").await.unwrap();
    let publication = Publication {
        record: record.clone(),
        targets: targets.clone(),
        gone: Vec::new(),
        manifests,
        chunks,
        novelty: Novelty::Unknown,
    };
    let entry = NewEntry { number: 1, bytes: b"published".to_vec() };
    store.publish(leadership.fence(), &publication, entry).await.unwrap();
    let newest = store.newest().await.unwrap().unwrap();
    assert_eq!(newest, record);
    let chunks = store.chunks_of(&newest).await.unwrap();
    assert_eq!(newest.targets(&chunks).unwrap(), targets);
    let count = etcd_client::GetOptions::new().with_prefix().with_count_only();
    for (prefix, least) in [(keys::TARGETS, NODES), (keys::MANIFESTS, NODES), (keys::CHUNKS, 2 * NODES)] {
        let found = etcd.raw().await.get(prefix, Some(count.clone())).await.unwrap().count();
        assert!(found >= i64::from(least), "{found} under {prefix}");
    }
    leadership.resign().await;
}
