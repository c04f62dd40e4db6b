//! The controller's state in etcd: read by anyone, written only by the leader.

mod access;
mod audit;
mod collect;
mod endpoints;
mod error;
mod format;
mod identities;
mod leader;
mod members;
mod publish;
mod read;
mod reports;
mod users;

use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, GetOptions, KvClient, Txn, TxnOp, TxnOpResponse, WatchClient};
use selvedge_proto::MAX_MESSAGE_BYTES;
use selvedge_proto::keys::{self, MAX_TXN_OPS};
use tokio::time::sleep;

pub use access::Access;
pub use audit::NewEntry;
pub use collect::{Fresh, Garbage, Kept, Retention, Waste};
use endpoints::Endpoints;
pub use error::StoreError;
pub use identities::Identities;
pub use leader::{Fence, Leadership};
pub use members::Open;
pub use publish::Publication;
pub use reports::{ReportChange, watch_reports};
pub use users::{Users, permissions};

/// How long one request to etcd may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of values in one transaction: below etcd's limit of 1.5 MiB a request.
const MAX_TXN_BYTES: usize = 1 << 20;
/// Small values in one page of a listing.
const PAGE: i64 = 500;
/// Values in one page of a listing where one of them may have hundreds of kilobytes.
const LARGE_PAGE: i64 = 50;
/// Keys in one page of a listing without values.
const KEYS_PAGE: i64 = 5000;

/// A connection to etcd.
#[derive(Clone)]
pub struct Store {
    client: Client,
    /// Which members the client uses.
    _tended: Endpoints,
}

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

/// What to read in pages.
#[derive(Clone, Copy)]
struct Scan<'p> {
    /// All keys under this, which ends in a slash.
    prefix: &'p str,
    /// As they were at this revision; 0: at the newest.
    revision: i64,
    values: Values,
}

/// Whether a listing needs values.
#[derive(Clone, Copy)]
enum Values {
    /// So many at a time.
    Read { page: i64 },
    /// Keys alone.
    Left,
}

impl Store {
    /// Connects, and makes sure that somebody answers.
    pub async fn connect(access: &Access) -> Result<Self, StoreError> {
        let options = access
            .options()
            .with_connect_timeout(REQUEST_TIMEOUT)
            .with_timeout(REQUEST_TIMEOUT)
            .with_keep_alive(Duration::from_secs(5), Duration::from_secs(5))
            .with_keep_alive_while_idle(true)
            // A watch at a member that lost sight of its cluster ends, and is not silent.
            .with_require_leader(true);
        let unreachable =
            |source| StoreError::Unreachable { endpoints: access.to_string(), source: Box::new(source) };
        let endpoints = access.endpoints();
        let client = Client::connect(endpoints, Some(options.clone())).await.map_err(unreachable)?;
        let tended = Endpoints::tend(&client, endpoints, &options);
        let mut store = Self { client, _tended: tended };
        let mut tries = endpoints.len();
        // Any of several members may be the one that is down.
        while let Err(error) = store.client.status().await {
            tries = tries.saturating_sub(1);
            if tries == 0 {
                return Err(unreachable(error));
            }
            sleep(REQUEST_TIMEOUT / 4).await;
        }
        Ok(store)
    }

    /// The version of the etcd that answers.
    pub async fn version(&mut self) -> Result<String, StoreError> {
        Ok(self.client.status().await?.version().to_owned())
    }

