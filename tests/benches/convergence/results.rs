//! Everything measured.

use std::collections::BTreeMap;
use std::time::Duration;

use selvedge_tests::scale::Size;
use serde::Serialize;

use crate::quantiles::Quantiles;
use crate::world::Taken;

/// One thing that was done many times.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) nodes: usize,
    pub(crate) workloads: usize,
    /// How often.
    pub(crate) changes: usize,
    /// From the call until the last node had it in force, in ms.
    pub(crate) in_force: Quantiles,
    /// And until etcd had acknowledged the last node's report of it.
    pub(crate) acknowledged: Quantiles,
    /// Median of the floor that belongs to it, in ms.
    pub(crate) floor_ms: Option<f64>,
    /// By name, with the unit in it.
    pub(crate) figures: BTreeMap<&'static str, f64>,
}

/// A figure of a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    /// Seconds from documents to plans.
    CompileSeconds,
    /// Milliseconds from the edit of one policy to plans.
    PolicyMs,
    /// And of one workload.
    WorkloadMs,
    /// The controller's largest resident memory, in GiB.
    ControllerGib,
    /// Milliseconds that the churn was behind when it ended.
    ChurnBehindMs,
}

/// One run, of one size.
pub(crate) struct Run {
    pub(crate) size: Size,
    pub(crate) cases: Vec<Case>,
    pub(crate) figures: BTreeMap<Figure, f64>,
}

impl Case {
    /// Of the time that each change took until it was in force, and acknowledged.
    pub(crate) fn new(name: &'static str, size: Size, times: &[[Duration; 2]]) -> Self {
        let of = |which: usize| Quantiles::of(&times.iter().map(|times| times[which]).collect::<Vec<_>>());
        let (in_force, acknowledged) = (of(0), of(1));
        let (nodes, workloads, changes) = (size.nodes, size.workloads, times.len());
        let (floor_ms, figures) = (None, BTreeMap::new());
        Self { name, nodes, workloads, changes, in_force, acknowledged, floor_ms, figures }
    }

    /// With the floor beside it.
    pub(crate) fn over(self, floor_ms: f64) -> Self {
        Self { floor_ms: Some(floor_ms), ..self }
    }

    /// With another figure.
    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Self {
        self.figures.insert(name, value);
        self
    }

    /// With what each change cost between two looks, on average.
    pub(crate) fn costing(self, before: &Taken, after: &Taken) -> Self {
        let changes = self.changes.max(1) as f64;
        let cpu =
            |of: fn(&Taken) -> Duration| of(after).saturating_sub(of(before)).as_secs_f64() * 1e3 / changes;
        let puts = "etcd_mvcc_put_total";
        self.with("controller_cpu_ms", cpu(|taken| taken.controller.cpu))
            .with("etcd_cpu_ms", cpu(|taken| taken.etcd.cpu))
            .with("agents_cpu_ms", cpu(|taken| taken.agents.cpu))
            .with("etcd_puts", (after.metrics.get(puts) - before.metrics.get(puts)) / changes)
            .with(
                "etcd_fsync_ms",
                after.metrics.mean_ms(&before.metrics, "etcd_disk_wal_fsync_duration_seconds"),
            )
    }
}

impl Run {
    /// The case of that name.
    pub(crate) fn case(&self, name: &str) -> Option<&Case> {
        self.cases.iter().find(|case| case.name == name)
    }
}
