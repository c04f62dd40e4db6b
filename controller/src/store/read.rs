//! Reading generations back.

use etcd_client::{GetOptions, SortOrder, SortTarget};
use selvedge_proto::{Chunks, GenerationRecord, keys};
use selvedge_topology::plan::Generation;

use super::{Store, StoreError};

impl Store {
    /// The newest generation.
    pub async fn newest(&self) -> Result<Option<GenerationRecord>, StoreError> {
        Ok(self.generations(1).await?.pop())
    }

    /// Up to `limit` generations, newest first.
    pub async fn generations(&self, limit: u32) -> Result<Vec<GenerationRecord>, StoreError> {
        let options = GetOptions::new()
            .with_prefix()
            .with_limit(limit.into())
            .with_sort(SortTarget::Key, SortOrder::Descend);
        let mut response = self.kv().get(keys::GENERATIONS, Some(options)).await?;
        let records = response.take_kvs().into_iter().map(etcd_client::KeyValue::into_key_value);
        records.map(|(key, value)| decode(&String::from_utf8_lossy(&key), &value)).collect()
    }

    /// One generation.
    pub async fn generation(&self, generation: Generation) -> Result<Option<GenerationRecord>, StoreError> {
        let key = keys::generation(generation);
        let value = self.get(key.clone()).await?;
        value.map(|value| decode(&key, &value)).transpose()
    }

    /// The chunks that `record` names.
    pub async fn chunks_of(&self, record: &GenerationRecord) -> Result<Chunks, StoreError> {
        let mut chunks = Chunks::new();
        for digest in record.chunks() {
            let key = keys::chunk(digest);
            let chunk = self.get(key.clone()).await?.ok_or(StoreError::Missing { key })?;
            chunks.insert(digest, chunk);
        }
        Ok(chunks)
    }
}

fn decode(key: &str, value: &[u8]) -> Result<GenerationRecord, StoreError> {
    GenerationRecord::decode(value).map_err(|source| StoreError::Value { key: key.to_owned(), source })
}