    fn watch(&self) -> WatchClient {
        self.client.watch_client().max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn kv(&self) -> KvClient {
        self.client.kv_client().max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, StoreError> {
        let mut response = self.kv().get(key, None).await?;
        Ok(response.take_kvs().pop().map(|pair| pair.into_key_value().1))
    }

    /// Makes sure that etcd has got as far as `from`, as a whole and not just one member.
    async fn require_revision(&self, from: i64) -> Result<(), StoreError> {
        let response = self.kv().get(keys::LEADER, None).await?;
        let to = response.header().map_or(0, etcd_client::ResponseHeader::revision);
        if to < from { Err(StoreError::WentBack { from, to }) } else { Ok(()) }
    }

    /// Everything under `prefix`, in pages, at one revision; and that revision.
    async fn list(&self, prefix: &str) -> Result<(Vec<Pair>, i64), StoreError> {
        let mut pairs = Vec::new();
        let scan = Scan { prefix, revision: 0, values: Values::Read { page: PAGE } };
        let revision = self
            .scan(scan, |key, value| {
                pairs.push((key, value));
                Ok(())
            })
            .await?;
        Ok((pairs, revision))
    }

    /// Shows `visit` all keys of `scan`, in order, a page at a time; and says at which revision they were read.
    async fn scan(
        &self,
        scan: Scan<'_>,
        mut visit: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), StoreError>,
    ) -> Result<i64, StoreError> {
        let Scan { prefix, mut revision, values } = scan;
        let (end, mut from) = (prefix_end(prefix), prefix.as_bytes().to_vec());
        let options = match values {
            Values::Read { page } => GetOptions::new().with_limit(page),
            Values::Left => GetOptions::new().with_limit(KEYS_PAGE).with_keys_only(),
        };
        loop {
            let page = options.clone().with_range(end.clone()).with_revision(revision);
            let mut response = self.kv().get(from.clone(), Some(page)).await?;
            if revision == 0 {
                revision = response.header().map_or(0, etcd_client::ResponseHeader::revision);
            }
            for (key, value) in response.take_kvs().into_iter().map(etcd_client::KeyValue::into_key_value) {
                from = after(&key);
                visit(key, value)?;
            }
            if !response.more() {
                return Ok(revision);
            }
        }
    }

    /// Those of `keys` that are not there.
    async fn absent(&self, keys: Vec<String>) -> Result<Vec<String>, StoreError> {
        let mut absent = Vec::new();
        for batch in keys.chunks(MAX_TXN_OPS) {
            let gets: Vec<TxnOp> = batch
                .iter()
                .map(|key| TxnOp::get(key.as_str(), Some(GetOptions::new().with_keys_only())))
                .collect();
            let response = self.kv().txn(Txn::new().and_then(gets)).await?;
            for (key, answer) in batch.iter().zip(response.op_responses()) {
                if matches!(&answer, TxnOpResponse::Get(found) if found.kvs().is_empty()) {
                    absent.push(key.clone());
                }
            }
        }
        Ok(absent)
    }

    /// Carries out `operations` if `fence` still holds, in as few transactions as the limits allow.
    async fn write(&self, fence: Fence, operations: Vec<Operation>) -> Result<(), StoreError> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for operation in operations {
            let size = operation.size();
            if !batch.is_empty() && (batch.len() == MAX_TXN_OPS || bytes + size > MAX_TXN_BYTES) {
                self.commit(fence, Vec::new(), std::mem::take(&mut batch)).await?.or_conflict()?;
                bytes = 0;
            }
            bytes += size;
            batch.push(operation.into());
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.commit(fence, Vec::new(), batch).await?.or_conflict()
    }

    /// One transaction under the fence, with conditions of its own.
    async fn commit(
        &self,
        fence: Fence,
        conditions: Vec<Compare>,
        operations: Vec<TxnOp>,
    ) -> Result<Committed, StoreError> {
        let compares: Vec<Compare> = conditions.into_iter().chain([fence.compare()]).collect();
        let leader = TxnOp::get(keys::LEADER, None);
        let txn = Txn::new().when(compares).and_then(operations).or_else([leader]);
        let response = self.kv().txn(txn).await?;
        if response.succeeded() {
            return Ok(Committed::Done);
        }
        let holds = response.op_responses().iter().any(
            |answer| matches!(answer, TxnOpResponse::Get(found) if found.kvs().iter().any(|pair| fence.made(pair))),
        );
        if holds { Ok(Committed::Conflict) } else { Err(StoreError::Deposed) }
    }
}

/// How a transaction ended that the fence allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Committed {
    /// It was carried out.
    Done,
    /// One of its own conditions did not hold.
    Conflict,
}

impl Committed {
    /// For transactions without conditions of their own, and for those that have no second try.
    fn or_conflict(self) -> Result<(), StoreError> {
        match self {
            Self::Done => Ok(()),
            Self::Conflict => Err(StoreError::Conflict),
        }
    }
}

/// A write.
enum Operation {
    Put(String, Vec<u8>),
    Delete(String),
}

impl Operation {
    fn size(&self) -> usize {
        match self {
            Self::Put(key, value) => key.len() + value.len(),
            Self::Delete(key) => key.len(),
        }
    }
}

impl From<Operation> for TxnOp {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Put(key, value) => Self::put(key, value, None),
            Operation::Delete(key) => Self::delete(key, None),
        }
    }
}

/// The condition that `key` does not exist.
fn is_absent(key: &str) -> Compare {
    Compare::create_revision(key, CompareOp::Equal, 0)
}

/// The first key behind all that begin with `prefix`, which ends in a slash.
fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// The next key there can be.
fn after(key: &[u8]) -> Vec<u8> {
    key.iter().copied().chain([0]).collect()
}
