//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const HELP: &str = "\
Runs of 1,000 nodes take some 6 minutes, of 10,000 some 20. Each has 100 workloads a node, five policies a node (20,000 at most, which is
the limit of a fabric), and two identities for five policies. Needs root: it works in a network namespace of its own.

Examples:
  make bench-convergence                             # 1,000 nodes
  make bench-convergence CONVERGENCE_NODES=1000,10000
  make bench-convergence CONVERGENCE_NODES=10000 CONVERGENCE_PROXIES=2
  make bench-scale                                   # the cost model of docs/scale.md: 100, 300 and 1,000 nodes";

/// How long changes take until they are in force on every node that they concern. Prints tables, writes
/// target/bench/convergence.json.
#[derive(Parser)]
#[command(name = "convergence", after_help = HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
    #[command(flatten)]
    pub(crate) options: Options,
    /// What cargo says to every bench
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

/// What is measured.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// How many nodes; each number is a run of its own
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "1000",
        env = "CONVERGENCE_NODES"
    )]
    pub(crate) nodes: Vec<usize>,
    /// Put so many of `etcd grpc-proxy` between the agents and etcd. Without it: none, where etcd may open two files for each node, and
    /// else as many as it takes
    #[arg(long, value_name = "N", env = "CONVERGENCE_PROXIES")]
    pub(crate) proxies: Option<u8>,
    /// Seed of the fabrics
    #[arg(long, default_value_t = 5)]
    pub(crate) seed: u64,
    /// At most so many changes of a kind
    #[arg(long, value_name = "N", default_value_t = 100, env = "CONVERGENCE_CHANGES")]
    pub(crate) changes: usize,
    /// How many seconds of churn
    #[arg(long, value_name = "SECONDS", default_value_t = 60, env = "CONVERGENCE_CHURN")]
    pub(crate) churn: u64,
    /// Measure what a node, a workload, an identity, a policy and an edit cost, at three sizes, into target/bench/scale.json and the
    /// table of docs/scale.md
    #[arg(long)]
    pub(crate) model: bool,
    /// The sizes of that, in nodes
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "100,300,1000",
        env = "SCALE_NODES"
    )]
    pub(crate) model_nodes: Vec<usize>,
}

/// What child processes of the bench do.
#[derive(Subcommand)]
pub(crate) enum Part {
    /// The agents of all nodes.
    #[command(hide = true)]
    Agents(Agents),
    /// Clients of bare etcd.
    #[command(hide = true)]
    Floor(Floor),
}

/// Options of [`Part::Agents`].
#[derive(Args)]
pub(crate) struct Agents {
    #[arg(long, value_delimiter = ',')]
    pub(crate) etcd: Vec<String>,
    #[arg(long)]
    pub(crate) first: usize,
    #[arg(long)]
    pub(crate) nodes: usize,
    #[arg(long)]
    pub(crate) anchor: PathBuf,
    #[arg(long)]
    pub(crate) states: PathBuf,
}

/// Options of [`Part::Floor`].
#[derive(Args)]
pub(crate) struct Floor {
    #[arg(long)]
    pub(crate) etcd: String,
    #[arg(long)]
    pub(crate) clients: usize,
    #[arg(long)]
    pub(crate) rounds: usize,
}
