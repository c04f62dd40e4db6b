//! `run`: the engine, and the tasks that feed it.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use selvedge_agent_core::{ForeignPrograms, lower};
use selvedge_proto::Report;
use selvedge_topology::names::PortName;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tonic::transport::Endpoint;
use tracing_subscriber::EnvFilter;

use super::endpoint::EndpointUrl;
use super::{Outcome, Place};
use crate::datapath::{KernelDatapath, Pins, Sweep, Sweeper};
use crate::engine::{Engine, Settings, Tallies};
use crate::flows::{self, Directory, Lost};
use crate::machine::{self, LinkEvents};
use crate::retry::Backoff;
use crate::store::{self, StateDir, StoreEvent};
use crate::surroundings;

/// How often the agent reports when nothing changes.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How often expired connections are deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(15);
/// The longest wait before something that failed is tried again.
const LONGEST_RETRY: Duration = Duration::from_secs(10);
/// Flows that wait for the controller; more are lost, and counted.
const QUEUED_FLOWS: usize = 8192;

/// Options of `run`.
#[derive(clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    place: Place,
    /// etcd's endpoints
    #[arg(long, value_name = "URL", value_delimiter = ',', required = true, env = "SELVEDGE_ETCD")]
    etcd: Vec<EndpointUrl>,
    /// The controller, which flows are told to; without one they are not told
    #[arg(long, value_name = "URL", env = "SELVEDGE_CONTROLLER")]
    controller: Option<EndpointUrl>,
    /// Where the last accepted plan is kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/selvedge")]
    state_dir: PathBuf,
    /// Take somebody else's XDP programs off the ports of the plan, instead of refusing it
    #[arg(long)]
    replace_foreign: bool,
    /// Shut these ports before there is a plan, treating them as uplinks until one says otherwise
    #[arg(long, value_name = "PORT", num_args = 1..)]
    fail_closed: Vec<PortName>,
}

impl Options {
    fn settings(&self) -> Settings {
        let endpoints = self.etcd.iter().chain(&self.controller);
        Settings {
            node: self.place.node.clone(),
            fail_closed: self.fail_closed.iter().cloned().collect(),
            failsafe: endpoints.filter_map(EndpointUrl::failsafe).collect(),
            foreign: if self.replace_foreign { ForeignPrograms::Replace } else { ForeignPrograms::Refuse },
        }
    }
}

pub(super) fn run(options: Options) -> Outcome {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,aya=error"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr).init();
    surroundings::check()?;
    let pins = Pins::prepare(&options.place.bpffs, &options.place.node)?;
    let _lock = pins.lock()?;
    let state = StateDir::open(&options.state_dir, &options.place.node)?;
    let datapath = KernelDatapath::open(pins)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(options, state, datapath))
}

/// What the loop listens to and tells.
struct Agent {
    engine: Engine<KernelDatapath>,
    netlink: rtnetlink::Handle,
    reports: watch::Sender<Option<Report>>,
    names: watch::Sender<Arc<Directory>>,
    lost: Lost,
    sweeps: watch::Receiver<Sweep>,
    backoff: Backoff,
    retry: Option<Instant>,
    settings: Settings,
}

async fn serve(options: Options, state: StateDir, datapath: KernelDatapath) -> Outcome {
    let settings = options.settings();
    let node = settings.node.clone();
    let (ring, sweeper) = (datapath.events()?, datapath.sweeper()?);
    let (netlink, links) = machine::watch()?;
    let engine = Engine::new(settings.clone(), datapath, state.clone())?;
    let (reports, to_publish) = watch::channel(None);
    let names = watch::Sender::new(Arc::new(Directory::new(&node, None, engine.observed())));
    let (sweeps_in, sweeps) = watch::channel(Sweep::default());
    let lost = Lost::default();
    let (queue, flows) = mpsc::channel(QUEUED_FLOWS);
    let (offers_in, offers) = mpsc::channel(4);
    let endpoints: Vec<String> = options.etcd.iter().map(|url| url.uri().to_string()).collect();

    tokio::spawn(store::follow(endpoints.clone(), node.clone(), state, offers_in));
    tokio::spawn(store::publish_reports(endpoints, node.clone(), to_publish));
    tokio::spawn(flows::read_ring(ring, names.subscribe(), queue, lost.clone()));
    match options.controller.map(|url| Endpoint::from(url.uri().clone())) {
        Some(controller) => tokio::spawn(flows::export(controller, node, flows, lost.clone())),
        None => tokio::spawn(flows::discard(flows)),
    };
    tokio::spawn(sweep_forever(sweeper, sweeps_in));

    let backoff = Backoff::new(LONGEST_RETRY);
    Agent { engine, netlink, reports, names, lost, sweeps, backoff, retry: None, settings }
        .serve(offers, links)
        .await
}

impl Agent {
    async fn serve(mut self, mut offers: mpsc::Receiver<StoreEvent>, mut links: LinkEvents) -> Outcome {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut report = interval(REPORT_EVERY);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.converge().await;
        loop {
            let retry = self.retry;
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Some(event) = offers.recv() => if self.take(event) { self.converge().await },
                changed = links.changed() => {
                    changed.ok_or("netlink closed its socket")?;
                    self.converge().await;
                }
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => self.converge().await,
                _ = report.tick() => self.report(),
            }
        }
        let ports = self.engine.observed().attachments.len();
        tracing::info!(ports, "stopping; enforcement stays in place (selvedge-agent detach removes it)");
        Ok(ExitCode::SUCCESS)
    }

    /// Takes note of what etcd says, and says whether there is something to do.
    fn take(&mut self, event: StoreEvent) -> bool {
        match event {
            StoreEvent::Offered(fetched) => {
                self.engine.offer(*fetched);
                return true;
            }
            StoreEvent::Unfetchable { target, reason } => {
                tracing::warn!(generation = %target.generation, reason, "the plan can't be had; what is in force stays");
                self.engine.unfetchable(target, reason);
            }
            StoreEvent::NoTarget => self.engine.no_target(),
            StoreEvent::Away(error) => {
                tracing::warn!(%error, "no connection to etcd; what is in force stays");
                return false;
            }
        }
        self.report();
        false
    }

    async fn converge(&mut self) {
        let result = match machine::interfaces(&self.netlink).await {
            Ok(interfaces) => tokio::task::block_in_place(|| self.engine.converge(&interfaces))
                .map_err(|error| error.to_string()),
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
        let directory = Directory::new(&self.settings.node, self.engine.plan(), self.engine.observed());
        self.names.send_replace(Arc::new(directory));
        self.report();
    }

    fn report(&mut self) {
        let tallies = Tallies { connections: self.sweeps.borrow().live, events_lost: self.lost.total() };
        match self.engine.report(tallies, SystemTime::now()) {
            Ok(report) => drop(self.reports.send_replace(Some(report))),
            Err(error) => tracing::warn!(%error, "the counters can't be read"),
        }
    }
}

/// Sweeps until nobody wants to know what it found.
async fn sweep_forever(mut sweeper: Sweeper, found: watch::Sender<Sweep>) {
    let mut due = interval(SWEEP_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !found.is_closed() {
        due.tick().await;
        match tokio::task::block_in_place(|| sweeper.sweep(&lower::TIMEOUTS)) {
            Ok(sweep) => drop(found.send_replace(sweep)),
            Err(error) => tracing::warn!(%error, "expired connections can't be deleted"),
        }
    }
}
