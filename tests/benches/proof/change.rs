//! How long a change of one address of a large plan takes from its arrival to its enforcement, and where the time goes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use selvedge_agent::datapath::{Counters, Datapath, DatapathError, Effect, KernelDatapath, Pins, Sizes};
use selvedge_agent::engine::{Engine, Progress, Settings, Tallies};
use selvedge_agent::machine::RawInterface;
use selvedge_agent::store::{Fetched, StateDir};
use selvedge_agent_core::{Action, Choices, ForeignPrograms, Observed};
use selvedge_hw_profiles::Profiles;
use selvedge_proto::Target;
use selvedge_proto::plan::encode_plan;
use selvedge_topology::identity::Identity;
use selvedge_topology::plan::{Generation, Plan};

use super::plan;

/// Addresses, and about as many policy entries.
const SIZES: [u32; 3] = [1_000, 10_000, 100_000];
/// Changes of which the median is told. The first two fill the halves of the tables and count for nothing.
const CHANGES: u64 = 7;

/// Medians of a size.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Row {
    addresses: usize,
    policy_entries: usize,
    /// Entries that the change writes and deletes.
    writes: usize,
    /// From the offer until the agent has looked at what came of it.
    total_ms: f64,
    /// Of that: looking at what is there, before and after.
    observing_ms: f64,
    /// Writing.
    writing_ms: f64,
    /// Trying packets.
    proving_ms: f64,
    /// Everything else: lowering, comparing, choosing packets, the plan on disk.
    deciding_ms: f64,
}

/// The kernel's data path, with a clock.
struct Timed {
    kernel: KernelDatapath,
    observing: Duration,
    proving: Duration,
    writing: Duration,
    writes: usize,
}

impl Datapath for Timed {
    fn observe(&mut self, interfaces: &[RawInterface]) -> Result<Observed, DatapathError> {
        let begun = Instant::now();
        let observed = self.kernel.observe(interfaces);
        self.observing += begun.elapsed();
        observed
    }

    fn execute(&mut self, action: &Action) -> Result<Effect, DatapathError> {
        let begun = Instant::now();
        let effect = self.kernel.execute(action);
        match action {
            Action::Prove(_) => self.proving += begun.elapsed(),
            _ => self.writing += begun.elapsed(),
        }
        self.writes += usize::from(matches!(action, Action::Put(_) | Action::Delete(_)));
        effect
    }

    fn is_undisturbed(&mut self) -> Result<bool, DatapathError> {
        self.kernel.is_undisturbed()
    }

    fn doubt(&mut self) {
        self.kernel.doubt();
    }

    fn counters(&mut self, nics: &Choices) -> Result<Counters, DatapathError> {
        self.kernel.counters(nics)
    }
}

/// Measures every size and prints a table.
pub(crate) fn all(interfaces: &[RawInterface]) -> Result<Vec<Row>> {
    println!(
        "\n{:>9} {:>9} {:>7} {:>9} {:>11} {:>10} {:>10} {:>10}",
        "addresses", "policies", "writes", "total ms", "observe ms", "decide ms", "write ms", "prove ms"
    );
    SIZES.into_iter().map(|size| measure(size, interfaces)).collect()
}

fn measure(size: u32, interfaces: &[RawInterface]) -> Result<Row> {
    let directory = tempfile::tempdir()?;
    let mut plan = plan::large(size)?;
    let (bpffs, state) = (directory.path().join("bpf"), directory.path().join("state"));
    std::fs::create_dir(&bpffs)?;
    let engine = engine(&plan, &bpffs, &state)?;
    let rows = changes(&mut plan, engine, interfaces);
    nix::mount::umount(&bpffs)?;
    let mut rows = rows?;
    rows.sort_by(|a, b| a.total_ms.total_cmp(&b.total_ms));
    let row = rows[rows.len() / 2].clone();
    let Row {
        addresses,
        policy_entries,
        writes,
        total_ms,
        observing_ms,
        writing_ms,
        proving_ms,
        deciding_ms,
    } = &row;
    println!(
        "{addresses:>9} {policy_entries:>9} {writes:>7} {total_ms:>9.1} {observing_ms:>11.1} {deciding_ms:>10.1} \
         {writing_ms:>10.2} {proving_ms:>10.1}"
    );
    Ok(row)
}

fn engine(plan: &Plan, bpffs: &std::path::Path, state: &std::path::Path) -> Result<Engine<Timed>> {
    let kernel = KernelDatapath::open(Pins::prepare(bpffs, &plan.node)?, Sizes::default())?;
    let zero = Duration::ZERO;
    let timed = Timed { kernel, observing: zero, proving: zero, writing: zero, writes: 0 };
    let settings = Settings {
        node: plan.node.clone(),
        fail_closed: BTreeSet::new(),
        services: Vec::new(),
        foreign: ForeignPrograms::Refuse,
        profiles: Profiles::embedded()?,
    };
    Ok(Engine::new(settings, timed, StateDir::open(state, &plan.node, None)?))
}

/// One address after another gets the next identity.
fn changes(plan: &mut Plan, mut engine: Engine<Timed>, interfaces: &[RawInterface]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for generation in 1..=2 + CHANGES {
        let changed = plan.addresses.iter_mut().rev().nth(generation as usize).context("no address")?;
        changed.identity = Identity(changed.identity.0 - 1);
        changed.class = changed.identity.into();
        let encoded = encode_plan(&plan.clone().into())?;
        let target = Target { generation: Generation(generation), manifest: encoded.digest, signature: None };
        let (manifest, chunks) = (encoded.manifest, encoded.chunks);
        engine.offer(Fetched { target, manifest, chunks, plan: plan.clone() });
        rows.push(change(plan, &mut engine, interfaces)?);
        let report = engine.report(Tallies::default(), SystemTime::UNIX_EPOCH)?;
        anyhow::ensure!(report.in_force == Some(Generation(generation)), "{:?}", report.refusal);
    }
    Ok(rows.split_off(2))
}

fn change(plan: &Plan, engine: &mut Engine<Timed>, interfaces: &[RawInterface]) -> Result<Row> {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let timed = engine.datapath();
    (timed.observing, timed.proving, timed.writing) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    timed.writes = 0;
    let begun = Instant::now();
    anyhow::ensure!(engine.converge(interfaces)? == Progress::Executed, "nothing was to be done");
    engine.observe(interfaces)?;
    let total = begun.elapsed();
    let Timed { observing, proving, writing, writes, .. } = *engine.datapath();
    Ok(Row {
        addresses: plan.addresses.len(),
        policy_entries: plan.rows.iter().map(|row| 1 + row.peers.len()).sum(),
        writes,
        total_ms: ms(total),
        observing_ms: ms(observing),
        writing_ms: ms(writing),
        proving_ms: ms(proving),
        deciding_ms: ms(total.saturating_sub(observing + proving + writing)),
    })
}
