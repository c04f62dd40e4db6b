//! One controller at a time: the leader key, its lease, and the fence that every write compares.

use std::time::Duration;

use etcd_client::{
    Compare, CompareOp, EventType, KeyValue, LeaseClient, PutOptions, Txn, TxnOp, TxnOpResponse, WatchOptions,
};
use selvedge_proto::keys::LEADER;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::{Store, StoreError, is_absent};

/// How long a leader that no longer answers keeps its key, in seconds.
const LEASE_SECONDS: i64 = 10;
/// How long giving up the leader key may take.
const RESIGN_WITHIN: Duration = Duration::from_secs(2);
/// How often the lease is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// How often who waits looks whether the leader is there, although the watch is silent.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long who waits leaves an etcd alone that failed.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Proof of leadership: the revision at which the leader key was made. A write under a fence is carried out
/// only while that very key is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence(i64);

impl Fence {
    pub(super) fn compare(self) -> Compare {
        Compare::create_revision(LEADER, CompareOp::Equal, self.0)
    }

    pub(super) fn made(self, key: &KeyValue) -> bool {
        key.create_revision() == self.0
    }
}

/// Leadership while it lasts.
pub struct Leadership {
    fence: Fence,
    lease: i64,
    leases: LeaseClient,
    lost: watch::Receiver<bool>,
    renewal: JoinHandle<()>,
}

impl Leadership {
    /// Becomes the leader, after the one before has gone. `name` tells others who it is. Fails where etcd does not answer; once
    /// it waits for another leader, it goes on waiting whatever happens to etcd.
    pub async fn acquire(store: &Store, name: &str) -> Result<Self, StoreError> {
        let mut standby = Standby::No;
        loop {
            match Self::stand(store, name, &mut standby).await {
                Err(error) if standby == Standby::Yes => {
                    warn!(%error, "can't see whether the leader is there; looking again");
                    sleep(LOOK_AGAIN_AFTER).await;
                }
                ended => return ended,
            }
        }
    }

    /// One candidacy: a lease, for as long as it lasts.
    async fn stand(store: &Store, name: &str, standby: &mut Standby) -> Result<Self, StoreError> {
        let mut leases = store.client.lease_client();
        let lease = leases.grant(LEASE_SECONDS, None).await?.id();
        let (announce, lost) = watch::channel(false);
        // From here on the lease is renewed, also while waiting: whoever waits is alive.
        let renewal = tokio::spawn(renew(leases.clone(), lease, announce));
        let mut leadership = Self { fence: Fence(0), lease, leases, lost, renewal };
        loop {
            match attempt(store, name, lease).await? {
                Attempt::Won(fence) => {
                    leadership.fence = fence;
                    return Ok(leadership);
                }
                Attempt::Held { by, revision } => {
                    if *standby == Standby::No {
                        info!(leader = by, "another controller is active; waiting for it to go");
                    }
                    *standby = Standby::Yes;
                    wait_until_free(store, revision).await?;
                }
            }
        }
    }

    /// What every write compares.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Returns when leadership is lost.
    pub async fn lost(&self) {
        let mut lost = self.lost.clone();
        // An error means that the renewal is gone, and with it the lease.
        let _ = lost.wait_for(|lost| *lost).await;
    }

    /// Gives leadership up, so that another controller need not wait for the lease to run out.
    pub async fn resign(mut self) {
        self.renewal.abort();
        // Without etcd there is nobody to give it up to, and whoever supervises this process waits for its end.
        match timeout(RESIGN_WITHIN, self.leases.revoke(self.lease)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                warn!(%error, "could not give up the leader key; it runs out by itself in {LEASE_SECONDS} s");
            }
            Err(_) => warn!(
                "etcd does not answer, so the leader key was not given up; it runs out by itself in {LEASE_SECONDS} s"
            ),
        }
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Whether another leader was seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standby {
    No,
    Yes,
}

enum Attempt {
    Won(Fence),
    Held { by: String, revision: i64 },
}

async fn attempt(store: &Store, name: &str, lease: i64) -> Result<Attempt, StoreError> {
    let put = TxnOp::put(LEADER, name, Some(PutOptions::new().with_lease(lease)));
    let txn = Txn::new().when([is_absent(LEADER)]).and_then([put]).or_else([TxnOp::get(LEADER, None)]);
    let response = store.carry_out(txn).await?;
    let revision = response.header().map_or(0, etcd_client::ResponseHeader::revision);
    if response.succeeded() {
        return Ok(Attempt::Won(Fence(revision)));
    }
    let holder = response.op_responses().into_iter().find_map(|answer| match answer {
        TxnOpResponse::Get(mut found) => found.take_kvs().pop(),
        _ => None,
    });
    let by = holder.map(|pair| String::from_utf8_lossy(pair.value()).into_owned()).unwrap_or_default();
    Ok(Attempt::Held { by, revision })
}

/// Returns once the leader key may have been deleted after `revision`: when a watch says so, when it ends, and every now and then,
/// since etcd may have been restored from a time before `revision`, and a watch from there would be silent.
async fn wait_until_free(store: &Store, revision: i64) -> Result<(), StoreError> {
    let options = WatchOptions::new().with_start_revision(revision + 1);
    let mut watch = store.watch().watch(LEADER, Some(options)).await?;
    let deleted = async {
        while let Some(response) = watch.message().await? {
            if response.canceled()
                || response.events().iter().any(|event| event.event_type() == EventType::Delete)
            {
                break;
            }
        }
        Ok(())
    };
    timeout(LOOK_EVERY, deleted).await.unwrap_or(Ok(()))
}

/// Renews the lease until it is lost: expired, or not renewed for as long as it lasts.
async fn renew(mut leases: LeaseClient, lease: i64, lost: watch::Sender<bool>) {
    let lasts = Duration::from_secs(LEASE_SECONDS.unsigned_abs());
    let mut renewed = Instant::now();
    let mut ticks = tokio::time::interval(RENEW_EVERY);
    while renewed.elapsed() < lasts {
        ticks.tick().await;
        match timeout(RENEW_EVERY, renew_once(&mut leases, lease)).await {
            Ok(Ok(Lease::Gone)) => break,
            Ok(Ok(Lease::Renewed)) => renewed = Instant::now(),
            Ok(Err(error)) => warn!(%error, "could not renew the leader's lease"),
            Err(_) => warn!("etcd does not answer; the leader's lease was not renewed"),
        }
    }
    lost.send_replace(true);
}

/// What became of a lease.
enum Lease {
    Renewed,
    Gone,
}

/// Renews once: opening a stream of renewals sends the first one and waits for its answer.
async fn renew_once(leases: &mut LeaseClient, lease: i64) -> Result<Lease, etcd_client::Error> {
    match leases.keep_alive(lease).await {
        Ok(_) => Ok(Lease::Renewed),
        // So the client says that there is no such lease.
        Err(etcd_client::Error::LeaseKeepAliveError(_)) => Ok(Lease::Gone),
        Err(error) => Err(error),
    }
}
