//! Asking etcd: again, where it says that it did nothing and that another try may go better.

use std::time::Duration;

use etcd_client::{Error, GetOptions, GetResponse, Txn, TxnResponse};
use tokio::time::sleep;
use tracing::debug;

use super::{Store, StoreError};

/// The wait after the first refusal; later ones double.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// With waits before them, of about six seconds together.
const TRIES: u32 = 8;
/// What etcd says where it refuses, before it does anything, what it may take a moment later (server/etcdserver/v3_server.go and
/// server/auth/store.go):
const PASSING: [&str; 2] = [
    // ErrTooManyRequests: it has agreed on more than it has applied.
    "too many requests",
    // ErrAuthOldRevision: its users or roles changed while the request was under way.
    "revision of auth store is old",
];

impl Store {
    /// What lies at `key`, or in the range that `options` make of it.
    pub(super) async fn read(
        &self,
        key: impl Into<Vec<u8>>,
        options: Option<GetOptions>,
    ) -> Result<GetResponse, StoreError> {
        let key = key.into();
        let read = || {
            let (mut kv, key, options) = (self.kv(), key.clone(), options.clone());
            async move { kv.get(key, options).await }
        };
        Ok(patiently(read).await?)
    }

    /// A transaction.
    pub(super) async fn carry_out(&self, txn: Txn) -> Result<TxnResponse, StoreError> {
        let carry_out = || {
            let (mut kv, txn) = (self.kv(), txn.clone());
            async move { kv.txn(txn).await }
        };
        Ok(patiently(carry_out).await?)
    }
}

/// Makes a request again for as long as etcd refuses it only for the moment.
async fn patiently<T, F: Future<Output = Result<T, Error>>>(
    mut request: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut wait = FIRST_WAIT;
    for _ in 1..TRIES {
        match request().await {
            Err(error) if passes(&error) => {
                debug!(%error, "etcd refuses for the moment; trying again");
                sleep(wait.mul_f64(1.0 - fastrand::f64() / 2.0)).await;
                wait *= 2;
            }
            ended => return ended,
        }
    }
    request().await
}

/// Whether another try may go better. Other refusals, such as for want of disk space, do not pass by waiting.
fn passes(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if PASSING.iter().any(|passing| status.message().contains(passing)))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tonic::Status;

    use super::*;

    fn overloaded() -> Error {
        Error::GRpcStatus(Status::resource_exhausted("etcdserver: too many requests"))
    }

    fn outdated() -> Error {
        Error::GRpcStatus(Status::invalid_argument("etcdserver: revision of auth store is old"))
    }

    #[tokio::test(start_paused = true)]
    async fn what_etcd_refused_for_the_moment_is_tried_again_for_some_seconds() {
        for refusal in [overloaded, outdated] {
            let tries = Cell::new(0);
            let request = |refusals: u32| {
                let tries = &tries;
                move || {
                    tries.set(tries.get() + 1);
                    std::future::ready(if tries.get() <= refusals { Err(refusal()) } else { Ok(()) })
                }
            };
            patiently(request(7)).await.unwrap();
            assert_eq!(tries.replace(0), 8);
            let begun = tokio::time::Instant::now();
            assert!(passes(&patiently(request(99)).await.unwrap_err()));
            assert_eq!(tries.replace(0), TRIES);
            assert!((3..=7).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_otherwise_is_not_tried_again() {
        let refusals = [
            Status::resource_exhausted("etcdserver: mvcc: database space exceeded"),
            Status::invalid_argument("etcdserver: duplicate key given in txn request"),
        ];
        for refusal in refusals {
            let tries = Cell::new(0);
            let refuse = || {
                tries.set(tries.get() + 1);
                std::future::ready(Err::<(), _>(Error::GRpcStatus(refusal.clone())))
            };
            patiently(refuse).await.unwrap_err();
            assert_eq!(tries.get(), 1);
        }
    }
}
