//! `run`: the engine, and the tasks that feed it.

use std::io::IsTerminal;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::value_parser;
use selvedge_abi::{DEFAULT_CONNECTIONS, DEFAULT_HALF_OPEN};
use selvedge_agent_core::ForeignPrograms;
use selvedge_hw_profiles::{ProfileError, Profiles};
use selvedge_topology::names::PortName;
use selvedge_trust::Anchor;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tonic::transport::Endpoint;
use tracing_subscriber::EnvFilter;

use super::endpoint::EndpointUrl;
use super::reach::Reach;
use super::{Outcome, Place};
use crate::datapath::{KernelDatapath, Pins, Sizes, Sweep, Sweeper};
use crate::engine::{Engine, Settings};
use crate::flows::{self, Directory, Lost};
use crate::machine::ClaimEvents;
use crate::membership::{self, Credentials, Membership};
use crate::service::{Outlets, Service, Sources, Stop};
use crate::store::{self, Access, Following, StateDir};
use crate::sys::heap;
use crate::{machine, surroundings};

/// How often expired connections are deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(15);
/// Flows that wait for the controller; more are lost, and counted.
const QUEUED_FLOWS: usize = 8192;

/// What a table of connections may have room for: four million take half a GiB.
const ROOM: RangeInclusive<i64> = 1 << 10..=1 << 22;

/// Options of `run`.
#[derive(clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    pub(super) place: Place,
    /// etcd's endpoints, where they are others than the enrolment token said
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "SELVEDGE_ETCD")]
    pub(super) etcd: Vec<EndpointUrl>,
    /// The controller, which flows are told to, where it is another than the enrolment token said
    #[arg(long, value_name = "URL", env = "SELVEDGE_CONTROLLER")]
    pub(super) controller: Option<EndpointUrl>,
    /// Where the last accepted plan is kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/selvedge", env = "SELVEDGE_STATE_DIR")]
    pub(super) state_dir: PathBuf,
    /// Encrypt nothing and show nobody who this is: --etcd and --controller are http:// URLs. For trials and labs
    #[arg(long, requires = "etcd", env = "SELVEDGE_INSECURE")]
    pub(super) insecure: bool,
    /// What the node trusts, where it is something else than the enrolment token said: the fabric and the public key that
    /// signs for it, as `selvedge-controller init` wrote it. What is not signed by that key is refused
    #[arg(long, value_name = "FILE", env = "SELVEDGE_FABRIC")]
    fabric: Option<PathBuf>,
    /// Take somebody else's XDP programs off the ports of the plan, instead of refusing it
    #[arg(long)]
    replace_foreign: bool,
    /// Change what keeps a port from its best mode before attaching there: its MTU, LRO, numbers of channels
    #[arg(long)]
    tune: bool,
    /// A folder of hardware profiles; they go before those that come with the agent
    #[arg(long, value_name = "DIR", env = "SELVEDGE_PROFILES")]
    profiles: Option<PathBuf>,
    /// Shut these ports before there is a plan, treating them as uplinks until one says otherwise
    #[arg(long, value_name = "PORT", num_args = 1..)]
    fail_closed: Vec<PortName>,
    /// Connections to have room for, 128 bytes each. Tables that are there keep their size until `detach`
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CONNECTIONS, value_parser = value_parser!(u32).range(ROOM), env = "SELVEDGE_CONNECTIONS")]
    connections: u32,
    /// Room for connections whose opener has not gone on after an answer; when it is full they give way to each other
    #[arg(long, value_name = "N", default_value_t = DEFAULT_HALF_OPEN, value_parser = value_parser!(u32).range(ROOM), env = "SELVEDGE_HALF_OPEN")]
    half_open: u32,
    /// How often all tables are read back, to find and mend what somebody else changed in them; 1s at least
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = verify_every, env = "SELVEDGE_VERIFY_EVERY")]
    verify_every: Duration,
}

fn verify_every(text: &str) -> Result<Duration, String> {
    let time: Duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time >= Duration::from_secs(1) { Ok(time) } else { Err("a second is the least".to_owned()) }
}

impl Options {
    fn sizes(&self) -> Sizes {
        let Self { connections, half_open, .. } = *self;
        Sizes { connections, half_open }
    }

    fn settings(&self, reach: &Reach) -> Result<Settings, ProfileError> {
        Ok(Settings {
            node: self.place.node.clone(),
            fail_closed: self.fail_closed.iter().cloned().collect(),
            services: reach.services.clone(),
            foreign: if self.replace_foreign { ForeignPrograms::Replace } else { ForeignPrograms::Refuse },
            profiles: Profiles::with_folder(self.profiles.as_deref())?,
        })
    }
}

