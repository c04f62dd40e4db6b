//! Asking etcd: again, where it or the way to it is only slow, or refuses for the moment. What that asks for again is one request; to begin
//! anew would ask for everything, of an etcd that has too much to do already.

use std::future::Future;
use std::time::Duration;

use etcd_client::{Error, GetResponse, KvClient};
use tokio::time::{sleep, timeout};

use super::etcd::{LONGEST_WAIT, StoreError};
use crate::retry::Backoff;

/// How long one request may take. Where it is made again, longer: what is late would be late again.
pub(super) const REQUEST: Duration = Duration::from_secs(5);
/// With waits between them, half a minute. A connection that is dead is found out by its keep-alive before that, which ends the request.
const TRIES: u32 = 3;
/// What etcd says where it refuses, before it does anything, what it may take a moment later (server/etcdserver/v3_server.go,
/// server/etcdserver/api/v3rpc/rpctypes/error.go and server/auth/store.go):
const PASSING: [&str; 3] = [
    // ErrTooManyRequests: it has agreed on more than it has applied.
    "too many requests",
    // ErrAuthOldRevision: its users or roles changed while the request was under way.
    "revision of auth store is old",
    // ErrLeaderChanged: the cluster has another one now.
    "leader changed",
];

/// Makes a request until it is answered, or fails for good; or was made often enough.
pub(super) async fn patiently<T, F: Future<Output = Result<T, Error>>>(
    mut request: impl FnMut() -> F,
) -> Result<T, StoreError> {
    let mut backoff = Backoff::of_many(LONGEST_WAIT);
    for tried in 1..TRIES {
        match once(REQUEST * tried, request()).await {
            Err(error) if passes(&error) => {
                tracing::debug!(%error, "asking etcd again");
                sleep(backoff.wait()).await;
            }
            ended => return ended,
        }
    }
    once(REQUEST * TRIES, request()).await
}

/// Waits for a request, and not longer than `limit`.
async fn once<T>(limit: Duration, request: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
    match timeout(limit, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(StoreError::Slow(limit)),
    }
}

/// One try of a request that is not to be made again.
pub(super) async fn promptly<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
    once(REQUEST, request).await
}

/// What lies at `key`.
pub(super) async fn read(kv: &KvClient, key: &str) -> Result<GetResponse, StoreError> {
    patiently(|| {
        let mut kv = kv.clone();
        async move { kv.get(key, None).await }
    })
    .await
}

/// Whether the same request over the same connection may go better.
pub(super) fn passes(error: &StoreError) -> bool {
    match error {
        StoreError::Slow(_) => true,
        StoreError::Etcd(Error::GRpcStatus(status)) => {
            PASSING.iter().any(|passing| status.message().contains(passing))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tonic::{Code, Status};

    use super::*;

    fn refusal(message: &str) -> Error {
        Error::GRpcStatus(Status::new(Code::Unknown, message))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_late_or_refused_for_the_moment_is_asked_for_again_and_given_longer() {
        let tries = Cell::new(0);
        let answer = patiently(|| {
            tries.set(tries.get() + 1);
            let this = tries.get();
            async move {
                match this {
                    1 => Err(refusal("etcdserver: too many requests")),
                    // Too late for the first try, not for the second.
                    _ => {
                        sleep(REQUEST * 3 / 2).await;
                        Ok(this)
                    }
                }
            }
        });
        assert_eq!(answer.await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_good_is_asked_for_once_and_what_is_never_answered_a_few_times() {
        let tries = Cell::new(0);
        let count = || tries.set(tries.get() + 1);
        let refused = patiently(|| {
            count();
            async { Err::<(), _>(refusal("etcdserver: permission denied")) }
        });
        assert!(matches!(refused.await, Err(StoreError::Etcd(_))));
        assert_eq!(tries.replace(0), 1);
        let late = patiently(|| {
            count();
            std::future::pending::<Result<(), Error>>()
        });
        assert!(matches!(late.await, Err(StoreError::Slow(_))));
        assert_eq!(tries.get(), TRIES);
    }
}
