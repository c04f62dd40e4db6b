//! The audit record: entries that are only ever added, each in the transaction of what it tells.

use etcd_client::{Compare, GetOptions, SortOrder, SortTarget, TxnOp};
use selvedge_proto::keys;
use selvedge_trust::audit::Chain;

use super::{Store, StoreError, is_absent};

/// An entry that is to be written.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// Its number.
    pub number: u64,
    /// As it will lie in etcd.
    pub bytes: Vec<u8>,
}

impl NewEntry {
    /// That nobody has written one of its number, and the write.
    pub(super) fn operations(self) -> (Compare, TxnOp) {
        let key = keys::audit(self.number);
        (is_absent(&key), TxnOp::put(key, self.bytes, None))
    }
}

impl Store {
    /// Where the record stands.
    pub async fn audit_chain(&self) -> Result<Chain, StoreError> {
        let last =
            GetOptions::new().with_prefix().with_limit(1).with_sort(SortTarget::Key, SortOrder::Descend);
        let response = self.read(keys::AUDIT, Some(last)).await?;
        let Some(pair) = response.kvs().first() else { return Ok(Chain::default()) };
        Ok(Chain::at(number(pair.key())?, pair.value()))
    }

    /// All entries, in order, as they lie in etcd.
    pub async fn audit(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let (pairs, _) = self.list(keys::AUDIT).await?;
        pairs.into_iter().map(|(key, value)| Ok((number(&key)?, value))).collect()
    }
}

fn number(key: &[u8]) -> Result<u64, StoreError> {
    let text = String::from_utf8_lossy(key).into_owned();
    let digits = text.strip_prefix(keys::AUDIT).and_then(|digits| digits.parse().ok());
    digits.ok_or_else(|| StoreError::Number { text: text.chars().take(60).collect(), key: text })
}
