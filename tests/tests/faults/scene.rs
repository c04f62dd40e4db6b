//! One fault under traffic: policy changes before, while and after it, and every packet is judged by what was in force.

use std::time::{Duration, Instant};

use selvedge_proto::wire::{self, ApplyOutcome, NodeState};
use selvedge_topology::documents::SourceFile;

use super::site::{Seat, Site};
use crate::live::capture::Capture;
use crate::live::fabric::AGENTS;
use crate::live::flows::{self, Class, Flow};
use crate::live::ledger::{self, Connections, Ledger, Outage};
use crate::live::sets::Set;
use crate::live::timeline::{Interval, Moment, Timeline};
use crate::live::traffic::{Failure, Phase, Traffic};

/// How long each set stays at least.
const HOLD: Duration = Duration::from_millis(150);
/// No fabric takes longer to converge once its fault is over.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often something that should come is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a fault came to.
pub(crate) struct Outcome {
    pub(crate) ledger: Ledger,
    /// From the end of the fault until the newest policy was in force everywhere, at worst.
    pub(crate) converged: Duration,
    /// Whatever else went wrong.
    pub(crate) failures: Vec<String>,
}

/// A fabric under traffic, for the length of one fault.
pub(crate) struct Scene<'a> {
    pub(crate) site: &'a mut Site,
    sets: &'a [Set],
    flows: &'a [Flow],
    traffic: Traffic,
    capture: Capture,
    timeline: Timeline,
    outages: Vec<Outage>,
    /// The set in force, or on its way, and since when it is known to be in force.
    phase: Phase,
    confirmed: Moment,
    converged: Duration,
    /// Who leads.
    pub(crate) seat: Seat,
}

impl<'a> Scene<'a> {
    /// Puts the first set in force, and starts traffic.
    pub(crate) async fn begin(site: &'a mut Site, sets: &'a [Set], flows: &'a [Flow]) -> Self {
        let seat = Seat::First;
        let generation = apply(site, seat, &sets[0]).await;
        in_force(site, seat, generation).await;
        let capture = Capture::start(&flows::places(flows));
        let (phase, confirmed) = (Phase { number: 0, set: 0 }, Moment::now());
        let traffic = Traffic::start(flows, phase);
        let (timeline, converged) = (Timeline::default(), Duration::ZERO);
        let outages = Vec::new();
        let mut scene = Self {
            site,
            sets,
            flows,
            traffic,
            capture,
            timeline,
            outages,
            phase,
            confirmed,
            converged,
            seat,
        };
        scene.hold().await;
        scene
    }

    /// Leaves everything as it is for a moment.
    pub(crate) async fn hold(&mut self) {
        tokio::time::sleep(HOLD).await;
    }

