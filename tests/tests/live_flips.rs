//! Policy flips under traffic: nothing forbidden is delivered, nothing allowed is lost, at no moment.
//!
//! A lab of the demo's fabric, a real controller with etcd, an agent on every node. Documents flip between sets that allow
//! and deny the same flows, as fast as a generation is in force everywhere, while every flow carries packets. Each packet is
//! captured where it leaves and where it arrives, and is told from others by its sequence number; afterwards all are judged
//! by the oracle's word on the set that was in force when they left. Loss that is the kernel's own doing would show as a
//! loss: traffic is paced so that no queue fills, and the capture's sockets count what they had no room for.
//!
//! SELVEDGE_FLIPS says how often (`make live-flips`: 1,000). Needs root.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

mod live;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use live::capture::{Capture, Seen};
use live::fabric::{AGENTS, Api, Fabric};
use live::flows::{self, Class, Flow};
use live::ledger::{self, Ledger};
use live::sets::{self, Set};
use live::timeline::{Interval, Moment, Timeline};
use live::traffic::{Failure, Phase, Traffic};
use selvedge_lab::kernel::namespace::Namespace;

/// How long each set stays once it is in force everywhere: several packets of every flow that flips.
const HOLD: Duration = Duration::from_millis(25);
/// Two fabrics at a time would take each other's processors.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn a_policy_that_flips_delivers_nothing_forbidden_and_loses_nothing_allowed() {
    let flips = std::env::var("SELVEDGE_FLIPS").map_or(FLIPS, |flips| flips.parse().unwrap());
    let run = run("flips", flips, &[]);
    run.check();
}

#[test]
fn agents_killed_while_a_policy_flips_change_nothing_of_that() {
    let mut random = fastrand::Rng::with_seed(7);
    let kills: Vec<Kill> = (0..KILLS)
        .map(|number| Kill {
            flip: 4 + number * 3,
            node: AGENTS[random.usize(..AGENTS.len())],
            after: Duration::from_micros(random.u64(..60_000)),
        })
        .collect();
    let run = run("kills", 4 + KILLS * 3, &kills);
    run.check();
}

/// How often the policy flips in `make test`; `make live-flips` says more.
const FLIPS: usize = 300;
/// How many agents die.
const KILLS: usize = 14;

/// The end of an agent.
#[derive(Clone, Copy)]
struct Kill {
    /// In which flip.
    flip: usize,
    node: &'static str,
    /// How long after it was applied.
    after: Duration,
}

/// What a run showed.
struct Run {
    flips: usize,
    ledger: Ledger,
    missed: u64,
    failures: Vec<Failure>,
}

/// How long the steps of a flip took.
#[derive(Default)]
struct Times {
    apply: Vec<Duration>,
    in_force: Vec<Duration>,
}

fn run(what: &str, flips: usize, kills: &[Kill]) -> Run {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let sets = sets::all();
    let mut fabric = Fabric::up(what);
    let record = fabric.record();
    let flows = flows::all(&record, &sets);
    let controller = Namespace::open(&record.place("controller").unwrap().namespace).unwrap();
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(flip(&mut fabric, &sets, &flows, flips, kills))
    };
    let began = Instant::now();
    let (timeline, times, seen, failures) = controller.run(work).unwrap();
    let took = began.elapsed();
    assert_eq!(fabric.surprises(), [""; 0], "agents alone write their tables, and know what is in them");
    drop(fabric);
    let (missed, flips) = (seen.missed, timeline.0.len() - 1);
    let ledger = ledger::judge(&flows, &timeline, &[], seen);
    println!("{}", ledger.table());
    let rate = flips as f64 / took.as_secs_f64();
    println!("{flips} flips in {:.1} s: {rate:.1}/s; {}", took.as_secs_f64(), times.summary());
    println!("slowest packet {} us; unseen {missed}; invented {}", ledger.slowest / 1000, ledger.invented);
    Run { flips, ledger, missed, failures }
}

async fn flip(
    fabric: &mut Fabric,
    sets: &[Set],
    flows: &[Flow],
    flips: usize,
    kills: &[Kill],
) -> (Timeline, Times, Seen, Vec<Failure>) {
    let mut api = Api::connect().await;
    let generation = api.apply(&sets[0]).await;
    api.in_force(generation).await;
    let capture = Capture::start(&flows::places(flows));
    let mut confirmed = Moment::now();
    let traffic = Traffic::start(flows, Phase { number: 0, set: 0 });
    let (mut timeline, mut times) = (Timeline::default(), Times::default());
    for number in 1..=flips {
        tokio::time::sleep(HOLD).await;
        let next_applied = Moment::now();
        timeline.0.push(Interval { set: (number - 1) % sets.len(), confirmed, next_applied });
        let set = number % sets.len();
        let kill = kills.iter().find(|kill| kill.flip == number);
        let change = async {
            let began = Instant::now();
            let generation = api.apply(&sets[set]).await;
            times.apply.push(began.elapsed());
            let began = Instant::now();
            api.in_force(generation).await;
            times.in_force.push(began.elapsed());
        };
        tokio::join!(change, strike(fabric, kill));
        confirmed = Moment::now();
        traffic.enter(Phase { number, set });
    }
    tokio::time::sleep(HOLD).await;
    timeline.0.push(Interval { set: flips % sets.len(), confirmed, next_applied: Moment::now() });
    let failures = traffic.finish();
    (timeline, times, capture.finish(), failures)
}

async fn strike(fabric: &mut Fabric, kill: Option<&Kill>) {
    let Some(Kill { flip, node, after }) = kill else { return };
    tokio::time::sleep(*after).await;
    println!("flip {flip}: kill -9 the agent of {node} {} us after applying", after.as_micros());
    fabric.kill_agent(node);
    fabric.start_agent(node);
}

impl Run {
    fn check(&self) {
        let Self { flips, ledger, missed, failures } = self;
        let faults = ledger.wrong.len();
        let shown = ledger.wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
        assert!(faults == 0 && failures.is_empty(), "{faults} packets:\n{shown}\nfailed: {failures:#?}");
        assert_eq!((*missed, ledger.invented), (0, 0), "captured all of it, once");
        // A run that saw too little has shown nothing.
        let flips = *flips as u64;
        assert!(ledger.sum(Class::Always, |account| account.due) >= flips * 100);
        assert!(ledger.sum(Class::Never, |account| account.forbidden) >= flips * 10);
        assert!(ledger.sum(Class::Flips, |account| account.due) >= flips * 10);
        assert!(ledger.sum(Class::Flips, |account| account.forbidden) >= flips * 10);
        assert!(ledger.sum(Class::Flips, |account| account.cut) >= flips * 5);
        for proved in ledger.proved {
            assert!(proved as u64 * 2 >= flips * 9 / 10, "{:?} of {flips} intervals", ledger.proved);
        }
    }
}

impl Times {
    fn summary(&self) -> String {
        format!("apply {}, then in force everywhere {}", spread(&self.apply), spread(&self.in_force))
    }
}

/// Median and slowest.
fn spread(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort();
    let at = |share: usize| {
        sorted.get((sorted.len() - 1) * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    format!("{:.1} ms (99 of 100 below {:.1}, slowest {:.1})", at(50), at(99), at(100))
}
