//! Following what agents say of themselves, without a gap.
//!
//! A watch begins behind the revision of a listing. Where that is not to be had any more (etcd has compacted its history, cancelled
//! the watch, or was restored from an older snapshot, so that its revisions have gone back), a new listing is made.

use std::time::Duration;

use etcd_client::{EventType, WatchOptions};
use selvedge_proto::{Report, keys};
use selvedge_topology::names::NodeName;
use tokio::time::timeout;
use tracing::warn;

use super::{Store, StoreError};

/// How long to wait before a broken watch is begun anew.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Agents report every few seconds. A watch that is silent for so long may be dead, or wait behind a `grpc-proxy` for a revision
/// that a restored etcd has not reached again.
const SILENT: Duration = Duration::from_secs(60);

/// A change of a report.
#[derive(Debug)]
pub enum ReportChange {
    /// Everything before is void: a new listing begins.
    Reset,
    /// A report that lay there when the listing was made. How old it is, only its own time says.
    Found(Report),
    /// A report that was just written.
    Written(Report),
    /// A report that is no more.
    Gone(NodeName),
}

/// Follows reports for ever, through whatever happens to etcd, and tells `sink`.
pub async fn watch_reports(store: Store, mut sink: impl FnMut(ReportChange)) {
    loop {
        if let Err(error) = follow(&store, &mut sink).await {
            warn!(%error, "lost sight of the agents' reports; looking again");
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn follow(store: &Store, sink: &mut impl FnMut(ReportChange)) -> Result<(), StoreError> {
    let (pairs, revision) = store.list(keys::REPORTS).await?;
    sink(ReportChange::Reset);
    for (key, value) in pairs {
        if let Some(report) = read(&key, &value) {
            sink(ReportChange::Found(report));
        }
    }
    let options = WatchOptions::new().with_prefix().with_start_revision(revision + 1);
    let mut watch = store.watch().watch(keys::REPORTS, Some(options)).await?;
    while let Ok(response) = timeout(SILENT, watch.message()).await {
        let Some(response) = response?.filter(|response| !response.canceled()) else { return Ok(()) };
        if response.created() && response.header().is_some_and(|header| header.revision() < revision) {
            // This member lags, or all have forgotten.
            store.require_revision(revision).await?;
        }
        for event in response.events() {
            let Some(pair) = event.kv() else { continue };
            match event.event_type() {
                EventType::Put => {
                    if let Some(report) = read(pair.key(), pair.value()) {
                        sink(ReportChange::Written(report));
                    }
                }
                EventType::Delete => sink(ReportChange::Gone(keys::parse_report(pair.key())?)),
            }
        }
    }
    Ok(())
}

/// Reads a report; one that can't be read, or that speaks for another node, is passed over with a warning.
fn read(key: &[u8], value: &[u8]) -> Option<Report> {
    let shown = String::from_utf8_lossy(key);
    let node = keys::parse_report(key).map_err(|error| warn!(%error, "strange key among reports")).ok()?;
    let report =
        Report::decode(value).map_err(|error| warn!(key = %shown, %error, "unreadable report")).ok()?;
    if report.node != node {
        warn!(key = %shown, node = %report.node, "a report speaks for another node; ignored");
        return None;
    }
    Some(report)
}
