//! etcd: the node's target is watched, its plan fetched, its report written. Nothing else is read or written.

use std::time::Duration;

use etcd_client::{Client, ConnectOptions, EventType, WatchOptions};
use selvedge_proto::plan::{Manifest, PlanDecodeError};
use selvedge_proto::{Chunks, DecodeError, Digest, Report, Target, keys};
use selvedge_topology::names::NodeName;
use selvedge_trust::{Anchor, Mistrust};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::{Fetched, StateDir};
use crate::retry::Backoff;

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(5);
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Why there is no plan from etcd.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No answer, or an error.
    #[error("etcd: {}", innermost(.0))]
    Etcd(#[from] etcd_client::Error),
    /// No answer in time.
    #[error("etcd does not answer within {} s", REQUEST.as_secs())]
    Slow(#[from] tokio::time::error::Elapsed),
    /// The target can't be read.
    #[error("the target at {key}: {source}")]
    Target {
        /// Its key.
        key: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The target is not the fabric's.
    #[error("the target at {key} is not believed: {source}")]
    Mistrusted {
        /// Its key.
        key: String,
        /// Why not.
        source: Mistrust,
    },
    /// Content that the target leads to is not there.
    #[error("{key} is not in etcd")]
    Missing {
        /// Its key.
        key: String,
    },
    /// The plan can't be read.
    #[error(transparent)]
    Plan(#[from] PlanDecodeError),
    /// The watch ended.
    #[error("the watch of {key} ended: {reason}")]
    WatchEnded {
        /// The key.
        key: String,
        /// etcd's reason.
        reason: String,
    },
}

/// The cause at the bottom, which is the one that means something to a user.
fn innermost(error: &etcd_client::Error) -> String {
    let mut cause: &dyn std::error::Error = match error {
        etcd_client::Error::GRpcStatus(status) => status,
        other => other,
    };
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// What following a target brings.
#[derive(Debug)]
pub enum StoreEvent {
    /// A plan to consider.
    Offered(Box<Fetched>),
    /// A target whose plan can't be had.
    Unfetchable {
        /// The target.
        target: Target,
        /// Why not.
        reason: String,
    },
    /// What lies where the target should be is none, or not the fabric's.
    Unreadable {
        /// Why not.
        reason: String,
    },
    /// There is no target for the node, or not any more.
    NoTarget,
    /// etcd is away, or what it should hold is not there; what is in force stays, and the next try comes.
    Away(StoreError),
}

/// Whose plans are taken, and where they go.
pub struct Following {
    /// The node.
    pub node: NodeName,
    /// The fabric and its key; without, whatever lies in etcd is believed.
    pub anchor: Option<Anchor>,
    /// What need not be fetched again.
    pub cache: StateDir,
    /// Who listens.
    pub events: mpsc::Sender<StoreEvent>,
}

/// Follows the node's target and sends what comes of it, until nobody listens. Never gives up on etcd.
pub async fn follow(endpoints: Vec<String>, following: Following) {
    let mut backoff = Backoff::new(LONGEST_WAIT);
    let events = &following.events;
    while !events.is_closed() {
        if let Err(error) = session(&endpoints, &following, &mut backoff).await
            && events.send(StoreEvent::Away(error)).await.is_err()
        {
            return;
        }
        sleep(backoff.wait()).await;
    }
}

async fn connect(endpoints: &[String]) -> Result<Client, StoreError> {
    let options = ConnectOptions::new()
        .with_connect_timeout(REQUEST)
        .with_keep_alive(Duration::from_secs(5), Duration::from_secs(5))
        .with_keep_alive_while_idle(true);
    Ok(timeout(REQUEST, Client::connect(endpoints, Some(options))).await??)
}

/// One connection: read the target, then watch from the revision it was read at, so that nothing is missed between.
async fn session(
    endpoints: &[String],
    following: &Following,
    backoff: &mut Backoff,
) -> Result<(), StoreError> {
    let mut client = connect(endpoints).await?;
    let key = keys::target(&following.node);
    let answer = timeout(REQUEST, client.get(key.as_str(), None)).await??;
    let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
    let value = answer.kvs().first().map(|entry| entry.value().to_vec());
    following.consider(&mut client, &key, value.as_deref()).await?;

    let options = WatchOptions::new().with_start_revision(revision + 1);
    let mut watch = timeout(REQUEST, client.watch(key.as_str(), Some(options))).await??;
    while let Some(message) = watch.message().await? {
        if message.canceled() || message.compact_revision() != 0 {
            return Err(StoreError::WatchEnded { key, reason: message.cancel_reason().to_owned() });
        }
        backoff.reset();
        // Only the last of several changes counts.
        if let Some(event) = message.events().last() {
            let put = event.kv().filter(|_| event.event_type() == EventType::Put);
            following.consider(&mut client, &key, put.map(etcd_client::KeyValue::value)).await?;
        }
    }
    Err(StoreError::WatchEnded { key, reason: "etcd closed it".to_owned() })
}

impl Following {
    /// Fetches what a target names and sends it on. Content that can't be had is reported, then tried again with the session.
    async fn consider(&self, client: &mut Client, key: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
        let event = match value.map(Target::decode).transpose() {
            Ok(None) => StoreEvent::NoTarget,
            Ok(Some(target)) => match self.fetch(client, key, target).await {
                Ok(fetched) => StoreEvent::Offered(Box::new(fetched)),
                Err(error @ (StoreError::Etcd(_) | StoreError::Slow(_))) => return Err(error),
                Err(error @ StoreError::Missing { .. }) => {
                    self.events
                        .send(StoreEvent::Unfetchable { target, reason: error.to_string() })
                        .await
                        .ok();
                    return Err(error);
                }
                Err(error @ StoreError::Mistrusted { .. }) => {
                    StoreEvent::Unreadable { reason: error.to_string() }
                }
                Err(error) => StoreEvent::Unfetchable { target, reason: error.to_string() },
            },
            Err(source) => {
                let reason = StoreError::Target { key: key.to_owned(), source }.to_string();
                StoreEvent::Unreadable { reason }
            }
        };
        self.events.send(event).await.ok();
        Ok(())
    }

    /// Fetches the plan that `target` names, once it is known whose word that is: from etcd only what the disk has not.
    async fn fetch(&self, client: &mut Client, key: &str, target: Target) -> Result<Fetched, StoreError> {
        if let Some(anchor) = &self.anchor {
            let mistrusted = |source| StoreError::Mistrusted { key: key.to_owned(), source };
            anchor.verify_target(&self.node, &target).map_err(mistrusted)?;
        }
        let bytes = content(client, target.manifest, keys::manifest(target.manifest), &self.cache).await?;
        let manifest = Manifest::decode(target.manifest, &bytes)?;
        let mut chunks = Chunks::new();
        for digest in manifest.chunks() {
            chunks.insert(digest, content(client, digest, keys::chunk(digest), &self.cache).await?);
        }
        let plan = manifest.plan(&chunks)?;
        Ok(Fetched { target, manifest: bytes, chunks, plan })
    }
}

async fn content(
    client: &mut Client,
    digest: Digest,
    key: String,
    cache: &StateDir,
) -> Result<Vec<u8>, StoreError> {
    if let Some(bytes) = cache.get(digest) {
        return Ok(bytes);
    }
    let answer = timeout(REQUEST, client.get(key.as_str(), None)).await??;
    answer.kvs().first().map(|entry| entry.value().to_vec()).ok_or(StoreError::Missing { key })
}

/// Writes each report, the newest only, until there are none any more. Never gives up on etcd.
pub async fn publish_reports(
    endpoints: Vec<String>,
    node: NodeName,
    mut reports: watch::Receiver<Option<Report>>,
) {
    let key = keys::report(&node);
    let mut backoff = Backoff::new(LONGEST_WAIT);
    let mut client = None;
    while reports.changed().await.is_ok() {
        let Some(value) = reports.borrow_and_update().as_ref().map(Report::encode) else { continue };
        match put(&mut client, &endpoints, &key, value).await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                tracing::debug!(%error, "the report could not be written");
                client = None;
                sleep(backoff.wait()).await;
                reports.mark_changed();
            }
        }
    }
}

async fn put(
    client: &mut Option<Client>,
    endpoints: &[String],
    key: &str,
    value: Vec<u8>,
) -> Result<(), StoreError> {
    let client = match client {
        Some(client) => client,
        None => client.insert(connect(endpoints).await?),
    };
    timeout(REQUEST, client.put(key, value, None)).await??;
    Ok(())
}
