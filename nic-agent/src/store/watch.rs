//! Following one key of etcd so that no change of it is missed, whatever becomes of the watch.
//!
//! A watch begins behind the revision at which the key was read. That alone is not enough:
//! - etcd compacts its history, or cancels a watch for reasons of its own: the watch says so, and is over.
//! - etcd was restored from an older snapshot: its revisions have gone back, and a watch from a later one would wait in
//!   silence until they have come that far again. What etcd says of itself when the watch begins shows it; where a
//!   `grpc-proxy` stands between, and keeps the watch through it all, only looking again does.
//! - a watch is lost without a word: looking again shows that too.
//!
//! So whoever follows a key gets its value, or an error that means: begin anew, by reading it.

use std::time::Duration;

use etcd_client::{Client, EventType, GetResponse, ResponseHeader, WatchOptions, WatchResponse, WatchStream};
use tokio::time::{Instant, sleep_until, timeout};

use super::etcd::{REQUEST, StoreError};

/// A key that is followed.
pub struct KeyWatch {
    client: Client,
    key: String,
    stream: WatchStream,
    /// The newest revision of etcd that was seen.
    revision: i64,
    /// The revision at which the key got the value that was told last; none: it has none.
    told: Option<i64>,
    look_every: Duration,
    look_at: Instant,
    standing: Standing,
}

/// What to think of a watch.
#[derive(Clone, Copy)]
enum Standing {
    /// It has told everything.
    Sound,
    /// It has not told yet what was found by looking.
    Doubted,
}

impl KeyWatch {
    /// Reads `key`, and follows it from there. It is looked at again about every `look_every`, so that a watch that went
    /// dead without a word is found out.
    pub async fn open(
        client: &Client,
        key: String,
        look_every: Duration,
    ) -> Result<(Option<Vec<u8>>, Self), StoreError> {
        let answer = read(client, &key).await?;
        let value = answer.kvs().first().map(|pair| pair.value().to_vec());
        let told = answer.kvs().first().map(etcd_client::KeyValue::mod_revision);
        let watch = Self::resume(client, key, revision(answer.header()), told, look_every).await?;
        Ok((value, watch))
    }

    /// Follows `key` from behind `revision`, when it had the value of revision `told`.
    pub async fn resume(
        client: &Client,
        key: String,
        revision: i64,
        told: Option<i64>,
        look_every: Duration,
    ) -> Result<Self, StoreError> {
        let options = WatchOptions::new().with_start_revision(revision + 1);
        let stream = timeout(REQUEST, client.watch_client().watch(key.as_str(), Some(options))).await??;
        let look_at = Instant::now() + jittered(look_every);
        let (client, standing) = (client.clone(), Standing::Sound);
        let mut watch = Self { client, key, stream, revision, told, look_every, look_at, standing };
        let begun = timeout(REQUEST, watch.stream.message()).await??;
        let begun = watch.alive(begun)?;
        if self::revision(begun.header()) < revision {
            // Restored from an older snapshot, or a member that lags: the whole cluster knows.
            watch.look().await?;
        }
        Ok(watch)
    }

    /// The key's next value; none: it is no more. Of several changes at once only the last is told.
    pub async fn changed(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        loop {
            let message = tokio::select! {
                message = self.stream.message() => message?,
                () = sleep_until(self.look_at) => {
                    self.look_again().await?;
                    continue;
                }
            };
            let message = self.alive(message)?;
            self.revision = self.revision.max(revision(message.header()));
            if let Some(event) = message.events().last() {
                let pair = event.kv().filter(|_| event.event_type() == EventType::Put);
                self.told = pair.map(etcd_client::KeyValue::mod_revision);
                return Ok(pair.map(|pair| pair.value().to_vec()));
            }
        }
    }

    fn alive(&self, message: Option<WatchResponse>) -> Result<WatchResponse, StoreError> {
        let ended = |reason: String| StoreError::WatchEnded { key: self.key.clone(), reason };
        let message = message.ok_or_else(|| ended("etcd closed it".to_owned()))?;
        if message.compact_revision() != 0 {
            return Err(ended(format!("etcd compacted its history up to {}", message.compact_revision())));
        }
        if message.canceled() {
            return Err(ended(format!("etcd cancelled it: {}", message.cancel_reason())));
        }
        Ok(message)
    }

    /// Looks whether there is something that the watch should have told. If so, it may be on its way, and gets a moment.
    async fn look_again(&mut self) -> Result<(), StoreError> {
        let as_told = self.look().await? == self.told;
        let (standing, wait) = match (as_told, self.standing) {
            (true, _) => (Standing::Sound, jittered(self.look_every)),
            (false, Standing::Sound) => (Standing::Doubted, REQUEST),
            (false, Standing::Doubted) => {
                let reason = "it did not tell of a change".to_owned();
                return Err(StoreError::WatchEnded { key: self.key.clone(), reason });
            }
        };
        (self.standing, self.look_at) = (standing, Instant::now() + wait);
        Ok(())
    }

    /// The revision of the key's value now.
    async fn look(&mut self) -> Result<Option<i64>, StoreError> {
        let answer = read(&self.client, &self.key).await?;
        let now = revision(answer.header());
        if now < self.revision {
            return Err(StoreError::WentBack { from: self.revision, to: now });
        }
        self.revision = now;
        Ok(answer.kvs().first().map(etcd_client::KeyValue::mod_revision))
    }
}

async fn read(client: &Client, key: &str) -> Result<GetResponse, StoreError> {
    Ok(timeout(REQUEST, client.kv_client().get(key, None)).await??)
}

fn revision(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(0, ResponseHeader::revision)
}

/// From half of `time` to all of it: agents that began together do not look together.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(1.0 - fastrand::f64() / 2.0)
}
