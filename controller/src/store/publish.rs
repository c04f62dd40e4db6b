//! Publishing a generation: in one transaction where it is small enough; else chunks and manifests first, then the record, then
//! targets.
//!
//! What may be there already is looked for, and not written again. So that nothing of it is swept in between, the record is written only if
//! nothing was swept since it was looked for ([`keys::SWEPT`]).
//!
//! Whatever interrupts this leaves nothing half in force: chunks and manifests that nobody names harm nobody,
//! the record appears in one transaction, and [`Store::write_targets`] brings targets in line with the newest
//! record as often as it is called.

use std::collections::{BTreeMap, BTreeSet};

use etcd_client::TxnOp;
use selvedge_proto::keys::MAX_TXN_OPS;
use selvedge_proto::{Chunks, Digest, GenerationRecord, TargetList, keys};
use selvedge_topology::names::NodeName;

use super::{Fence, MAX_TXN_BYTES, NewEntry, Operation, Store, StoreError, is_absent};

/// Everything that has to be in etcd for one generation.
pub struct Publication {
    /// The record, which names files and targets.
    pub record: GenerationRecord,
    /// The targets that it changes.
    pub targets: TargetList,
    /// The nodes that it has no longer.
    pub gone: Vec<NodeName>,
    /// The manifests that targets name.
    pub manifests: BTreeMap<Digest, Vec<u8>>,
    /// The chunks that manifests and record lead to: of plans and documents, and of lists.
    pub chunks: Chunks,
    /// Whether those two are there already.
    pub novelty: Novelty,
}

/// Whether content may be in etcd already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// Hardly any: it was made of what changed. It is written without a look, which would cost more than to write again what older
    /// generations left.
    New,
    /// Much of it may be there.
    Unknown,
}

impl Publication {
    /// The content it brings or names, by digest.
    pub fn content(&self) -> impl Iterator<Item = Digest> {
        let targets = self.targets.values().map(|target| target.manifest);
        let brought = self.manifests.keys().copied().chain(self.chunks.digests());
        self.record.lists().chain(targets).chain(brought)
    }

    /// What writes the content that it brings.
    fn operations(&self) -> Vec<Operation> {
        let chunks = self.chunks.iter().map(|(digest, chunk)| (keys::chunk(digest), chunk.to_vec()));
        let manifests = self.manifests.iter().map(|(digest, value)| (keys::manifest(*digest), value.clone()));
        chunks.chain(manifests).map(|(key, value)| Operation::Put(key, value)).collect()
    }
}

impl Store {
    /// Publishes a generation, and says so in the audit record; fails without effect on any node where its number is already taken.
    pub async fn publish(
        &self,
        fence: Fence,
        publication: &Publication,
        audit: NewEntry,
    ) -> Result<(), StoreError> {
        let Publication { record, targets, gone, novelty, .. } = publication;
        let puts = targets.iter().map(|(node, target)| Operation::Put(keys::target(node), target.encode()));
        let deletes = gone.iter().map(|node| Operation::Delete(keys::target(node)));
        let targets: Vec<Operation> = puts.chain(deletes).collect();
        let key = keys::generation(record.generation);
        let (unwritten, entry) = audit.operations();
        let conditions = vec![is_absent(&key), self.unswept().await?, unwritten];
        let put = TxnOp::put(key.as_str(), record.encode(), None);
        let content = publication.operations();
        if fit_together(content.iter().chain(&targets)) {
            let all = content.into_iter().chain(targets).map(TxnOp::from).chain([put, entry]);
            return self.commit(fence, conditions, all.collect()).await?.or_conflict();
        }
        match novelty {
            Novelty::New => self.write(fence, content).await?,
            Novelty::Unknown => drop(self.write_absent(fence, content).await?),
        }
        self.commit(fence, conditions, vec![put, entry]).await?.or_conflict()?;
        self.write(fence, targets).await
    }

    /// Makes every node's target what `targets` says, and takes away those of nodes that are not among them: whoever
    /// wrote others. Says how many were not as they should be.
    pub async fn write_targets(&self, fence: Fence, targets: &TargetList) -> Result<usize, StoreError> {
        let mut wanted: BTreeMap<String, Vec<u8>> =
            targets.iter().map(|(node, target)| (keys::target(node), target.encode())).collect();
        let mut operations = Vec::new();
        for (key, value) in self.list(keys::TARGETS).await?.0 {
            // A key that is no text is not one that agents read.
            let Ok(key) = String::from_utf8(key) else { continue };
            match wanted.remove(&key) {
                Some(right) if right == value => {}
                Some(right) => operations.push(Operation::Put(key, right)),
                None => operations.push(Operation::Delete(key)),
            }
        }
        operations.extend(wanted.into_iter().map(|(key, value)| Operation::Put(key, value)));
        let wrong = operations.len();
        self.write(fence, operations).await?;
        Ok(wrong)
    }

    /// Writes what is missing of the content of `publication`, which is published; says how much that is.
    pub async fn complete(&self, fence: Fence, publication: &Publication) -> Result<usize, StoreError> {
        self.write_absent(fence, publication.operations()).await
    }

    /// Makes those of `puts` whose keys are not there yet; says how many those are.
    async fn write_absent(&self, fence: Fence, puts: Vec<Operation>) -> Result<usize, StoreError> {
        let absent = self.absent(puts.iter().map(|put| put.key().to_owned()).collect()).await?;
        let absent: BTreeSet<String> = absent.into_iter().collect();
        self.write(fence, puts.into_iter().filter(|put| absent.contains(put.key())).collect()).await?;
        Ok(absent.len())
    }
}

/// Whether `operations` go into one transaction, beside the record of a generation and an entry of the audit record.
fn fit_together<'o>(operations: impl Iterator<Item = &'o Operation>) -> bool {
    /// Bytes for those two, which are much smaller or go alone.
    const BESIDE: usize = MAX_TXN_BYTES / 2;
    let (mut count, mut bytes) = (0, 0);
    for operation in operations {
        count += 1;
        bytes += operation.size();
    }
    count + 2 <= MAX_TXN_OPS && bytes <= MAX_TXN_BYTES - BESIDE
}
