//! Garbage collection by itself: after publications, and so seldom that nobody feels it.

use std::time::Duration;

use selvedge_topology::plan::Generation;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::Desired;
use crate::store::{Garbage, Kept, Retention, Store, StoreError};

/// The shortest pause between two collections.
const LEAST_PAUSE: Duration = Duration::from_secs(5);
/// A pause is so many times as long as the collection before it took.
const REST: u32 = 20;

/// A collection that was done.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Collected {
    /// How much is left.
    pub(in crate::server) kept: Kept,
    /// How many keys went.
    pub(in crate::server) removed: usize,
    /// When it ended.
    pub(in crate::server) at: Instant,
}

impl Desired {
    /// Collects after publications, for ever, and tells `done` of the last time.
    pub(in crate::server) async fn keep_clean(
        &self,
        store: &Store,
        retention: Retention,
        done: &watch::Sender<Option<Collected>>,
    ) {
        let mut published = self.current.subscribe();
        // What an earlier leader left is as good a reason as a publication.
        published.mark_changed();
        while published.changed().await.is_ok() {
            let begun = Instant::now();
            match self.collect(store, retention).await {
                Ok(collected) => {
                    let Collected { kept: Kept { generations, manifests, chunks }, removed, at } = collected;
                    if removed > 0 {
                        let ms = (at - begun).as_millis() as u64;
                        info!(
                            removed,
                            generations, manifests, chunks, ms, "took away what nobody needs any more"
                        );
                    }
                    done.send_replace(Some(collected));
                }
                // The controller ends with its leadership.
                Err(StoreError::Deposed) => return,
                // A publication is in doubt. The one that settles it comes here as well.
                Err(StoreError::Conflict) => {}
                Err(error) => {
                    warn!(%error, "could not take away what nobody needs any more; trying again");
                    published.mark_changed();
                }
            }
            sleep(LEAST_PAUSE.max(begun.elapsed() * REST)).await;
        }
    }

    /// Collects once. Publications wait for single transactions of it, and never for the whole.
    async fn collect(&self, store: &Store, retention: Retention) -> Result<Collected, StoreError> {
        self.working.lock().await.fresh.begin();
        let swept = self.mark_and_sweep(store, retention).await;
        self.working.lock().await.fresh.end();
        let (Garbage { kept, .. }, removed) = swept?;
        Ok(Collected { kept, removed, at: Instant::now() })
    }

    async fn mark_and_sweep(
        &self,
        store: &Store,
        retention: Retention,
    ) -> Result<(Garbage, usize), StoreError> {
        let garbage = store.find_garbage(retention).await?;
        let mut removed = 0;
        for batch in garbage.batches() {
            let working = self.working.lock().await;
            let newest = self.current().map_or(Generation(0), |current| current.generation);
            removed += store.sweep(self.fence, newest, &batch, &working.fresh).await?;
        }
        Ok((garbage, removed))
    }
}
