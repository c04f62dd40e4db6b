//! Identities: handed out once each, however many want one at the same time.

use std::sync::Arc;

use etcd_client::{Compare, CompareOp, TxnOp};
use selvedge_proto::{decode_identity, encode_identity, keys};
use selvedge_topology::identity::{Identity, IdentityKey, IdentityTable};

use super::{Committed, Fence, MAX_TXN_BYTES, Store, StoreError, is_absent};

/// Identities in one transaction: each a condition and a write, beside the counter's and the fence.
const BATCH: usize = 100;
/// How often an allocation may lose against other writers before it gives up.
const MAX_CONFLICTS: usize = 64;

/// All identities, as they were read or allocated last.
#[derive(Clone, Debug, Default)]
pub struct Identities {
    table: Arc<IdentityTable>,
}

/// The next free number and the revision at which it was written; revision 0: never.
#[derive(Clone, Copy, Debug)]
struct Counter {
    next: Identity,
    revision: i64,
}

impl Identities {
    /// What is allocated.
    pub fn table(&self) -> &Arc<IdentityTable> {
        &self.table
    }

    /// Reads them all.
    pub async fn read(store: &Store) -> Result<Self, StoreError> {
        let mut table = IdentityTable::default();
        for prefix in [keys::LABEL_IDENTITIES, keys::CIDR_IDENTITIES] {
            for (key, value) in store.list(prefix).await?.0 {
                let name = || String::from_utf8_lossy(&key).into_owned();
                let (identity, key) =
                    decode_identity(&value).map_err(|source| StoreError::Value { key: name(), source })?;
                table.insert(key, identity)?;
            }
        }
        Ok(Self { table: table.into() })
    }

    /// Gives each of `wanted` a number that has none. Others may do the same at the same time: a number is given
    /// only together with its counter's move, and a key only while it has none.
    pub async fn allocate(
        &mut self,
        store: &Store,
        fence: Fence,
        wanted: &[IdentityKey],
    ) -> Result<(), StoreError> {
        let mut conflicts = 0;
        while conflicts < MAX_CONFLICTS {
            let missing = self.table.missing_of(wanted.iter().cloned().collect());
            let Some(first) = missing.first() else { return Ok(()) };
            // One counter, and so one kind, a transaction.
            let (kind, number) = (keys::next_identity(first), first.range().0);
            let mut bytes = 0;
            let fits = |key: &IdentityKey| {
                let first = bytes == 0;
                bytes += encode_identity(Identity(number.0), key).len() + 2 * keys::identity(key).len();
                first || bytes <= MAX_TXN_BYTES
            };
            let of_kind = missing.into_iter().filter(|key| keys::next_identity(key) == kind);
            let batch: Vec<IdentityKey> = of_kind.take(BATCH).take_while(fits).collect();
            let counter = read_counter(store, &kind, number).await?;
            if self.allocate_batch(store, fence, (&kind, counter), batch).await? == Committed::Conflict {
                conflicts += 1;
                *self = Self::read(store).await?;
            }
        }
        Err(StoreError::Conflict)
    }

    async fn allocate_batch(
        &mut self,
        store: &Store,
        fence: Fence,
        (kind, counter): (&str, Counter),
        batch: Vec<IdentityKey>,
    ) -> Result<Committed, StoreError> {
        let mut table = IdentityTable::clone(&self.table);
        let mut conditions = vec![Compare::mod_revision(kind, CompareOp::Equal, counter.revision)];
        let mut writes = Vec::new();
        let mut next = counter.next;
        for key in batch {
            let at = keys::identity(&key);
            conditions.push(is_absent(&at));
            writes.push(TxnOp::put(at, encode_identity(next, &key), None));
            // Refuses numbers beyond the kind's range.
            table.insert(key, next)?;
            next = Identity(next.0 + 1);
        }
        writes.push(TxnOp::put(kind, next.to_string(), None));
        let committed = store.commit(fence, conditions, writes).await?;
        if committed == Committed::Done {
            self.table = table.into();
        }
        Ok(committed)
    }
}

async fn read_counter(store: &Store, key: &str, first: Identity) -> Result<Counter, StoreError> {
    let response = store.read(key, None).await?;
    let Some(pair) = response.kvs().first() else { return Ok(Counter { next: first, revision: 0 }) };
    let text = String::from_utf8_lossy(pair.value());
    let wrong = || StoreError::Number { key: key.to_owned(), text: text.chars().take(32).collect() };
    let next = text.parse().map(Identity).map_err(|_| wrong())?;
    Ok(Counter { next, revision: pair.mod_revision() })
}
