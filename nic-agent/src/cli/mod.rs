//! What users type.

mod detach;
mod endpoint;
mod enroll;
mod probe;
mod reach;
mod run;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use selvedge_topology::names::NodeName;

const EXAMPLES: &str = "\
Examples:
  # Once: become one of the fabric, with the token that `selvedge node enroll host1` printed
  selvedge-agent enroll --token-file host1.token

  # Enforce what the controller plans for host1:
  selvedge-agent run --node host1

  # Shut eth0 until the first plan is in force (what reaches etcd and the controller still passes):
  selvedge-agent run --node host1 --fail-closed eth0

  # What is in force on this machine, whether or not an agent runs:
  selvedge-agent status --node host1

  # Stop enforcing; every port is open afterwards:
  selvedge-agent detach --node host1";

/// Enforces a node's part of the fabric's policy with XDP.
#[derive(Parser)]
#[command(name = "selvedge-agent", version, about, after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Enforce the node's plan, and follow its changes
    #[command(
        after_help = "SIGTERM and SIGINT end the agent and leave enforcement in place. `selvedge-agent detach` removes it."
    )]
    Run(Box<run::Options>),
    /// Become one of a fabric, with a token that `selvedge node enroll` made
    #[command(
        visible_alias = "enrol",
        after_help = "The node's key is made here and stays here. Example:\n  selvedge-agent enroll --token-file host1.token"
    )]
    Enroll(enroll::Options),
    /// Remove enforcement: take every program off and its pins away
    #[command(
        after_help = "The agent must not be running. Every port that is named in the output is open afterwards."
    )]
    Detach(Place),
    /// Show what is pinned and in force on this machine
    Status(status::Options),
    /// Look at ports: driver, firmware, XDP features, queues; try loads where a device runs programs itself
    #[command(
        after_help = "Nothing is attached or changed. Examples:\n  selvedge-agent probe\n  selvedge-agent probe eth0 -o json\n  selvedge-agent probe --record host7.yaml"
    )]
    Probe(probe::Options),
    /// Print the versions of the agent and of its contract with its programs
    Version,
}

/// Which node's pins, and where.
#[derive(clap::Args, Clone, Debug)]
struct Place {
    /// The node's name in the Fabric document
    #[arg(long, env = "SELVEDGE_NODE")]
    node: NodeName,
    /// Where pins are kept; a bpffs is mounted there if there is none
    #[arg(long, value_name = "DIR", env = "SELVEDGE_BPFFS", default_value = "/sys/fs/bpf")]
    bpffs: PathBuf,
}

/// Runs the program: 0 done, 1 failed, 2 wrong usage.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(options) => run::run(*options),
        Command::Enroll(options) => enroll::run(&options),
        Command::Detach(place) => detach::run(&place),
        Command::Status(options) => status::run(&options),
        Command::Probe(options) => probe::run(&options),
        Command::Version => {
            let (version, abi) = (env!("CARGO_PKG_VERSION"), selvedge_abi::ABI_VERSION);
            anstream::println!("selvedge-agent {version} (ABI {abi})");
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        let style = anstyle::AnsiColor::Red.on_default().bold();
        anstream::eprintln!("{style}error:{style:#} {error}");
        ExitCode::FAILURE
    })
}

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;
