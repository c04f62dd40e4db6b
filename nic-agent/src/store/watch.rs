//! Following one key of etcd so that no change of it is missed, whatever becomes of the watch.
//!
//! A watch begins behind the revision at which the key was read. That alone is not enough:
//! - etcd compacts its history, or cancels a watch for reasons of its own: the watch says so, and is over.
//! - etcd was restored from an older snapshot: its revisions have gone back, and a watch from a later one would wait in
//!   silence until they have come that far again. What etcd says of itself when the watch begins shows it; where a
//!   `grpc-proxy` stands between, and keeps the watch through it all, only looking again does.
//! - a watch is lost without a word: looking again shows that too, and gives the value that it did not tell.
//!
//! So whoever follows a key gets its value, or an error that means: begin anew, by reading it. A watch that is late, because etcd or
//! this machine has too much to do, is not lost: what looking finds is told, and the watch has time to come to it.

use std::time::Duration;

use etcd_client::{
    Client, Event, EventType, GetResponse, KeyValue, ResponseHeader, WatchOptions, WatchResponse, WatchStream,
};
use tokio::time::{Instant, sleep_until};

use super::ask::{REQUEST, passes, promptly};
use super::etcd::StoreError;

/// How long a watch may take to tell of what was found by looking, before it is taken for dead.
const LATE: Duration = REQUEST.saturating_mul(3);

/// A key that is followed.
pub struct KeyWatch {
    client: Client,
    key: String,
    stream: WatchStream,
    /// The newest revision of etcd that was seen.
    revision: i64,
    /// The revision at which the key got the value that was told last; none: it has none.
    told: Option<i64>,
    /// Up to this revision, what became of the key was told, by the watch or by looking.
    known: i64,
    /// What was told while nobody listened.
    noted: Option<Option<Vec<u8>>>,
    look_every: Duration,
    look_at: Instant,
    standing: Standing,
    /// Looks in a row that had no answer in time.
    unanswered: u32,
}

/// What to think of a watch.
#[derive(Clone, Copy)]
enum Standing {
    /// It has told everything.
    Sound,
    /// It has not told yet what was found by looking, and is dead if it still has not by then.
    Doubted(Instant),
}

/// Looks without an answer after which another member is tried.
const UNANSWERED: u32 = 3;

impl KeyWatch {
    /// Reads `key`, and follows it from there. It is looked at again about every `look_every`, so that a watch that went
    /// dead without a word is found out.
    pub async fn open(
        client: &Client,
        key: String,
        look_every: Duration,
    ) -> Result<(Option<Vec<u8>>, Self), StoreError> {
        // A member that is down is not waited for.
        let answer = promptly(client.kv_client().get(key.as_str(), None)).await?;
        let (value, told) = split(&answer);
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
        let stream = promptly(client.watch_client().watch(key.as_str(), Some(options))).await?;
        let (client, look_at) = (client.clone(), Instant::now() + jittered(look_every));
        let mut watch = Self {
            client,
            key,
            stream,
            revision,
            told,
            known: revision,
            noted: None,
            look_every,
            look_at,
            standing: Standing::Sound,
            unanswered: 0,
        };
        let begun = promptly(watch.stream.message()).await?;
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
            if let Some(value) = self.noted.take() {
                return Ok(value);
            }
            let message = tokio::select! {
                // What the watch has told already is not looked for.
                biased;
                message = self.stream.message() => message?,
                () = sleep_until(self.look_at) => match self.look_again().await? {
                    Found::AsTold => continue,
                    Found::Untold(value) => return Ok(value),
                },
            };
            if let Some(value) = self.news(message)? {
                return Ok(value);
            }
        }
    }

    /// Why the watch is over, once it is. What it tells until then is noted for [`Self::changed`], the last of it only: this is for
    /// whoever is busy with the value before, over the same connection.
    pub(super) async fn ended(&mut self) -> StoreError {
        loop {
            let message = self.stream.message().await;
            match message.map_err(StoreError::from).and_then(|message| self.news(message)) {
                Ok(news) => self.noted = news.or(self.noted.take()),
                Err(error) => return error,
            }
        }
    }

    /// What the watch tells that was not told before: the value, or that it is no more.
    fn news(&mut self, message: Option<WatchResponse>) -> Result<Option<Option<Vec<u8>>>, StoreError> {
        let message = self.alive(message)?;
        self.revision = self.revision.max(revision(message.header()));
        let Some((event, pair)) = message.events().last().and_then(|event| Some((event, event.kv()?))) else {
            return Ok(None);
        };
        // It lives, and tells of everything in order: what it still owes comes.
        self.standing = Standing::Sound;
        if pair.mod_revision() <= self.known {
            return Ok(None);
        }
        self.known = pair.mod_revision();
        let pair = Some(pair).filter(|_| Event::event_type(event) == EventType::Put);
        self.told = pair.map(KeyValue::mod_revision);
        Ok(Some(pair.map(|pair| pair.value().to_vec())))
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

    /// Looks whether there is something that the watch should have told. If so, it is told instead, and the watch gets time to do so.
    async fn look_again(&mut self) -> Result<Found, StoreError> {
        self.look_at = Instant::now() + jittered(self.look_every);
        let answer = match self.look().await {
            Ok(answer) => answer,
            Err(error) if passes(&error) && self.unanswered < UNANSWERED => {
                self.unanswered += 1;
                self.look_at = Instant::now() + jittered(REQUEST);
                return Ok(Found::AsTold);
            }
            Err(error) => return Err(error),
        };
        self.unanswered = 0;
        let (value, now) = split(&answer);
        if let Standing::Doubted(until) = self.standing
            && until <= Instant::now()
        {
            let reason = "it did not tell of a change".to_owned();
            return Err(StoreError::WatchEnded { key: self.key.clone(), reason });
        }
        if now == self.told {
            if let Standing::Doubted(until) = self.standing {
                self.look_at = self.look_at.min(until);
            }
            return Ok(Found::AsTold);
        }
        if let Standing::Sound = self.standing {
            self.standing = Standing::Doubted(Instant::now() + LATE);
        }
        (self.told, self.known) = (now, self.revision);
        self.look_at = self.look_at.min(Instant::now() + LATE);
        Ok(Found::Untold(value))
    }

    /// The key now.
    async fn look(&mut self) -> Result<GetResponse, StoreError> {
        let answer = promptly(self.client.kv_client().get(self.key.as_str(), None)).await?;
        let now = revision(answer.header());
        if now < self.revision {
            return Err(StoreError::WentBack { from: self.revision, to: now });
        }
        self.revision = now;
        Ok(answer)
    }
}

/// What looking at the key shows.
enum Found {
    /// What was told last.
    AsTold,
    /// Another value, or that there is none any more.
    Untold(Option<Vec<u8>>),
}

/// The key's value, and the revision at which it got that.
fn split(answer: &GetResponse) -> (Option<Vec<u8>>, Option<i64>) {
    let pair = answer.kvs().first();
    (pair.map(|pair| pair.value().to_vec()), pair.map(KeyValue::mod_revision))
}

fn revision(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(0, ResponseHeader::revision)
}

/// From half of `time` to all of it: agents that began together do not look together.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(1.0 - fastrand::f64() / 2.0)
}
