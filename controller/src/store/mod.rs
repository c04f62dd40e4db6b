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
mod request;
mod transact;
mod users;

use std::time::Duration;

use etcd_client::{Client, GetOptions, KvClient, WatchClient};
use selvedge_proto::MAX_MESSAGE_BYTES;
use selvedge_proto::keys;
use tokio::time::sleep;

pub use access::Access;
pub use audit::NewEntry;
pub use collect::{Fresh, Garbage, Kept, Retention, Waste};
use endpoints::Endpoints;
pub use error::StoreError;
pub use identities::Identities;
pub use leader::{Fence, Leadership};
pub use members::Open;
pub use publish::{Novelty, Publication};
pub use reports::{ReportChange, watch_reports};
use transact::{Committed, MAX_TXN_BYTES, Operation, is_absent};
pub use users::{Users, permissions};

/// How long one request to etcd may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
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
        let mut response = self.read(key, None).await?;
        Ok(response.take_kvs().pop().map(|pair| pair.into_key_value().1))
    }

    /// Makes sure that etcd has got as far as `from`, as a whole and not just one member.
    async fn require_revision(&self, from: i64) -> Result<(), StoreError> {
        let response = self.read(keys::LEADER, None).await?;
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
            let mut response = self.read(from.clone(), Some(page)).await?;
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
