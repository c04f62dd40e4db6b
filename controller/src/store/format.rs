//! Which version's format lies in etcd: [`keys`] has the rule.

use etcd_client::{Compare, CompareOp, TxnOp};
use selvedge_proto::keys::{self, FORMAT, FORMAT_KEY};

use super::{Fence, Store, StoreError};

/// The format that is there.
struct Written {
    /// None where nothing was ever written.
    format: Option<u32>,
    /// When that was, in revisions; 0: never.
    revision: i64,
}

impl Store {
    /// Refuses where a later version has written.
    pub async fn require_known_format(&self) -> Result<(), StoreError> {
        self.format().await.map(drop)
    }

    /// Has etcd say that this version writes here, before it writes anything else.
    pub async fn claim_format(&self, fence: Fence) -> Result<(), StoreError> {
        let Written { format, revision } = self.format().await?;
        if format == Some(FORMAT) {
            return Ok(());
        }
        let unchanged = Compare::mod_revision(FORMAT_KEY, CompareOp::Equal, revision);
        let put = TxnOp::put(FORMAT_KEY, FORMAT.to_string(), None);
        self.commit(fence, vec![unchanged], vec![put]).await?.or_conflict()
    }

    async fn format(&self) -> Result<Written, StoreError> {
        let response = self.read(keys::FORMAT_KEY, None).await?;
        let Some(pair) = response.kvs().first() else { return Ok(Written { format: None, revision: 0 }) };
        let text = String::from_utf8_lossy(pair.value());
        let wrong =
            || StoreError::Number { key: FORMAT_KEY.to_owned(), text: text.chars().take(32).collect() };
        let found = text.parse().map_err(|_| wrong())?;
        if found > FORMAT {
            return Err(StoreError::NewerFormat { found, known: FORMAT });
        }
        Ok(Written { format: Some(found), revision: pair.mod_revision() })
    }
}
