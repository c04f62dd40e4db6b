//! Following what agents say of themselves.

use std::time::Duration;

use etcd_client::{EventType, WatchOptions};
use selvedge_proto::{Report, keys};
use selvedge_topology::names::NodeName;
use tracing::warn;

use super::{Store, StoreError};

/// How long to wait before a broken watch is begun anew.
const RETRY_AFTER: Duration = Duration::from_secs(1);

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
    while let Some(response) = watch.message().await? {
        if response.canceled() {
            return Ok(());
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
