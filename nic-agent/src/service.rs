//! The agent as a service: one loop that waits for whatever may change what is right, and converges.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rtnetlink::Handle;
use selvedge_proto::Report;
use selvedge_topology::names::NodeName;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until};

use crate::datapath::{Datapath, Sweep};
use crate::engine::{Engine, Progress, REPORT_EVERY, Tallies};
use crate::flows::{Directory, Lost};
use crate::machine::{self, ClaimEvents, LinkEvents, MachineError, RawInterface, Tuned, Tuner};
use crate::retry::{Backoff, Later};
use crate::store::StoreEvent;

/// The longest wait before something that failed is tried again.
const LONGEST_RETRY: Duration = Duration::from_secs(10);
/// The longest wait before a NIC is asked again for what it refused. Nothing depends on it but time.
const LONGEST_NIC_RETRY: Duration = Duration::from_secs(60);
/// The longest wait before a port is tried again in a mode that the kernel refused. Each try exchanges its program.
const LONGEST_MODE_RETRY: Duration = Duration::from_secs(300);

/// SIGTERM and SIGINT, caught from the moment this is made.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What may change what is right.
pub(crate) struct Sources {
    pub(crate) offers: mpsc::Receiver<StoreEvent>,
    pub(crate) links: LinkEvents,
    pub(crate) claims: ClaimEvents,
    pub(crate) stop: Stop,
    /// How often everything is read back, whether or not anything is known to have changed.
    pub(crate) verify_every: Duration,
}

/// What the tasks around the loop are told, and count.
pub(crate) struct Outlets {
    pub(crate) reports: watch::Sender<Option<Report>>,
    pub(crate) names: watch::Sender<Arc<Directory>>,
    pub(crate) lost: Lost,
    pub(crate) sweeps: watch::Receiver<Sweep>,
}

/// The engine, the machine it asks about, and when to try again.
pub(crate) struct Service<D> {
    node: NodeName,
    engine: Engine<D>,
    netlink: Handle,
    outlets: Outlets,
    backoff: Backoff,
    retry: Option<Instant>,
    /// When NICs are asked again.
    nics: Later,
    /// When ports are tried again in better modes.
    modes: Later,
    /// The interfaces that were converged on.
    seen: Vec<RawInterface>,
    /// What may be changed of ports, where the user allows that.
    tuner: Option<Tuner>,
    /// The last complaint about etcd, so that an outage is one line in the log and not one a try.
    away: Option<String>,
}

impl<D: Datapath> Service<D> {
    pub(crate) fn new(node: NodeName, engine: Engine<D>, netlink: Handle, outlets: Outlets) -> Self {
        Self {
            node,
            engine,
            netlink,
            outlets,
            backoff: Backoff::new(LONGEST_RETRY),
            retry: None,
            nics: Later::new(LONGEST_NIC_RETRY),
            modes: Later::new(LONGEST_MODE_RETRY),
            seen: Vec::new(),
            tuner: None,
            away: None,
        }
    }

    /// Lets ports be changed so that they have what their best modes need.
    pub(crate) fn tuning(self) -> Self {
        Self { tuner: Some(Tuner::default()), ..self }
    }

    /// Serves until asked to stop, or netlink is gone.
    pub(crate) async fn serve(mut self, sources: Sources) -> io::Result<()> {
        let Sources { mut offers, mut links, mut claims, mut stop, verify_every } = sources;
        let mut report = interval(REPORT_EVERY);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut verify = interval_at(Instant::now() + verify_every, verify_every);
        verify.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.converge().await;
        loop {
            let retry = self.retry;
            tokio::select! {
                () = stop.asked() => break,
                Some(event) = offers.recv() => self.take(event).await,
                changed = links.changed() => self.look_again(changed).await?,
                changed = claims.changed() => self.look_again(changed).await?,
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => self.converge().await,
                () = self.nics.due() => {
                    self.engine.try_nics_again();
                    self.converge().await;
                }
                () = self.modes.due() => {
                    self.engine.try_modes_again();
                    self.converge().await;
                }
                _ = report.tick() => {
                    // An error is said by converging, which meets it too.
                    if self.engine.datapath().is_undisturbed().is_ok_and(|undisturbed| undisturbed) {
                        self.report();
                    } else {
                        self.converge().await;
                    }
                    if self.engine.is_outdone() {
                        self.converge().await;
                    }
                }
                _ = verify.tick() => {
                    self.engine.datapath().doubt();
                    self.converge().await;
                }
            }
        }
        let ports = self.engine.observed().attachments.len();
        tracing::info!(ports, "stopping; enforcement stays in place (selvedge-agent detach removes it)");
        Ok(())
    }