pub(super) fn run(options: Options) -> Outcome {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,aya=error"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr).init();
    heap::give_back();
    surroundings::check()?;
    let (reach, membership) = Reach::of(&options)?;
    let settings = options.settings(&reach)?;
    let pins = Pins::prepare(&options.place.bpffs, &options.place.node)?;
    let _lock = pins.lock()?;
    let said = options.fabric.as_deref().map(Anchor::load).transpose()?;
    let anchor = said.or(membership.as_ref().map(|membership| membership.anchor));
    if anchor.is_none() {
        tracing::warn!(
            "plans are taken unsigned (no --fabric): whoever can write to etcd can change what is enforced"
        );
    }
    let state = StateDir::open(&options.state_dir, &options.place.node, anchor)?;
    let datapath = KernelDatapath::open(pins, options.sizes())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(options, (reach, membership), settings, (state, datapath)))
}

async fn serve(
    options: Options,
    (reach, membership): (Reach, Option<Membership>),
    settings: Settings,
    (state, datapath): (StateDir, KernelDatapath),
) -> Outcome {
    let stop = Stop::new()?;
    let node = settings.node.clone();
    let (ring, sweeper) = (datapath.events()?, datapath.sweeper()?);
    warn_of_sizes(options.sizes(), sweeper.sizes());
    let (netlink, links) = machine::watch()?;
    let claims = ClaimEvents::watch().await;
    let engine = Engine::new(settings, datapath, state.clone());
    let (reports, to_publish) = watch::channel(None);
    let names = watch::Sender::new(Arc::new(Directory::new(&node, None, engine.observed())));
    let (found, sweeps) = watch::channel(Sweep::default());
    let lost = Lost::default();
    let (queue, flows) = mpsc::channel(QUEUED_FLOWS);
    let (found_offers, offers) = mpsc::channel(4);
    let credentials = match membership {
        Some(membership) => {
            let (credentials, renewal) = membership::keep(membership);
            tokio::spawn(renewal);
            credentials
        }
        None => Credentials::none(),
    };
    let endpoints: Vec<String> = reach.etcd.iter().map(|url| url.uri().to_string()).collect();
    let access = Access { endpoints, credentials: credentials.clone() };

    let following =
        Following { node: node.clone(), anchor: state.anchor(), cache: state, events: found_offers };
    tokio::spawn(store::follow(access.clone(), following));
    tokio::spawn(store::publish_reports(access, node.clone(), to_publish, |report| {
        tracing::trace!(in_force = ?report.in_force, "the report is in etcd");
    }));
    tokio::spawn(flows::read_ring(ring, names.subscribe(), queue, lost.clone()));
    match reach.controller.map(|url| (Endpoint::from(url.uri().clone()), credentials)) {
        Some(controller) => tokio::spawn(flows::export(controller, node.clone(), flows, lost.clone())),
        None => tokio::spawn(flows::discard(flows)),
    };
    tokio::spawn(sweep_forever(sweeper, found));

    let outlets = Outlets { reports, names, lost, sweeps };
    let service = Service::new(node, engine, netlink, outlets);
    let service = if options.tune { service.tuning() } else { service };
    service.serve(Sources { offers, links, claims, stop, verify_every: options.verify_every }).await?;
    Ok(ExitCode::SUCCESS)
}

fn warn_of_sizes(wanted: Sizes, found: Sizes) {
    if wanted != found {
        let Sizes { connections, half_open } = found;
        tracing::warn!(
            connections,
            half_open,
            "tables of connections that are there keep their size; `selvedge-agent detach` before the next start makes way for others (and opens the ports)"
        );
    }
}

/// Sweeps until nobody wants to know what it found.
async fn sweep_forever(mut sweeper: Sweeper, found: watch::Sender<Sweep>) {
    let mut due = interval(SWEEP_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pressing = false;
    while !found.is_closed() {
        due.tick().await;
        match tokio::task::block_in_place(|| sweeper.sweep()) {
            Ok(sweep) => {
                let connections = sweep.kept.occupancy();
                if connections.is_pressing() && !pressing {
                    tracing::warn!(%connections, "the table of connections fills up; when it is full, new ones are refused (after `selvedge-agent detach`, which opens the ports, a start with --connections gives more room)");
                }
                pressing = connections.is_pressing();
                found.send_replace(sweep);
            }
            Err(error) => tracing::warn!(%error, "expired connections can't be deleted"),
        }
        if let Err(error) = tokio::task::block_in_place(|| sweeper.sweep_fragments()) {
            tracing::warn!(%error, "expired fragments can't be deleted");
        }
    }
}
