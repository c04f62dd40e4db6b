//! What lies in etcd, and what a change writes there.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use etcd_client::{Client, GetOptions};
use selvedge_proto::keys;

/// Keys, and bytes of keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Tally {
    pub(crate) keys: usize,
    pub(crate) bytes: usize,
}

/// By the kind of key: what follows the prefix, up to the next slash.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Written(pub(crate) BTreeMap<String, Tally>);

/// Entries of one answer, so that none grows beyond what gRPC takes.
const PAGE: i64 = 500;

impl Written {
    /// Of one kind.
    pub(crate) fn of(&self, kind: &str) -> Tally {
        self.0.get(kind).copied().unwrap_or_default()
    }

    /// Of all kinds, but for what agents write.
    pub(crate) fn total(&self) -> Tally {
        let by_controller = self.0.iter().filter(|(kind, _)| *kind != "report");
        by_controller.fold(Tally::default(), |sum, (_, tally)| Tally {
            keys: sum.keys + tally.keys,
            bytes: sum.bytes + tally.bytes,
        })
    }
}

/// etcd's revision.
pub(crate) async fn revision(client: &mut Client) -> Result<i64> {
    let answer = client.get(keys::LEADER, None).await?;
    Ok(answer.header().context("every answer has a header")?.revision())
}

/// What was written after `revision` and is still there; after 0, all that is.
pub(crate) async fn since(client: &mut Client, revision: i64) -> Result<Written> {
    let mut written = Written::default();
    let mut from = keys::PREFIX.as_bytes().to_vec();
    let last = {
        let mut last = from.clone();
        *last.last_mut().context("a prefix is not empty")? += 1;
        last
    };
    loop {
        let options =
            GetOptions::new().with_range(last.clone()).with_limit(PAGE).with_min_mod_revision(revision + 1);
        let answer = client.get(from.clone(), Some(options)).await?;
        for pair in answer.kvs() {
            let key = pair.key_str()?;
            let kind = key.trim_start_matches(keys::PREFIX).split('/').next().unwrap_or_default();
            let tally = written.0.entry(kind.to_owned()).or_default();
            tally.keys += 1;
            tally.bytes += pair.key().len() + pair.value().len();
        }
        let Some(end) = answer.kvs().last().filter(|_| answer.more()) else { return Ok(written) };
        from = [end.key(), &[0]].concat();
    }
}
