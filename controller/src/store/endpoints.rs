//! Keeping requests away from members of a cluster that don't answer.
//!
//! A client spreads requests over all members it knows, and a request that it sends to one that is down fails. So each member
//! is asked again and again whether it is there, and takes part in the cluster; the client knows those that do.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions};
use tokio::task::AbortHandle;
use tokio::time::{interval, timeout};
use tracing::{info, warn};

/// How often members are asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long one may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Asks members for as long as one of its clones lives.
#[derive(Clone)]
pub(super) struct Endpoints {
    _asking: Arc<Asking>,
}

struct Asking(Vec<AbortHandle>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

impl Endpoints {
    /// Has `client`, which knows them all, use only those of `endpoints` that answer. One alone is always used.
    pub(super) fn tend(client: &Client, endpoints: &[String], options: &ConnectOptions) -> Self {
        let several = if endpoints.len() > 1 { endpoints } else { &[] };
        let asking = several.iter().map(|endpoint| {
            let (client, endpoint, options) = (client.clone(), endpoint.clone(), options.clone());
            tokio::spawn(async move { ask(&client, &endpoint, &options).await }).abort_handle()
        });
        Self { _asking: Arc::new(Asking(asking.collect())) }
    }
}

/// What a member was when it was asked last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Used,
    LeftOut,
}

/// Asks one member for ever. Where none answers, requests wait until one does, or their time is over.
async fn ask(client: &Client, endpoint: &str, options: &ConnectOptions) {
    let mut member = Member::Used;
    let mut ticks = interval(ASK_EVERY);
    loop {
        ticks.tick().await;
        let now = if answers(endpoint, options).await { Member::Used } else { Member::LeftOut };
        if now == member {
            continue;
        }
        member = now;
        // Neither fails while the client lives.
        let _ = match member {
            Member::Used => {
                info!(endpoint, "etcd's member answers again");
                client.add_endpoint(endpoint).await
            }
            Member::LeftOut => {
                warn!(endpoint, "etcd's member does not answer, or sees no leader; it is left out");
                client.remove_endpoint(endpoint).await
            }
        };
    }
}

/// Whether a member is there and sees a leader.
async fn answers(endpoint: &str, options: &ConnectOptions) -> bool {
    let status = async {
        let mut client = Client::connect([endpoint], Some(options.clone())).await?;
        client.status().await
    };
    matches!(timeout(ANSWER_WITHIN, status).await, Ok(Ok(status)) if status.leader() != 0)
}
