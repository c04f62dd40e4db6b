//! The cases: what is done to a fabric that runs, and how long it takes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use selvedge_tests::scale::{Churn, Kind};
use selvedge_topology::plan::Generation;

use crate::floor::Floor;
use crate::results::Case;
use crate::scale::clock::Moment;
use crate::scale::operator::Applied;
use crate::scale::written;
use crate::world::World;

/// Between two changes, so that one is measured and not the end of the one before.
const PAUSE: Duration = Duration::from_millis(50);
/// How often the client says what came and went.
const BATCH: Duration = Duration::from_millis(250);
/// Comings and goings a second.
pub(crate) const CHURN: usize = 1_000;
/// How often everything is restarted.
const RESTARTS: usize = 3;

/// As many changes of a kind as there is time for, and five at least.
pub(crate) async fn changes(
    world: &mut World,
    kind: Kind,
    most: usize,
    time: Duration,
    floor: &Floor,
) -> Result<Case> {
    let (begun, before) = (Instant::now(), world.taken().await?);
    let (mut times, mut touched, mut answers) = (Vec::new(), 0, Duration::ZERO);
    while times.len() < most && (times.len() < 5 || begun.elapsed() < time) {
        let edit = world.fabric.change(kind);
        let applied = world.operator.apply(edit).await?;
        let reached = world.reached(&applied).await?;
        touched += applied.nodes.len();
        answers += applied.answered.since(applied.begun);
        times.push([reached.flipped, reached.acknowledged].map(|at| at.since(applied.begun)));
        tokio::time::sleep(PAUSE).await;
    }
    let after = world.taken().await?;
    let count = times.len().max(1) as f64;
    let case = Case::new(kind.words(), world.fabric.size(), &times)
        .costing(&before, &after)
        .with("nodes_touched", touched as f64 / count)
        .with("answered_ms", answers.as_secs_f64() * 1e3 / count);
    Ok(match kind {
        Kind::PolicyEverywhere => case.over(floor.own_keys.p50),
        _ => case.over(floor.single.p50),
    })
}

/// What a change of a kind writes.
pub(crate) async fn writes(world: &mut World, kind: Kind) -> Result<(Applied, written::Written)> {
    let mut client = world.servers.client().await;
    let before = written::revision(&mut client).await?;
    let edit = world.fabric.change(kind);
    let applied = world.operator.apply(edit).await?;
    world.reached(&applied).await?;
    Ok((applied, written::since(&mut client, before).await?))
}

/// Workloads that come and go for `time`, and how late the last batch was. A batch counts from when it was due, so what waits for
/// those before it has waited. It ends when it takes twice as long as it should.
pub(crate) async fn churn(world: &mut World, time: Duration) -> Result<(Case, Duration)> {
    let before = world.taken().await?;
    let (mut churn, mut applied, mut behind) = (Churn::default(), Vec::new(), Duration::ZERO);
    let (begun, first) = (Instant::now(), Moment::now());
    let batches = time.as_millis() / BATCH.as_millis();
    for batch in 0..batches as u32 {
        let due = BATCH * (batch + 1);
        tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
        let count = CHURN * BATCH.as_millis() as usize / 1000;
        let edit = churn.next(&mut world.fabric, count);
        let due = Moment(first.0 + due.as_nanos() as u64);
        applied.push(Applied { begun: due, ..world.operator.apply(edit).await? });
        behind = Moment::now().since(due);
        if begun.elapsed() > time * 2 {
            break;
        }
    }
    let took = begun.elapsed();
    let mut times = Vec::new();
    for applied in &applied {
        let reached = world.reached(applied).await?;
        times.push([reached.flipped, reached.acknowledged].map(|at| at.since(applied.begun)));
    }
    let after = world.taken().await?;
    let done = (applied.len() * CHURN) as f64 * BATCH.as_secs_f64();
    let case = Case::new("churn", world.fabric.size(), &times)
        .costing(&before, &after)
        .with("workloads_a_second", done / took.as_secs_f64());
    Ok((case, behind))
}

/// All agents at once, until each knows that what it has in force is what it should.
pub(crate) async fn agents_restart(world: &mut World) -> Result<Case> {
    let before = world.taken().await?;
    let all: BTreeSet<usize> = (0..world.fabric.size().nodes).collect();
    let mut times = Vec::new();
    for _ in 0..RESTARTS {
        world.ledger.clear();
        let begun = Moment::now();
        world.crew.restart()?;
        let limit = Duration::from_secs(180);
        let reached = world.ledger.reached(&all, Generation(1), begun, limit).await?;
        times.push([reached.acknowledged.since(begun); 2]);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let after = world.taken().await?;
    Ok(Case::new("all agents restarted", world.fabric.size(), &times).costing(&before, &after))
}

/// The controller, until a workload that is added as soon as it answers is in force.
pub(crate) async fn controller_restarts(world: &mut World) -> Result<Case> {
    let (mut times, mut answers) = (Vec::new(), Duration::ZERO);
    for _ in 0..RESTARTS {
        let begun = Moment::now();
        world.controller.restart()?;
        world.operator.reconnect().await?;
        answers += Moment::now().since(begun);
        let edit = world.fabric.change(Kind::Added);
        let applied = world.operator.apply(edit).await?;
        let reached = world.reached(&applied).await?;
        times.push([reached.flipped, reached.acknowledged].map(|at| at.since(begun)));
    }
    Ok(Case::new("controller restarted", world.fabric.size(), &times)
        .with("answers_ms", answers.as_secs_f64() * 1e3 / RESTARTS as f64))
}
