//! Publishing a generation: chunks first, then manifests, then the record, then targets.
//!
//! Whatever interrupts this leaves nothing half in force: chunks and manifests that nobody names harm nobody,
//! the record appears in one transaction, and [`Store::write_targets`] brings targets in line with the newest
//! record as often as it is called.

use std::collections::BTreeMap;

use etcd_client::TxnOp;
use selvedge_proto::{Chunks, Digest, GenerationRecord, Target, TargetList, keys};
use selvedge_topology::names::NodeName;

use super::{Fence, Operation, Store, StoreError, is_absent};

/// Everything that has to be in etcd for one generation.
pub struct Publication {
    /// The record, which names files and targets.
    pub record: GenerationRecord,
    /// What each node has to enforce.
    pub targets: TargetList,
    /// The manifests that targets name.
    pub manifests: BTreeMap<Digest, Vec<u8>>,
    /// The chunks that manifests and record name.
    pub chunks: Chunks,
}

impl Store {
    /// Publishes a generation; fails without effect on any node where its number is already taken.
    pub async fn publish(&self, fence: Fence, publication: Publication) -> Result<(), StoreError> {
        let Publication { record, targets, manifests, chunks } = publication;
        self.write_absent(fence, chunks, keys::chunk).await?;
        self.write_absent(fence, manifests, keys::manifest).await?;
        let key = keys::generation(record.generation);
        let put = TxnOp::put(key.as_str(), record.encode(), None);
        self.commit(fence, vec![is_absent(&key)], vec![put]).await?.or_conflict()?;
        self.write_targets(fence, &record, &targets).await
    }

    /// Makes every node's target what `record` says, and takes away those of nodes that are no more.
    pub async fn write_targets(
        &self,
        fence: Fence,
        record: &GenerationRecord,
        targets: &TargetList,
    ) -> Result<(), StoreError> {
        let written: BTreeMap<NodeName, Vec<u8>> = self.targets().await?;
        let wanted =
            |manifest: &Digest| Target { generation: record.generation, manifest: *manifest }.encode();
        let puts = targets
            .iter()
            .map(|(node, manifest)| (node, wanted(manifest)))
            .filter(|(node, value)| written.get(*node) != Some(value))
            .map(|(node, value)| Operation::Put(keys::target(node), value));
        let gone = written.keys().filter(|node| !targets.contains_key(*node));
        let deletes = gone.map(|node| Operation::Delete(keys::target(node)));
        self.write(fence, puts.chain(deletes).collect()).await
    }

    async fn targets(&self) -> Result<BTreeMap<NodeName, Vec<u8>>, StoreError> {
        let (pairs, _) = self.list(keys::TARGETS).await?;
        pairs.into_iter().map(|(key, value)| Ok((keys::parse_target(&key)?, value))).collect()
    }

    /// Writes those of `values` that are not there yet.
    async fn write_absent(
        &self,
        fence: Fence,
        values: BTreeMap<Digest, Vec<u8>>,
        key: fn(Digest) -> String,
    ) -> Result<(), StoreError> {
        let mut by_key: BTreeMap<String, Vec<u8>> =
            values.into_iter().map(|(digest, value)| (key(digest), value)).collect();
        let absent = self.absent(by_key.keys().cloned().collect()).await?;
        let puts = absent.into_iter().filter_map(|key| {
            let value = by_key.remove(&key)?;
            Some(Operation::Put(key, value))
        });
        self.write(fence, puts.collect()).await
    }
}
