//! Reading generations back.

use etcd_client::{GetOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse};
use selvedge_proto::keys::{self, MAX_TXN_OPS};
use selvedge_proto::{Chunks, Digest, GenerationRecord};
use selvedge_topology::plan::Generation;

use super::{LARGE_PAGE, Store, StoreError, prefix_end};

/// Chunks in one answer: 8 MiB where all are as large as they may be.
const CHUNKS_AT_ONCE: usize = 32;
/// Chunks of lists in one answer: 1 MiB.
const LISTS_AT_ONCE: usize = MAX_TXN_OPS;

impl Store {
    /// The newest generation.
    pub async fn newest(&self) -> Result<Option<GenerationRecord>, StoreError> {
        Ok(self.generations(1).await?.pop())
    }

    /// Up to `limit` generations, newest first.
    pub async fn generations(&self, limit: usize) -> Result<Vec<GenerationRecord>, StoreError> {
        let (mut records, mut end) = (Vec::new(), prefix_end(keys::GENERATIONS));
        while records.len() < limit {
            let page = LARGE_PAGE.min(i64::try_from(limit - records.len()).unwrap_or(LARGE_PAGE));
            let options = GetOptions::new()
                .with_range(end.clone())
                .with_limit(page)
                .with_sort(SortTarget::Key, SortOrder::Descend);
            let mut response = self.read(keys::GENERATIONS, Some(options)).await?;
            for (key, value) in response.take_kvs().into_iter().map(etcd_client::KeyValue::into_key_value) {
                records.push(decode(&String::from_utf8_lossy(&key), &value)?);
                end = key;
            }
            if !response.more() {
                break;
            }
        }
        Ok(records)
    }

    /// One generation.
    pub async fn generation(&self, generation: Generation) -> Result<Option<GenerationRecord>, StoreError> {
        let key = keys::generation(generation);
        let value = self.get(key.clone()).await?;
        value.map(|value| decode(&key, &value)).transpose()
    }

    /// The chunks that `record` leads to.
    pub async fn chunks_of(&self, record: &GenerationRecord) -> Result<Chunks, StoreError> {
        let mut chunks = self.lists(record.lists().collect()).await?;
        chunks.append(self.chunks(record.chunks(&chunks)?).await?);
        Ok(chunks)
    }

    /// Chunks by their digests, all of which have to be there.
    pub(super) async fn chunks(&self, digests: Vec<Digest>) -> Result<Chunks, StoreError> {
        self.fetch(digests, CHUNKS_AT_ONCE).await
    }

    /// Chunks of lists, likewise.
    pub(super) async fn lists(&self, digests: Vec<Digest>) -> Result<Chunks, StoreError> {
        self.fetch(digests, LISTS_AT_ONCE).await
    }

    async fn fetch(&self, digests: Vec<Digest>, at_once: usize) -> Result<Chunks, StoreError> {
        let mut chunks = Chunks::new();
        for batch in digests.chunks(at_once) {
            let keys: Vec<String> = batch.iter().copied().map(keys::chunk).collect();
            let gets: Vec<TxnOp> = keys.iter().map(|key| TxnOp::get(key.as_str(), None)).collect();
            let response = self.carry_out(Txn::new().and_then(gets)).await?;
            for ((key, digest), answer) in keys.into_iter().zip(batch).zip(response.op_responses()) {
                let TxnOpResponse::Get(mut found) = answer else { continue };
                let pair = found.take_kvs().pop().ok_or(StoreError::Missing { key })?;
                chunks.insert(*digest, pair.into_key_value().1)?;
            }
        }
        Ok(chunks)
    }
}

fn decode(key: &str, value: &[u8]) -> Result<GenerationRecord, StoreError> {
    GenerationRecord::decode(value).map_err(|source| StoreError::Value { key: key.to_owned(), source })
}
