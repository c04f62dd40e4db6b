//! How long changes of a large fabric take until they are in force on every node that they concern, what they cost, and the floor below
//! which nothing over etcd gets. Needs root; prints tables, writes target/bench/convergence.json. `--help` says more.

#[path = "../../scale/mod.rs"]
mod scale;

mod arguments;
mod cases;
mod child;
mod compiling;
mod floor;
mod model;
mod namespace;
mod page;
mod quantiles;
mod report;
mod resident;
mod results;
mod targets;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use selvedge_tests::etcd::{Servers, Shape};
use selvedge_tests::scale::{Kind, Size};

use arguments::{Cli, Options, Part};
use results::{Case, Figure, Run};
use world::World;

/// How long changes of one kind may be repeated.
const KIND: Duration = Duration::from_secs(25);

fn main() -> Result<()> {
    let Cli { part, options, .. } = Cli::parse();
    match part {
        Some(Part::Agents(agents)) => return child::agents(agents),
        Some(Part::Floor(floor)) => return floor::child(&floor),
        None => {}
    }
    namespace::enter()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if options.model { runtime.block_on(cost_model(&options)) } else { runtime.block_on(bench(&options)) }
}

async fn cost_model(options: &Options) -> Result<()> {
    let all = model::measure(&report::folder()?, &options.model_nodes, options.seed).await?;
    all.iter().for_each(|growth| print!("{}", page::table(growth)));
    page::write(&all)?;
    println!("{}", report::write_json("scale.json", &serde_json::json!({ "growth": all }))?.display());
    Ok(())
}

async fn bench(options: &Options) -> Result<()> {
    print!("{}", report::NOTES);
    let mut runs = Vec::new();
    for nodes in &options.nodes {
        runs.push(run(Size::of_nodes(*nodes), options).await?);
    }
    let agent = resident::measure(&report::folder()?).await?;
    let targets = targets::judge(&runs, Some(agent));
    println!("\n{}", report::targets(&targets));
    println!("{}", report::write(&runs, &targets)?.display());
    Ok(())
}

async fn run(size: Size, options: &Options) -> Result<Run> {
    let Size { nodes, workloads, identities, policies } = size;
    println!("\n{nodes} nodes, {workloads} workloads, {identities} identities, {policies} policies");
    let compiled = tokio::task::block_in_place(|| compiling::measure(size, options.seed))?;
    println!(
        "compiled in {:.2} s; after one policy in {:.1} ms, after one workload in {:.1} ms",
        compiled.all.as_secs_f64(),
        compiled.policy.p50,
        compiled.workload.p50
    );
    let shape = match options.proxies.map_or_else(|| namespace::proxies_for(nodes), Ok)? {
        0 => Shape::Single,
        proxies => Shape::Proxies(proxies),
    };
    println!("agents reach etcd so: {shape:?}");
    let floor = floor_of(size).await?;
    let mut world = World::up(&report::folder()?, size, options.seed, shape).await?;
    let [published, taken] = world.first.map(|time| time.as_secs_f64());
    println!(
        "first generation published in {published:.2} s, in force {taken:.2} s after the agents started"
    );
    println!("{}", report::head());
    let mut run = Run { size, cases: Vec::new(), figures: BTreeMap::new() };
    let mut done = |case: Case| {
        println!("{}", report::row(&case));
        run.cases.push(case);
    };
    for kind in Kind::ALL {
        done(cases::changes(&mut world, kind, options.changes, KIND, &floor).await?);
    }
    let (churn, behind) = cases::churn(&mut world, Duration::from_secs(options.churn)).await?;
    done(churn);
    done(cases::agents_restart(&mut world).await?);
    let taken = world.taken().await?;
    done(cases::controller_restarts(&mut world).await?);
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    println!(
        "resident after all that: controller {:.2} GiB ({:.2} at most), etcd {:.2}, agents {:.2} ({:.2} MiB each)",
        gib(taken.controller.resident),
        gib(taken.controller.peak),
        gib(taken.etcd.resident),
        gib(taken.agents.resident),
        gib(taken.agents.resident) * 1024.0 / nodes as f64,
    );
    run.figures = BTreeMap::from([
        (Figure::CompileSeconds, compiled.all.as_secs_f64()),
        (Figure::PolicyMs, compiled.policy.p99),
        (Figure::WorkloadMs, compiled.workload.p99),
        (Figure::ControllerGib, gib(taken.controller.peak)),
        (Figure::ChurnBehindMs, behind.as_secs_f64() * 1e3),
    ]);
    Ok(run)
}

/// The floor, on an etcd of its own.
async fn floor_of(size: Size) -> Result<floor::Floor> {
    let servers = Servers::start_in(Shape::Single, &report::folder()?).await?;
    let rounds = if size.nodes > 2_000 { 5 } else { 20 };
    let floor = floor::measure(&servers.endpoints()[0], size.nodes, rounds).await?;
    println!(
        "floor of bare etcd, p50 / p99 / max ms: a key for each {}, one for all {}, a single node {}",
        print(floor.own_keys),
        print(floor.one_key),
        print(floor.single)
    );
    Ok(floor)
}

fn print(quantiles::Quantiles { p50, p99, max }: quantiles::Quantiles) -> String {
    format!("{p50:.1} / {p99:.1} / {max:.1}")
}
