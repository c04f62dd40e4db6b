//! How far the nodes are, and waiting for them.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime};

use selvedge_proto::{Target, wire};
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::SeenNode;

use super::Shared;
use super::apply::{Collected, Current};
use super::convert;
use crate::state::{NodeState, judge};
use crate::store::{Kept, ReportChange};

/// No wait is longer.
const MAX_WAIT: Duration = Duration::from_secs(3600);

impl Shared {
    /// Takes notice of a report.
    pub(super) fn sighted(&self, change: ReportChange) {
        let mut sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            ReportChange::Reset => sightings.clear(),
            ReportChange::Found(report) => sightings.found(report, Instant::now(), SystemTime::now()),
            ReportChange::Written(report) => sightings.written(report, Instant::now()),
            ReportChange::Gone(node) => sightings.gone(&node),
        }
        drop(sightings);
        self.moved.send_replace(());
    }

    /// What nodes last reported, however long ago: what a port can do does not change because nobody says it again.
    pub(super) fn seen(&self) -> BTreeMap<NodeName, SeenNode> {
        let sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        sightings.all().map(|report| (report.node.clone(), report.seen())).collect()
    }

    /// Answers at once, or when every node has it in force, one refuses, or the time is over.
    pub(super) async fn status_when(&self, request: wire::StatusRequest) -> wire::StatusResponse {
        let wire::StatusRequest { generation, wait_ms } = request;
        let deadline = tokio::time::Instant::now() + Duration::from_millis(wait_ms).min(MAX_WAIT);
        let (mut moved, mut stopping) = (self.moved.subscribe(), self.stopping.clone());
        loop {
            moved.mark_unchanged();
            let status = self.status_now();
            if tokio::time::Instant::now() >= deadline || settled(&status, generation) {
                return status;
            }
            tokio::select! {
                _ = moved.changed() => {}
                () = tokio::time::sleep_until(deadline) => {}
                _ = stopping.wait_for(|stop| *stop) => return status,
            }
        }
    }

    fn status_now(&self) -> wire::StatusResponse {
        let Some(current) = self.desired.current() else { return wire::StatusResponse::default() };
        let nodes =
            current.targets.iter().map(|(node, target)| self.node_status(&current, node, target)).collect();
        wire::StatusResponse { generation: current.generation.0, nodes, store: self.store_status() }
    }

    /// What there was to keep when garbage was last collected; nothing where that was never done.
    fn store_status(&self) -> Option<wire::StoreStatus> {
        let Collected { kept, removed, at } = (*self.collected.borrow())?;
        let Kept { generations, manifests, chunks } = kept;
        Some(wire::StoreStatus {
            generations: generations as u64,
            manifests: manifests as u64,
            chunks: chunks as u64,
            removed: removed as u64,
            age_ms: convert::millis(at.elapsed()),
        })
    }

    fn node_status(&self, current: &Current, node: &NodeName, target: &Target) -> wire::NodeStatus {
        let now = Instant::now();
        let sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        let sighting = sightings.of(node);
        let state = judge(target.generation, sighting, now);
        wire::NodeStatus {
            node: node.to_string(),
            role: current
                .roles
                .get(node)
                .map_or(wire::NodeRole::Unspecified, |role| convert::role(*role))
                .into(),
            state: convert::state(state).into(),
            generation_wanted: target.generation.0,
            report: sighting.map(|sighting| (&sighting.report).into()),
            age_ms: sighting.map_or(0, |sighting| convert::millis(sighting.age(now))),
        }
    }
}

/// Whether there is nothing left to wait for.
fn settled(status: &wire::StatusResponse, generation: u64) -> bool {
    let is = |node: &wire::NodeStatus, state| node.state == i32::from(convert::state(state));
    let refused = status.nodes.iter().any(|node| is(node, NodeState::Refused));
    let in_force = status.nodes.iter().all(|node| is(node, NodeState::InForce));
    status.generation != 0 && status.generation >= generation && (refused || in_force)
}
