//! Identities under concurrent allocators.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::collections::BTreeSet;

use common::TestEtcd;
use selvedge_controller::store::{Identities, Leadership, Store};
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::Identity;
use selvedge_topology::model::Model;

/// A fabric of workloads `range`, each with labels of its own, and a rule on a CIDR of its own for each.
fn model(range: std::ops::Range<u32>) -> Model {
    let mut text = String::from(
        "apiVersion: selvedge/v1\nkind: Fabric\nmetadata: {name: f}\nspec:\n  defaultAction: allow\n  nodes:\n    \
         - {name: h, role: host, ports: [{name: w, role: workload}]}\n",
    );
    for n in range {
        let (high, low) = (n / 256, n % 256);
        text += &format!(
            "---\napiVersion: selvedge/v1\nkind: Workload\nmetadata: {{name: w{n}}}\nspec:\n  \
             labels: {{n: \"{n}\"}}\n  addresses: [10.0.{high}.{low}]\n  attachment: {{node: h, port: w}}\n\
             ---\napiVersion: selvedge/v1\nkind: SegmentationPolicy\nmetadata: {{name: p{n}}}\nspec:\n  \
             tier: application\n  selector: {{}}\n  ingress:\n    - {{action: allow, from: [{{cidr: \
             172.16.{high}.{low}/32}}], ports: [{{protocol: any}}]}}\n"
        );
    }
    let loaded = load(&[SourceFile { name: "f.yaml".into(), text }]);
    loaded.model.unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_allocators_never_give_a_number_or_a_key_twice() {
    let etcd = TestEtcd::start().await;
    let store = Store::connect(etcd.etcd.access()).await.unwrap();
    let leadership = Leadership::acquire(&store, "test").await.unwrap();
    let fence = leadership.fence();
    // Each overlaps its neighbours, so they fight over keys as well as over numbers.
    let workers = (0..8).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let model = model(n * 20..n * 20 + 60);
            let mut identities = Identities::default();
            let missing = identities.table().missing(&model);
            identities.allocate(&store, fence, &missing).await.unwrap();
            assert_eq!(identities.table().missing(&model), []);
            identities
        })
    });
    let tables = futures::future::join_all(workers).await;
    let all = Identities::read(&store).await.unwrap();
    let count = 7 * 20 + 60;
    let numbers: BTreeSet<Identity> = all.table().iter().map(|(identity, _)| identity).collect();
    let expected = (256..256 + count).chain(0x0100_0000..0x0100_0000 + count).map(Identity);
    assert_eq!(numbers, expected.collect(), "no number is left out and none is given twice");
    for table in tables {
        for (identity, key) in table.unwrap().table().iter() {
            assert_eq!(all.table().key(identity), Some(key), "everybody sees the same");
        }
    }
    leadership.resign().await;
}
