//! etcd: the node's target is watched, its plan fetched, its report written. Nothing else is read or written.

use std::time::Duration;

use etcd_client::{Client, ConnectOptions};
use selvedge_proto::plan::{Pieces, PlanDecodeError};
use selvedge_proto::{Chunks, DecodeError, Report, Target, keys};
use selvedge_topology::names::NodeName;
use selvedge_trust::{Anchor, Mistrust};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::ask::{REQUEST, passes, promptly, read};
use super::fetch::Sources;
use super::{Fetched, KeyWatch, StateDir};
use crate::membership::Credentials;
use crate::retry::Backoff;

/// The longest wait between two tries.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Reports in a row that are late before another member is tried.
const PATIENCE: u32 = 2;
/// How often the target is looked at although its watch is silent: of 10,000 agents, some 200 tiny reads a second.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Why there is no plan from etcd.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No answer, or an error.
    #[error("etcd: {}", innermost(.0))]
    Etcd(#[from] etcd_client::Error),
    /// No answer in time.
    #[error("etcd does not answer within {} s", .0.as_secs())]
    Slow(Duration),
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
    /// etcd has forgotten what it had.
    #[error("etcd has gone back from revision {from} to {to}: restored from an older snapshot?")]
    WentBack {
        /// The newest revision that was seen.
        from: i64,
        /// Its revision now.
        to: i64,
    },
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
    /// What was offered last is still what the target names. Told where a session begins.
    AsBefore,
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
pub async fn follow(access: Access, following: Following) {
    let mut backoff = Backoff::of_many(LONGEST_WAIT);
    let mut credentials = access.credentials.clone();
    let mut members = Members::new(access);
    let events = &following.events;
    let mut held = Held::default();
    while !events.is_closed() {
        let ended = tokio::select! {
            ended = session(&mut members, &following, &mut held, &mut backoff) => ended,
            () = credentials.renewed() => continue,
        };
        if let Err(error) = ended
            && events.send(StoreEvent::Away(error)).await.is_err()
        {
            return;
        }
        sleep(backoff.wait()).await;
    }
}

/// The members of a cluster, one after another, beginning at any: one that is down costs a try, and agents spread over them. A
/// client of all of them would send some requests of every session to the one that is down.
struct Members {
    access: Access,
    turn: usize,
}

/// How etcd is reached.
#[derive(Clone, Debug)]
pub struct Access {
    /// Client URLs.
    pub endpoints: Vec<String>,
    /// What is shown there.
    pub credentials: Credentials,
}

impl Access {
    /// Unencrypted, and showing nothing.
    pub fn plain(endpoints: Vec<String>) -> Self {
        Self { endpoints, credentials: Credentials::none() }
    }
}

impl Members {
    fn new(access: Access) -> Self {
        Self { turn: fastrand::usize(..access.endpoints.len().max(1)), access }
    }

    /// Connects to the one whose turn it is.
    async fn connect(&mut self) -> Result<Client, StoreError> {
        let Access { endpoints, credentials } = &mut self.access;
        self.turn = (self.turn + 1) % endpoints.len().max(1);
        let member = endpoints.get(self.turn..=self.turn).unwrap_or_default();
        let options = ConnectOptions::new()
            .with_connect_timeout(REQUEST)
            .with_keep_alive(Duration::from_secs(5), Duration::from_secs(5))
            .with_keep_alive_while_idle(true)
            // A watch at a member that lost sight of its cluster ends, and is not silent.
            .with_require_leader(true);
        let options = match credentials.tls() {
            Some(tls) => options.with_tls(tls),
            None => options,
        };
        promptly(Client::connect(member, Some(options))).await
    }
}

/// What was sent on last.
#[derive(Default)]
struct Held {
    /// The target, where its plan was the last that was told of it.
    offered: Option<Target>,
    chunks: Chunks,
    pieces: Pieces,
}

/// One connection: the target, as it is and as it changes.
async fn session(
    members: &mut Members,
    following: &Following,
    held: &mut Held,
    backoff: &mut Backoff,
) -> Result<(), StoreError> {
    let client = members.connect().await?;
    let key = keys::target(&following.node);
    let (mut value, mut watch) = KeyWatch::open(&client, key.clone(), LOOK_EVERY).await?;
    loop {
        tokio::select! {
            considered = following.consider(&client, &key, value.as_deref(), held) => considered?,
            // A connection that is gone answers nothing any more.
            error = watch.ended() => return Err(error),
        }
        backoff.reset();
        value = watch.changed().await?;
    }
}

impl Following {
    /// Fetches what a target names and sends it on; `held` is what was sent last. Content that can't be had is reported, then tried
    /// again with the session.
    async fn consider(
        &self,
        client: &Client,
        key: &str,
        value: Option<&[u8]>,
        held: &mut Held,
    ) -> Result<(), StoreError> {
        let offered = held.offered.take();
        let event = match value.map(Target::decode).transpose() {
            Ok(None) => StoreEvent::NoTarget,
            Ok(Some(target)) if offered == Some(target) => StoreEvent::AsBefore,
            Ok(Some(target)) => match self.fetch(client, key, target, held).await {
                Ok(fetched) => {
                    held.chunks.clone_from(&fetched.chunks);
                    StoreEvent::Offered(Box::new(fetched))
                }
                Err(error @ (StoreError::Etcd(_) | StoreError::Slow(_))) => return Err(error),
                // Taken away as garbage: the next target, which the watch tells of, was there before that.
                Err(StoreError::Missing { key: gone }) if is_outdated(client, key, value).await? => {
                    tracing::debug!(generation = %target.generation, key = gone, "superseded before it was fetched");
                    return Ok(());
                }
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
        let offered = match &event {
            StoreEvent::Offered(fetched) => Some(fetched.target),
            StoreEvent::AsBefore => offered,
            _ => None,
        };
        self.events.send(event).await.ok();
        // Only now: whoever does not wait for this to end has not told anybody.
        held.offered = offered;
        Ok(())
    }

    /// Fetches the plan that `target` names, once it is known whose word that is.
    async fn fetch(
        &self,
        client: &Client,
        key: &str,
        target: Target,
        held: &mut Held,
    ) -> Result<Fetched, StoreError> {
        if let Some(anchor) = &self.anchor {
            let mistrusted = |source| StoreError::Mistrusted { key: key.to_owned(), source };
            anchor.verify_target(&self.node, &target).map_err(mistrusted)?;
        }
        let Held { chunks, pieces, offered: _ } = held;
        Sources { held: chunks, cache: &self.cache, etcd: client }.fetch(target, pieces).await
    }
}

/// Whether `key` has another value by now.
async fn is_outdated(client: &Client, key: &str, value: Option<&[u8]>) -> Result<bool, StoreError> {
    let now = read(&client.kv_client(), key).await?;
    Ok(now.kvs().first().map(etcd_client::KeyValue::value) != value)
}

/// Writes each report, the newest only, until there are none any more, and tells of each that lies in etcd. Never gives up on etcd.
pub async fn publish_reports(
    access: Access,
    node: NodeName,
    mut reports: watch::Receiver<Option<Report>>,
    acknowledged: impl Fn(&Report),
) {
    let key = keys::report(&node);
    let mut backoff = Backoff::of_many(LONGEST_WAIT);
    let mut members = Members::new(access);
    let mut client = None;
    let mut unanswered: u32 = 0;
    while reports.changed().await.is_ok() {
        let Some(report) = reports.borrow_and_update().clone() else { continue };
        if members.access.credentials.are_new() {
            client = None;
        }
        match put(&mut client, &mut members, &key, report.encode()).await {
            Ok(()) => {
                backoff.reset();
                unanswered = 0;
                acknowledged(&report);
            }
            Err(error) => {
                tracing::debug!(%error, "the report could not be written");
                unanswered += 1;
                // One that is only late is no reason to come with a new connection.
                if !passes(&error) || unanswered.is_multiple_of(PATIENCE) {
                    client = None;
                }
                sleep(backoff.wait()).await;
                reports.mark_changed();
            }
        }
    }
}

async fn put(
    client: &mut Option<Client>,
    members: &mut Members,
    key: &str,
    value: Vec<u8>,
) -> Result<(), StoreError> {
    let client = match client {
        Some(client) => client,
        None => client.insert(members.connect().await?),
    };
    promptly(client.put(key, value, None)).await?;
    Ok(())
}
