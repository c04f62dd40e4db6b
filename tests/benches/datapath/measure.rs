//! Measuring: contenders of a case in turn, several times over, each run checked against the contender's counters.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::bpf::test_run;
use crate::cases::{Case, OPENED_PER_RUN, Verdict};
use crate::contenders::{Contender, Ready};
use crate::feeder::Feeder;
use crate::stage::Stage;

/// Runs whose median counts.
pub(crate) const REPEATS: u32 = 7;
/// One more, which warms up and says how long the others may be.
pub(crate) const RUNS: u32 = REPEATS + 1;
/// How long a run should take, so that the slowest contenders end as well.
const RUN: Duration = Duration::from_millis(40);
const FEWEST: u32 = 256;
const MOST: u32 = 1 << 17;
/// Frames of a case that the program alone is given, and how often each.
const SAMPLES: usize = 16;
const TIMES: u32 = 5_000;

/// How a figure was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Method {
    /// The program alone, again and again on a few frames of the case: its tables are in the nearest cache.
    Program,
    /// The whole receive path with live frames, from a veth's ring to the verdict.
    Path,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Path => "path",
        }
    }
}

/// Nanoseconds for each packet.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    /// Between the quartiles.
    pub(crate) spread: f64,
    pub(crate) repeats: usize,
}

/// What became of one contender in one case by one method.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) case: String,
    pub(crate) contender: Contender,
    pub(crate) method: Method,
    /// Or why it was not run.
    pub(crate) figure: Result<Figure, String>,
}

/// A contender on its stage. Fields are dropped in order: what it loaded, then the namespace.
struct Entrant {
    contender: Contender,
    ready: Box<dyn Ready>,
    stage: Stage,
    packets: u32,
    position: u32,
    /// Packets counted so far. Nobody else sends.
    counted: u64,
    path: Vec<f64>,
    program: Vec<f64>,
}

/// Measures one case.
pub(crate) fn measure(case: &Case) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    let mut entrants = Vec::new();
    for contender in case.topic.contenders() {
        let stage = Stage::new(case.local())?;
        match contender.prepare(case, &stage) {
            Ok(ready) => entrants.push(Entrant::new(contender, ready, stage)),
            Err(error) => outcomes.push(Outcome {
                case: case.name(),
                contender,
                method: Method::Path,
                figure: Err(format!("{error:#}")),
            }),
        }
    }
    let feed = entrants.first().context("the floor always runs")?.stage.feed;
    ensure!(entrants.iter().all(|entrant| entrant.stage.feed == feed), "stages number their ports alike");
    let feeder = Feeder::new(case.world.family, &case.frames(), feed)?;
    for entrant in &mut entrants {
        entrant.begin()?;
    }
    for run in 0..RUNS {
        for entrant in &mut entrants {
            entrant
                .run(case, &feeder, run == 0)
                .with_context(|| format!("{}, {}", case.name(), entrant.contender.name()))?;
        }
    }
    outcomes.extend(entrants.iter().flat_map(|entrant| entrant.outcomes(case)));
    Ok(outcomes)
}

impl Entrant {
    fn new(contender: Contender, ready: Box<dyn Ready>, stage: Stage) -> Self {
        Self {
            contender,
            ready,
            stage,
            packets: FEWEST,
            position: 0,
            counted: 0,
            path: Vec::new(),
            program: Vec::new(),
        }
    }

    /// Notes what was counted while it was set up.
    fn begin(&mut self) -> Result<()> {
        self.stage.enter()?;
        self.counted = self.ready.counted()?;
        Ok(())
    }

    fn run(&mut self, case: &Case, feeder: &Feeder, warming_up: bool) -> Result<()> {
        self.stage.enter()?;
        let once = case.verdict() == Verdict::Opened;
        if once {
            self.packets = OPENED_PER_RUN;
        }
        let nanoseconds = self.send(feeder)?;
        if !warming_up {
            self.path.push(nanoseconds);
        } else if !once {
            let fit = RUN.as_nanos() as f64 / nanoseconds;
            self.packets = (fit as u32).clamp(FEWEST, MOST);
        }
        if !once && !warming_up {
            let alone = self.alone(case)?;
            self.program.extend(alone);
        }
        Ok(())
    }

    /// Sends the next frames over the whole path.
    fn send(&mut self, feeder: &Feeder) -> Result<f64> {
        let nanoseconds = undisturbed(|| feeder.send(self.position, self.packets))?;
        self.position = (self.position + self.packets) % feeder.count();
        self.check(self.packets.into())?;
        Ok(f64::from(nanoseconds))
    }

    /// The program alone.
    fn alone(&mut self, case: &Case) -> Result<Option<f64>> {
        if self.ready.program().is_none() {
            return Ok(None);
        }
        let frames = case.sample(SAMPLES);
        let mut sum = 0.0;
        for frame in &frames {
            let program = self.ready.program().context("it has one")?;
            sum += f64::from(undisturbed(|| Ok(test_run(program, frame, self.stage.port, TIMES)?.duration))?);
        }
        self.check(frames.len() as u64 * u64::from(TIMES))?;
        Ok(Some(sum / frames.len() as f64))
    }

    /// Whether all of the packets met the verdict. What a kernel thread still works off is waited for.
    fn check(&mut self, sent: u64) -> Result<()> {
        const TRIES: u32 = 50;
        let before = self.counted;
        for _ in 0..TRIES {
            self.counted = self.ready.counted()?;
            if self.counted >= before + sent {
                break;
            }
            sleep(Duration::from_millis(10));
        }
        let met = self.counted - before;
        ensure!(met == sent, "{sent} packets were sent, and {met} met the verdict");
        Ok(())
    }

    fn outcomes(&self, case: &Case) -> Vec<Outcome> {
        let outcome = |method, samples: &[f64]| {
            let figure = figure(samples)?;
            Some(Outcome { case: case.name(), contender: self.contender, method, figure: Ok(figure) })
        };
        [outcome(Method::Program, &self.program), outcome(Method::Path, &self.path)]
            .into_iter()
            .flatten()
            .collect()
    }
}

fn figure(samples: &[f64]) -> Option<Figure> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |quarters: usize| sorted.get((sorted.len().checked_sub(1)?) * quarters / 4).copied();
    Some(Figure { median: at(2)?, spread: at(3)? - at(1)?, repeats: sorted.len() })
}

/// Stays on one CPU from here on: the last, which the kernel burdens least.
pub(crate) fn pin() -> Result<usize> {
    let allowed = sched_getaffinity(Pid::this())?;
    let cpu = (0..CpuSet::count()).rev().find(|cpu| allowed.is_set(*cpu) == Ok(true)).context("no CPU")?;
    let mut one = CpuSet::new();
    one.set(cpu)?;
    sched_setaffinity(Pid::this(), &one)?;
    Ok(cpu)
}

/// Ahead of every ordinary process on this CPU while `work` is done. Only for its short while: kernel threads that finish
/// the network's work are ordinary as well.
fn undisturbed<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    schedule(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, 1)?;
    let result = work();
    schedule(libc::SCHED_OTHER, 0)?;
    result
}

fn schedule(policy: i32, priority: i32) -> Result<()> {
    #[expect(unsafe_code, reason = "nix has no wrapper")]
    // SAFETY: the structure is valid for the call, and 0 is this thread.
    let result =
        unsafe { libc::sched_setscheduler(0, policy, &libc::sched_param { sched_priority: priority }) };
    nix::errno::Errno::result(result).context("real-time scheduling")?;
    Ok(())
}
