//! Fetching a plan in three rounds: its manifest, the lists that it names, the chunks that hold it. A round takes a few requests,
//! however many pieces there are, and asks etcd only for what is neither in memory nor on disk.

use etcd_client::{Client, Txn, TxnOp, TxnOpResponse};
use futures::{StreamExt, TryStreamExt, stream};
use selvedge_proto::keys::{self, MAX_TXN_OPS};
use selvedge_proto::plan::{Manifest, Pieces, PlanDecodeError, check_size};
use selvedge_proto::{Chunks, Digest, MAX_MESSAGE_BYTES, Target};

use super::ask::{patiently, read};
use super::etcd::StoreError;
use super::{Fetched, StateDir};

/// Chunks in one answer: 8 MiB where all are as large as they may be, tens of kilobytes where they are small blocks.
const CHUNKS_AT_ONCE: usize = 32;
/// Chunks of lists in one answer: 1 MiB.
const LISTS_AT_ONCE: usize = MAX_TXN_OPS;
/// Requests under way at once.
const UNDER_WAY: usize = 4;

/// Where content is looked for, in turn.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    /// The chunks of what was offered last.
    pub held: &'a Chunks,
    /// What was accepted last.
    pub cache: &'a StateDir,
    pub etcd: &'a Client,
}

impl Sources<'_> {
    /// The plan that `target` names; `pieces` has what was read of the one before.
    pub(super) async fn fetch(self, target: Target, pieces: &mut Pieces) -> Result<Fetched, StoreError> {
        let bytes = self.manifest(target.manifest).await?;
        let manifest = Manifest::decode(target.manifest, &bytes)?;
        let mut chunks = Chunks::new();
        self.fill(&mut chunks, manifest.lists(), LISTS_AT_ONCE).await?;
        let outline = manifest.outline(&chunks)?;
        self.fill(&mut chunks, outline.chunks(), CHUNKS_AT_ONCE).await?;
        let plan = outline.plan_after(&chunks, pieces)?;
        Ok(Fetched { target, manifest: bytes, chunks, plan })
    }

    async fn manifest(self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        if let Some(bytes) = self.cache.manifest(digest) {
            return Ok(bytes);
        }
        let key = keys::manifest(digest);
        let answer = read(&self.etcd.kv_client(), &key).await?;
        answer.kvs().first().map(|entry| entry.value().to_vec()).ok_or(StoreError::Missing { key })
    }

    /// Adds what is named to `chunks`.
    async fn fill(
        self,
        chunks: &mut Chunks,
        digests: impl IntoIterator<Item = Digest>,
        at_once: usize,
    ) -> Result<(), StoreError> {
        let unheld = chunks.take_over(digests, self.held);
        let missing = self.cache.fill(chunks, unheld);
        let mut bytes = chunks.iter().map(|(_, content)| content.len()).sum();
        let batches: Vec<Vec<Digest>> = missing.chunks(at_once).map(<[Digest]>::to_vec).collect();
        let requests = stream::iter(batches).map(|batch| self.get(batch));
        let mut answers = requests.buffer_unordered(UNDER_WAY);
        while let Some(found) = answers.try_next().await? {
            for (digest, content) in found {
                bytes += content.len();
                check_size(bytes)?;
                chunks.insert(digest, content).map_err(PlanDecodeError::from)?;
            }
        }
        Ok(())
    }

    /// Chunks from etcd, all in one request.
    async fn get(self, digests: Vec<Digest>) -> Result<Vec<(Digest, Vec<u8>)>, StoreError> {
        let keys: Vec<String> = digests.iter().copied().map(keys::chunk).collect();
        let gets: Vec<TxnOp> = keys.iter().map(|key| TxnOp::get(key.as_str(), None)).collect();
        let kv = self.etcd.kv_client().max_decoding_message_size(MAX_MESSAGE_BYTES);
        let get = || {
            let (mut kv, txn) = (kv.clone(), Txn::new().and_then(gets.clone()));
            async move { kv.txn(txn).await }
        };
        let answer = patiently(get).await?;
        let mut found = Vec::new();
        for ((key, digest), answer) in keys.into_iter().zip(digests).zip(answer.op_responses()) {
            let TxnOpResponse::Get(mut answer) = answer else { continue };
            let pair = answer.take_kvs().pop().ok_or(StoreError::Missing { key })?;
            found.push((digest, pair.into_key_value().1));
        }
        Ok(found)
    }
}
