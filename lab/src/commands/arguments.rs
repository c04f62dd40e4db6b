//! What users write on the command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use selvedge_topology::names::NodeName;

use crate::names::LabName;
use crate::probe::{Family, Probed};
use crate::vm::Variable;

/// Builds fabrics out of network namespaces, and checks that they enforce what their policy says.
#[derive(Debug, Parser)]
#[command(name = "selvedge-lab", version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Up(Up),
    Down(Down),
    Exec(Exec),
    List(List),
    Inspect(Inspect),
    Probe(Probe),
    Traffic(Traffic),
    Vm(Vm),
    Furnish(Furnish),
}

/// Build the fabric that documents describe
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  selvedge-lab up lab/fabrics/demo
  selvedge-lab up lab/fabrics/demo --name second   # another one beside it

The lab's namespaces are named <lab>-<node|workload|external>; `ip netns` shows them. The controller's is <lab>-controller:
172.31.0.1 in an out-of-band network that every node with an agent has a port in. A bpffs for the agents is mounted at
/run/selvedge-lab/<lab>/bpf.")]
pub(super) struct Up {
    /// A directory of documents, or one file
    pub(super) fabric: PathBuf,
    /// The lab's name; by default the fabric's
    #[arg(long)]
    pub(super) name: Option<LabName>,
    /// A node whose place a virtual machine takes (`selvedge-lab vm --at`): its namespace only joins its ports to that
    #[arg(long = "machine", value_name = "NODE")]
    pub(super) machines: Vec<NodeName>,
}

/// Remove labs and everything they consist of
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  selvedge-lab down          # the only lab there is
  selvedge-lab down demo
  selvedge-lab down --all

Ends processes that `selvedge-lab exec` started, and their children. Others in the lab's namespaces are named and left alone.")]
pub(super) struct Down {
    /// The lab; may be left out when there is one
    #[arg(conflicts_with = "all")]
    pub(super) name: Option<LabName>,
    /// Every lab of this machine
    #[arg(long)]
    pub(super) all: bool,
}

/// Run a command at a place of a lab
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  selvedge-lab exec web1 -- ping -c 1 10.2.0.41
  selvedge-lab exec --lab second host1 -- ip route
  selvedge-lab exec --insecure controller -- selvedge-controller

Only the network namespace is entered: files, processes and bpffs are those of the machine.")]
pub(super) struct Exec {
    /// The lab; may be left out when there is one
    #[arg(long)]
    pub(super) lab: Option<LabName>,
    /// Have controller and agents speak unencrypted, and nobody be asked who they are
    #[arg(long)]
    pub(super) insecure: bool,
    /// A node, a workload, an external, or `controller`
    pub(super) target: String,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    pub(super) command: Vec<String>,
}

/// List the labs of this machine
#[derive(Debug, Args)]
pub(super) struct List {
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Output,
}

/// Show the places of a lab: namespaces, addresses, processes
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The lab; may be left out when there is one
    pub(super) lab: Option<LabName>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Output,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// Send packets between all workloads and compare what arrives with the policy
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  selvedge-lab probe
  selvedge-lab probe -f edited/ --ports 443/tcp,53/udp,icmp --families 4

Exits with 1 if any flow is not as the policy says.")]
pub(super) struct Probe {
    /// The lab; may be left out when there is one
    #[arg(long)]
    pub(super) lab: Option<LabName>,
    /// The documents to compare with; by default those the lab was built from
    #[arg(short = 'f', long = "filename", value_name = "DIR")]
    pub(super) documents: Option<PathBuf>,
    /// What to probe: PORT/tcp, PORT/udp, PORT/sctp, icmp; by default what policies name, and one port that none names
    #[arg(long, value_delimiter = ',')]
    pub(super) ports: Vec<Probed>,
    /// Address families
    #[arg(long, value_enum, value_delimiter = ',', default_value = "4,6")]
    pub(super) families: Vec<Family>,
    /// How long a flow may take before it counts as denied
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub(super) timeout: Duration,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Output,
    /// Print the last line and what is wrong only
    #[arg(short, long)]
    pub(super) quiet: bool,
}

