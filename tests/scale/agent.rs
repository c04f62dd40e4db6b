//! An agent of a simulated node: what `selvedge-agent run` is made of, but for netlink, rings and sweeps, over a [`StandIn`].

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use selvedge_agent::engine::{Engine, Progress, REPORT_EVERY, Settings, Tallies};
use selvedge_agent::store::{Access, Following, StateDir, StoreError, StoreEvent, follow, publish_reports};
use selvedge_agent_core::ForeignPrograms;
use selvedge_hw_profiles::Profiles;
use selvedge_proto::Report;
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::Generation;
use selvedge_trust::Anchor;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval_at};

use super::clock::Moment;
use super::stand_in::StandIn;

/// A generation on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Number of the node.
    pub(crate) node: usize,
    /// What is in force.
    pub(crate) generation: Generation,
    /// Since when it is.
    pub(crate) flipped: Moment,
    /// When etcd had acknowledged the report that says so.
    pub(crate) acknowledged: Moment,
}

/// What an agent outlives: the machine, and its disk.
pub(crate) struct Machine {
    pub(crate) number: usize,
    pub(crate) node: NodeName,
    /// As it is when no agent runs.
    pub(crate) data_path: StandIn,
}

/// What all agents of a crew have alike.
pub(crate) struct Common {
    pub(crate) access: Access,
    pub(crate) anchor: Anchor,
    pub(crate) profiles: Profiles,
    pub(crate) states: PathBuf,
    pub(crate) marks: mpsc::UnboundedSender<Mark>,
}

/// Runs the agent of a machine until `stop` is told or dropped; gives the machine back, as it is then.
pub(crate) async fn run(machine: Machine, common: Arc<Common>, mut stop: watch::Receiver<bool>) -> Machine {
    let Machine { number, node, data_path } = machine;
    let (anchor, folder) = (Some(common.anchor), &common.states);
    let state = StateDir::open(folder, &node, anchor).expect("the folder can be written to");
    let mut engine = Engine::new(settings(&node, &common.profiles), data_path, state.clone());
    let (found, mut offers) = mpsc::channel(4);
    let (reports, to_publish) = watch::channel(None);
    let flipped = Arc::new(Mutex::new((Generation(0), Moment::default())));
    let following = Following { node: node.clone(), anchor, cache: state, events: found };
    let follow = tokio::spawn(follow(common.access.clone(), following));
    let acknowledged = acknowledging(number, &flipped, &common.marks);
    let publish =
        tokio::spawn(publish_reports(common.access.clone(), node.clone(), to_publish, acknowledged));
    let first = Instant::now() + REPORT_EVERY.mul_f64(fastrand::f64());
    let mut due = interval_at(first, REPORT_EVERY);
    converge(&mut engine, &flipped, &reports);
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            Some(event) = offers.recv() => if take(&mut engine, &node, event) {
                converge(&mut engine, &flipped, &reports);
            },
            _ = due.tick() => report(&mut engine, &reports),
        }
    }
    for task in [follow, publish] {
        task.abort();
        let _aborted = task.await;
    }
    Machine { number, node, data_path: engine.datapath().clone() }
}

fn settings(node: &NodeName, profiles: &Profiles) -> Settings {
    Settings {
        node: node.clone(),
        fail_closed: BTreeSet::new(),
        services: Vec::new(),
        foreign: ForeignPrograms::Refuse,
        profiles: profiles.clone(),
    }
}

/// Marks each generation once, when the first report is in etcd that it is in force, and is what is wanted.
fn acknowledging(
    number: usize,
    flipped: &Arc<Mutex<(Generation, Moment)>>,
    marks: &mpsc::UnboundedSender<Mark>,
) -> impl Fn(&Report) + Send + use<> {
    let (flipped, marks, told) = (Arc::clone(flipped), marks.clone(), Mutex::new(None));
    move |report| {
        let Some(generation) = report.in_force.filter(|_| report.in_force == report.wanted) else { return };
        let acknowledged = Moment::now();
        let mut told = told.lock().expect("nobody panics with it");
        if *told == Some(generation) {
            return;
        }
        *told = Some(generation);
        let (newest, at) = *flipped.lock().expect("nobody panics with it");
        // A later one may be in force by now, and this one was before that.
        let flipped = if newest == generation { at } else { acknowledged };
        let _listened_to = marks.send(Mark { node: number, generation, flipped, acknowledged });
    }
}

/// Says the first time, and the second, the fourth and so on, that an agent had to do without etcd: they do it together.
fn say_away(node: &NodeName, error: &StoreError) {
    static TIMES: AtomicUsize = AtomicUsize::new(0);
    let times = TIMES.fetch_add(1, Ordering::Relaxed) + 1;
    if times.is_power_of_two() {
        eprintln!("{node}: {error} ({times} times so far, on all nodes)");
    }
}

/// Tells the engine what came of etcd; whether that may change anything. What should never happen here is said aloud.
fn take(engine: &mut Engine<StandIn>, node: &NodeName, event: StoreEvent) -> bool {
    match event {
        StoreEvent::Offered(fetched) => engine.offer(*fetched),
        StoreEvent::NoTarget => engine.no_target(),
        StoreEvent::AsBefore => return false,
        StoreEvent::Away(error) => {
            say_away(node, &error);
            return false;
        }
        StoreEvent::Unfetchable { target, reason } => {
            eprintln!("{node}: {reason}");
            engine.unfetchable(target, reason);
        }
        StoreEvent::Unreadable { reason } => {
            eprintln!("{node}: {reason}");
            engine.unreadable(reason);
        }
    }
    true
}

fn converge(
    engine: &mut Engine<StandIn>,
    flipped: &Mutex<(Generation, Moment)>,
    reports: &watch::Sender<Option<Report>>,
) {
    match engine.converge(&[]) {
        Ok(Progress::Settled) => {}
        Ok(Progress::Executed) => {
            engine.observe(&[]).expect("a data path in memory can be looked at");
        }
        Err(error) => eprintln!("{error}"),
    }
    *flipped.lock().expect("nobody panics with it") = engine.datapath().flipped;
    report(engine, reports);
}

fn report(engine: &mut Engine<StandIn>, reports: &watch::Sender<Option<Report>>) {
    let report = engine.report(Tallies::default(), SystemTime::now()).expect("nothing here counts");
    if let Some(refusal) = &report.refusal {
        eprintln!("{}: {}", report.node, refusal.reason);
    }
    reports.send_replace(Some(report));
}

/// How long a whole crew may take until all of it reported.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