    async fn take(&mut self, event: StoreEvent) {
        match event {
            StoreEvent::Away(error) => return self.complain(error.to_string()),
            StoreEvent::AsBefore => {
                self.away = None;
                return;
            }
            StoreEvent::Offered(fetched) => self.engine.offer(*fetched),
            StoreEvent::Unfetchable { target, reason } => {
                tracing::warn!(generation = %target.generation, reason, "the plan can't be had; what is in force stays");
                self.engine.unfetchable(target, reason);
            }
            StoreEvent::Unreadable { reason } => {
                tracing::warn!(reason, "what is in force stays");
                self.engine.unreadable(reason);
            }
            StoreEvent::NoTarget => self.engine.no_target(),
        }
        self.away = None;
        self.converge().await;
    }

    fn complain(&mut self, error: String) {
        if self.away.as_ref() != Some(&error) {
            tracing::warn!(error, "nothing to be had from etcd; what is in force stays");
            self.away = Some(error);
        }
    }

    /// Most events (counters, flags, neighbours' doings) change nothing that matters here.
    async fn look_again(&mut self, changed: Option<()>) -> io::Result<()> {
        changed.ok_or_else(|| io::Error::other("netlink closed its socket"))?;
        match machine::interfaces(&self.netlink).await {
            Ok(interfaces) if interfaces == self.seen => {}
            Ok(interfaces) => {
                self.tell_new_claims(&interfaces);
                self.converge_on(Ok(interfaces)).await;
            }
            Err(error) => self.converge_on(Err(error)).await,
        }
        Ok(())
    }

    /// What a port that is attached to can do according to the kernel may decide what its NIC gets.
    fn tell_new_claims(&self, now: &[RawInterface]) {
        let attachments = &self.engine.observed().attachments;
        let is_port = |it: &&RawInterface| attachments.values().any(|port| port.index == Some(it.index));
        for RawInterface { name, index, seen, .. } in now.iter().filter(is_port) {
            let before = self.seen.iter().find(|before| before.index == *index);
            if before.is_some_and(|before| before.seen.xdp_features != seen.xdp_features) {
                let features = seen.xdp_features.as_deref().unwrap_or_default();
                tracing::info!(port = name, ?features, "the kernel claims other XDP features than before");
            }
        }
    }

    async fn converge(&mut self) {
        let interfaces = machine::interfaces(&self.netlink).await;
        self.converge_on(interfaces).await;
    }

    async fn converge_on(&mut self, interfaces: Result<Vec<RawInterface>, MachineError>) {
        let result = match interfaces {
            Ok(interfaces) => match self.tune(interfaces).await {
                Ok(interfaces) => self.converge_and_look(interfaces).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error.to_string()),
        };
        self.retry = match result {
            Ok(()) => {
                self.backoff.reset();
                None
            }
            Err(error) => {
                let wait = self.backoff.wait();
                tracing::error!(error, again_in_ms = wait.as_millis() as u64, "not as it should be");
                Some(Instant::now() + wait)
            }
        };
        self.nics.keep(self.engine.waits_for_nics());
        self.modes.keep(self.engine.waits_for_modes());
        let directory = Directory::new(&self.node, self.engine.plan(), self.engine.observed());
        self.outlets.names.send_replace(Arc::new(directory));
        self.report();
    }

    /// The interfaces after what is to be changed of ports that are about to be attached to.
    async fn tune(&mut self, interfaces: Vec<RawInterface>) -> Result<Vec<RawInterface>, String> {
        let Some(tuner) = &mut self.tuner else { return Ok(interfaces) };
        tokio::task::block_in_place(|| self.engine.observe(&interfaces))
            .map_err(|error| error.to_string())?;
        let mut tuned = Tuned::AsItWas;
        for interface in &interfaces {
            let Some(demand) = self.engine.about_to_attach(interface) else { continue };
            let one = tuner.tune(&self.netlink, self.engine.profiles(), interface, &demand).await;
            tuned = if one == Tuned::Changed { one } else { tuned };
        }
        match tuned {
            Tuned::AsItWas => Ok(interfaces),
            Tuned::Changed => machine::interfaces(&self.netlink).await.map_err(|error| error.to_string()),
        }
    }

    async fn converge_and_look(&mut self, interfaces: Vec<RawInterface>) -> Result<(), String> {
        let result = tokio::task::block_in_place(|| self.engine.converge(&interfaces));
        if !matches!(result, Ok(Progress::Settled)) {
            // For the report only. What is new in it was not converged on: the event that tells of it is still to come.
            let now = machine::interfaces(&self.netlink).await.map_err(|error| error.to_string())?;
            tokio::task::block_in_place(|| self.engine.observe(&now)).map_err(|error| error.to_string())?;
        }
        self.seen = interfaces;
        result.map(drop).map_err(|error| error.to_string())
    }

    fn report(&mut self) {
        let Outlets { reports, lost, sweeps, .. } = &self.outlets;
        let Sweep { kept, half_open } = *sweeps.borrow();
        let tallies = Tallies {
            connections: kept.occupancy(),
            half_open: half_open.occupancy(),
            draining: kept.draining + half_open.draining,
            events_lost: lost.total(),
        };
        match self.engine.report(tallies, SystemTime::now()) {
            Ok(report) => drop(reports.send_replace(Some(report))),
            Err(error) => tracing::warn!(%error, "the counters can't be read"),
        }
    }
}