/// Send steady traffic from one workload to another and count what is lost
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  selvedge-lab traffic --from web1 --to app1 --port 8080/tcp --duration 10s
  selvedge-lab traffic --from db1 --to dns --port 53/udp --count 1000 -o json

One TCP connection, or one UDP flow, carries numbered messages that the other end sends back. Exits with 1 if any is lost.")]
pub(super) struct Traffic {
    /// The lab; may be left out when there is one
    #[arg(long)]
    pub(super) lab: Option<LabName>,
    /// Where it comes from
    #[arg(long)]
    pub(super) from: String,
    /// Where it goes
    #[arg(long)]
    pub(super) to: String,
    /// PORT/tcp or PORT/udp
    #[arg(long)]
    pub(super) port: Probed,
    /// The destination's address, where it has several; by default its first IPv4 address
    #[arg(long)]
    pub(super) address: Option<IpAddr>,
    /// How many messages
    #[arg(long, conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// How long
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub(super) duration: Duration,
    /// The time between two messages
    #[arg(long, default_value = "10ms", value_parser = duration)]
    pub(super) interval: Duration,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Output,
}

/// Boot a virtual machine and run a command in it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  selvedge-lab vm target/vm/amd64                       # a shell; `poweroff -f` ends it
  selvedge-lab vm target/vm/amd64 --program target/debug/selvedge-agent -- selvedge-agent probe
  selvedge-lab vm target/vm/arm64 --at dpu1 --file lab/dpu-boot -- sh dpu-boot   # after `up --machine dpu1`

The machine is QEMU's, in software, with a kernel and modules that `lab/vm-kit` made a kit of. Programs are in its /bin, with
the shared libraries that they need; files in its /lab, where the command starts. It has no network, unless it takes the place
of a node: then it has that node's ports, and its agent finds etcd and the controller. Exits with the command's exit code.")]
pub(super) struct Vm {
    /// What it boots: target/vm/amd64 or target/vm/arm64
    pub(super) kit: PathBuf,
    /// The node whose place it takes, in a lab that was built with a machine there
    #[arg(long = "at", value_name = "NODE")]
    pub(super) node: Option<NodeName>,
    /// The lab; may be left out when there is one
    #[arg(long, requires = "node")]
    pub(super) lab: Option<LabName>,
    /// A program of this machine
    #[arg(long = "program", value_name = "FILE")]
    pub(super) programs: Vec<PathBuf>,
    /// A file or folder of this machine
    #[arg(long = "file", value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// A variable of the command's environment
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub(super) environment: Vec<Variable>,
    /// Processors
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(super) cpus: u8,
    /// MiB of memory
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(256..=16384))]
    pub(super) memory: u32,
    /// How long it may take
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub(super) timeout: Duration,
    /// Where its console goes; by default nowhere, and its end is told when something is wrong
    #[arg(long, value_name = "FILE")]
    pub(super) console: Option<PathBuf>,
    /// The command and its arguments; without one, a shell
    #[arg(last = true)]
    pub(super) command: Vec<String>,
}

/// Give this machine the network of a node of a lab; for a virtual machine in its place
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  selvedge-lab furnish /lab/dpu dpu1             # names, addresses and routes; nothing is forwarded
  selvedge-lab furnish /lab/dpu dpu1 --forward   # to be said when the node's ports are shut")]
pub(super) struct Furnish {
    /// The lab's documents: a directory, or one file
    pub(super) fabric: PathBuf,
    /// The node
    pub(super) node: NodeName,
    /// Forward packets from now on, instead
    #[arg(long)]
    pub(super) forward: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("must be longer than nothing".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; write e.g. `500ms` or `2s`")),
    }
}