    /// From here on the next set may be in force, on some nodes or all.
    pub(crate) fn leave(&mut self) -> &'a Set {
        let (set, confirmed) = (self.phase.set, self.confirmed);
        self.timeline.0.push(Interval { set, confirmed, next_applied: Moment::now() });
        let number = self.phase.number + 1;
        self.phase = Phase { number, set: number % self.sets.len() };
        &self.sets[self.phase.set]
    }

    /// The fault is over: the set that was begun with [`Self::leave`] gets in force everywhere, by itself but for whoever
    /// applies it again where no answer came.
    pub(crate) async fn converge(&mut self) {
        let begun = Instant::now();
        let set = &self.sets[self.phase.set];
        let generation = apply(self.site, self.seat, set).await;
        in_force(self.site, self.seat, generation).await;
        self.confirmed = Moment::now();
        self.converged = self.converged.max(begun.elapsed());
        self.traffic.enter(self.phase);
        self.hold().await;
    }

    /// Changes policy.
    pub(crate) async fn change(&mut self) {
        self.leave();
        self.converge().await;
    }

    /// Since `from` until now, the fault itself dropped packets of those flows.
    pub(crate) fn excuse(&mut self, from: Moment, connections: Connections, hit: impl Fn(&Flow) -> bool) {
        let flows = self.flows.iter().filter(|flow| hit(flow)).map(|flow| flow.ends).collect();
        self.outages.push(Outage { from, until: Moment::now(), connections, flows });
    }

    /// Asks for a set, once; what the controller answers.
    pub(crate) async fn try_apply(&self, seat: Seat, set: &Set) -> Result<u64, String> {
        try_apply(self.site, seat, &set.files).await
    }

    /// The same of documents that are in no set.
    pub(crate) async fn ask(&self, seat: Seat, files: &[SourceFile]) -> Result<u64, String> {
        try_apply(self.site, seat, files).await
    }

    /// The set in force, or on its way.
    pub(crate) fn set(&self) -> &'a Set {
        &self.sets[self.phase.set]
    }

    /// Waits until `selvedge status` says what is so.
    pub(crate) async fn told(&mut self, what: &str, so: impl Fn(&wire::StatusResponse) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::new();
        while Instant::now() < deadline {
            match status(self.site, self.seat, 0).await {
                Ok(status) if so(&status) => return,
                Ok(status) => last = format!("{status:#?}"),
                Err(error) => last = error,
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("status does not tell that {what}: {last}");
    }

    /// Ends traffic and judges.
    pub(crate) async fn end(mut self) -> Outcome {
        self.hold().await;
        let (set, confirmed) = (self.phase.set, self.confirmed);
        self.timeline.0.push(Interval { set, confirmed, next_applied: Moment::now() });
        let failed = self.traffic.finish();
        let seen = self.capture.finish();
        let lost = |failure: &Failure| self.outages.iter().any(|outage| outage.broke(&failure.ends));
        let failed = failed.into_iter().filter(|failure| !lost(failure));
        let mut failures: Vec<String> = failed.map(|failure| failure.text).collect();
        if seen.missed > 0 {
            failures.push(format!("{} packets passed unseen", seen.missed));
        }
        let ledger = ledger::judge(self.flows, &self.timeline, &self.outages, seen);
        for (class, least) in [(Class::Always, 100), (Class::Never, 10), (Class::Flips, 10)] {
            let judged = ledger.sum(class, |account| account.due + account.forbidden);
            if judged < least {
                failures.push(format!("only {judged} packets of flows that are allowed {class} were judged"));
            }
        }
        Outcome { ledger, converged: self.converged, failures }
    }
}

/// The state of a node, as status has it.
pub(crate) fn state(status: &wire::StatusResponse, node: &str) -> NodeState {
    status.nodes.iter().find(|told| told.node == node).map_or(NodeState::Unspecified, wire::NodeStatus::state)
}

/// Whether that is the state of every node.
pub(crate) fn every(status: &wire::StatusResponse, wanted: NodeState) -> bool {
    AGENTS.iter().all(|node| state(status, node) == wanted)
}

async fn try_apply(site: &Site, seat: Seat, files: &[SourceFile]) -> Result<u64, String> {
    let file =
        |file: &SourceFile| wire::SourceFile { name: file.name.clone(), text: file.text.clone(), line: 1 };
    let files = files.iter().map(file).collect();
    let request = wire::ApplyRequest { files, ..wire::ApplyRequest::default() };
    let mut api = site.api(seat).await.map_err(|error| format!("{error:?}"))?;
    let answer = api.apply(request).await.map_err(|status| status.message().to_owned())?.into_inner();
    match answer.outcome() {
        ApplyOutcome::Applied | ApplyOutcome::Unchanged => Ok(answer.generation),
        other => panic!("{other:?}: {:#?}", answer.diagnostics),
    }
}

/// Applies a set, as often as it takes.
async fn apply(site: &mut Site, seat: Seat, set: &Set) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match try_apply(site, seat, &set.files).await {
            Ok(generation) => return generation,
            Err(error) => assert!(Instant::now() < deadline, "the controller does not apply: {error}"),
        }
        site.supervise();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn status(site: &Site, seat: Seat, generation: u64) -> Result<wire::StatusResponse, String> {
    let mut api = site.api(seat).await.map_err(|error| error.to_string())?;
    let wait_ms = if generation == 0 { 0 } else { 1000 };
    let answer = api.status(wire::StatusRequest { generation, wait_ms }).await;
    answer.map(tonic::Response::into_inner).map_err(|status| status.to_string())
}

/// Waits until a generation is in force on every node.
async fn in_force(site: &mut Site, seat: Seat, generation: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = status(site, seat, generation).await;
        let is = |status: &wire::StatusResponse| {
            let all = status.nodes.iter().all(|node| node.state() == NodeState::InForce);
            all && status.nodes.len() == AGENTS.len() && status.generation == generation
        };
        match told {
            Ok(status) if is(&status) => return,
            told => assert!(Instant::now() < deadline, "generation {generation} is not in force: {told:#?}"),
        }
        site.supervise();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
