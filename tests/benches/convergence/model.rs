//! What a node, a workload, an identity, a policy and an edit cost: each measured at three sizes, all else alike.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use selvedge_tests::etcd::Shape;
use selvedge_tests::scale::{Kind, Size};
use serde::Serialize;

use crate::cases;
use crate::floor::Floor;
use crate::quantiles::Quantiles;
use crate::scale::metrics::Metrics;
use crate::scale::written;
use crate::world::World;

/// How often each edit is made.
const EDITS: usize = 10;
/// How long everything is left alone: each agent reports once in that time.
const IDLE: Duration = Duration::from_secs(5);

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Dimension {
    Everything,
    Nodes,
    Workloads,
    Identities,
    Policies,
}

/// Costs along one dimension.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Growth {
    pub(crate) dimension: Dimension,
    /// In words, what does not grow.
    pub(crate) beside: String,
    /// How much of what grows there was, each time.
    pub(crate) sizes: Vec<usize>,
    /// By name, what was measured at each size.
    pub(crate) costs: Vec<Cost>,
}

/// One thing that was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) name: String,
    pub(crate) values: Vec<f64>,
}

impl Dimension {
    const ALL: [Self; 5] = [Self::Everything, Self::Nodes, Self::Workloads, Self::Identities, Self::Policies];

    /// In words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Nodes => "nodes",
            Self::Workloads => "workloads",
            Self::Identities => "identities",
            Self::Policies => "policies",
        }
    }

    /// The base, with this grown as `nodes` are more than its own.
    fn grown(self, base: Size, nodes: usize) -> Size {
        let grow = |count: usize| count * nodes / base.nodes;
        match self {
            Self::Everything => Size::of_nodes(nodes),
            Self::Nodes => Size { nodes, ..base },
            Self::Workloads => Size { workloads: grow(base.workloads), ..base },
            Self::Identities => Size { identities: grow(base.identities), ..base },
            Self::Policies => Size { policies: grow(base.policies), ..base },
        }
    }

    fn of(self, size: Size) -> usize {
        match self {
            Self::Everything | Self::Nodes => size.nodes,
            Self::Workloads => size.workloads,
            Self::Identities => size.identities,
            Self::Policies => size.policies,
        }
    }

    fn beside(self, Size { nodes, workloads, identities, policies }: Size) -> String {
        let parts = [
            (Self::Nodes, nodes),
            (Self::Workloads, workloads),
            (Self::Identities, identities),
            (Self::Policies, policies),
        ];
        let others = parts.iter().filter(|(dimension, _)| *dimension != self);
        let others: Vec<String> =
            others.map(|(dimension, count)| format!("{count} {}", dimension.words())).collect();
        match self {
            Self::Everything => "100 workloads and 5 policies a node, 2 identities for 5 policies".to_owned(),
            _ => others.join(", "),
        }
    }
}

/// Measures every dimension at sizes that grow as `nodes`.
pub(crate) async fn measure(folder: &Path, nodes: &[usize], seed: u64) -> Result<Vec<Growth>> {
    let base = Size::of_nodes(*nodes.first().context("no size is asked for")?);
    let mut all = Vec::new();
    for dimension in Dimension::ALL {
        let (mut sizes, mut samples) = (Vec::new(), Vec::new());
        for nodes in nodes {
            let size = dimension.grown(base, *nodes);
            println!("{}: {size:?}", dimension.words());
            sizes.push(dimension.of(size));
            samples.push(sample(folder, size, seed).await?);
        }
        let names = samples.first().into_iter().flatten().enumerate();
        let costs = names.map(|(index, (name, _))| Cost {
            name: name.clone(),
            values: samples.iter().map(|sample| sample[index].1).collect(),
        });
        all.push(Growth { dimension, beside: dimension.beside(base), sizes, costs: costs.collect() });
    }
    Ok(all)
}

/// One fabric: what lies in etcd, what everybody takes, and what edits cost.
async fn sample(folder: &Path, size: Size, seed: u64) -> Result<Vec<(String, f64)>> {
    let mut world = World::up(folder, size, seed, Shape::Single).await?;
    let mut client = world.servers.client().await;
    let lies = written::since(&mut client, 0).await?;
    let before = world.taken().await?;
    tokio::time::sleep(IDLE).await;
    let after = world.taken().await?;
    let metrics = Metrics::of(&world.servers.direct()[0]).await?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let idle = |before: Duration, after: Duration| {
        after.saturating_sub(before).as_secs_f64() * 1e3 / IDLE.as_secs_f64()
    };
    let mut costs: Vec<(String, f64)> = [
        ("keys in etcd, by the controller", lies.total().keys as f64),
        ("KiB in etcd, by the controller", lies.total().bytes as f64 / 1024.0),
        ("keys in etcd, by agents", lies.of("report").keys as f64),
        ("KiB in etcd, by agents", lies.of("report").bytes as f64 / 1024.0),
        ("watches", metrics.get("etcd_debugging_mvcc_watcher_total")),
        ("first publication, s", world.first[0].as_secs_f64()),
        ("controller, MiB", mib(after.controller.resident)),
        ("etcd, MiB", mib(after.etcd.resident)),
        ("an agent with its stand-in, MiB", mib(after.agents.resident) / size.nodes as f64),
        ("idle controller, CPU ms a second", idle(before.controller.cpu, after.controller.cpu)),
        ("idle etcd, CPU ms a second", idle(before.etcd.cpu, after.etcd.cpu)),
        ("idle agents, CPU ms a second", idle(before.agents.cpu, after.agents.cpu)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for kind in [Kind::PolicyEverywhere, Kind::PolicyOnFew, Kind::Added] {
        costs.extend(edit(&mut world, kind).await?);
    }
    Ok(costs)
}

async fn edit(world: &mut World, kind: Kind) -> Result<Vec<(String, f64)>> {
    let none = Quantiles::default();
    let floor = Floor { own_keys: none, one_key: none, single: none };
    let (applied, written) = cases::writes(world, kind).await?;
    let case = cases::changes(world, kind, EDITS, Duration::from_secs(60), &floor).await?;
    let touched = applied.nodes.len() as f64;
    let figure = |name: &str| case.figures.get(name).copied().unwrap_or(f64::NAN);
    let name = |what: &str| format!("{}: {what}", kind.words());
    Ok(vec![
        (name("nodes touched"), touched),
        (name("keys written"), written.total().keys as f64),
        (name("KiB written"), written.total().bytes as f64 / 1024.0),
        (name("controller, CPU ms"), figure("controller_cpu_ms")),
        (name("etcd, CPU ms"), figure("etcd_cpu_ms")),
        (name("agents, CPU ms a node touched"), figure("agents_cpu_ms") / touched.max(1.0)),
        (name("in force, p50 ms"), case.in_force.p50),
    ])
}
