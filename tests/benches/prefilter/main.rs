//! What a prefilter is worth: a flood of denied openings with one allowed in a hundred, through the full program alone, and
//! through the prefilter and then the full program.
//!
//! A device runs its program before the host sees the packet; here no device runs one, so both run natively on one veth: the
//! prefilter as the port's program, which ends in a tail call to the full one where it would pass. The figures are those of a
//! port whose driver runs generated programs in front of the full one. Prints a table, writes target/bench/prefilter.json.
//! Needs root.

mod chain;
#[allow(dead_code, reason = "the datapath bench uses all of it")]
#[path = "../datapath/feeder.rs"]
mod feeder;
#[allow(dead_code, reason = "the datapath bench uses all of it")]
#[path = "../datapath/frames.rs"]
mod frames;
mod node;
mod report;
#[allow(dead_code, reason = "the datapath bench uses all of it")]
#[path = "../datapath/stage.rs"]
mod stage;
#[allow(dead_code, reason = "the datapath bench uses all of it")]
#[path = "../datapath/tool.rs"]
mod tool;
mod traffic;

use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use selvedge_tests::bpf;

use bpf::{attach_xdp, test_run};
use chain::Chain;
use feeder::Feeder;
use frames::Family;
use node::Node;
use report::{Figures, Outcome, Way};
use stage::Stage;
use traffic::Traffic;

/// Runs whose median counts.
const REPEATS: usize = 9;
/// Live frames of a run.
const PACKETS: u32 = 100_000;
/// Times that the program alone is given a frame.
const TIMES: u32 = 20_000;
/// Peers that may open connections to the service, each with an identity of its own.
const PEERS: [u32; 4] = [10, 100, 1_000, 10_000];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-prefilter: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    stage::private_mounts()?;
    println!("{}", report::head());
    let mut outcomes = Vec::new();
    for family in Family::BOTH {
        for peers in PEERS {
            let outcome =
                measure(family, peers).with_context(|| format!("{}, {peers} peers", family.name()))?;
            print!("{}", report::line(&outcome));
            outcomes.push(outcome);
        }
    }
    println!("\n{}\nwritten to {}", report::NOTES, report::write(&outcomes)?.display());
    Ok(())
}

fn measure(family: Family, peers: u32) -> Result<Outcome> {
    let traffic = Traffic::new(family, peers);
    let stage = Stage::new(&[traffic.workload])?;
    let mut node = Node::new(&stage, &traffic)?;
    let full = node.program()?;
    node.establish(full.as_fd(), &traffic, &stage)?;
    let chain = Chain::new(&node.prefilter()?, full.as_fd())?;
    let feeder = Feeder::new(family, &traffic.frames(), stage.feed)?;
    let mut samples: [Vec<Figures>; 2] = Default::default();
    for _ in 0..REPEATS {
        for (way, samples) in Way::BOTH.into_iter().zip(&mut samples) {
            let program = match way {
                Way::Full => full.as_fd(),
                Way::Both => chain.program(),
            };
            let before = (chain.dropped()?, node.denied()?);
            let (figures, denied) = one_run(program, &feeder, &traffic, &stage)?;
            let met = (chain.dropped()? - before.0, node.denied()? - before.1);
            // The very packets that are denied were denied: by the one, or by the other.
            let by = match way {
                Way::Full => met.1,
                Way::Both => met.0,
            };
            ensure!(by == denied && met.0 + met.1 == denied, "{denied} were denied, and {met:?} counted");
            samples.push(figures);
        }
    }
    let [full_alone, both] = samples.map(|samples| report::median(&samples));
    Ok(Outcome { family, peers, full: full_alone, both, prefilter: chain.instructions, tables: chain.tables })
}

/// The figures of one run, and how many packets of it were denied.
fn one_run(
    program: BorrowedFd<'_>,
    feeder: &Feeder,
    traffic: &Traffic,
    stage: &Stage,
) -> Result<(Figures, u64)> {
    let alone = |frame: &[u8]| -> Result<u32> { Ok(test_run(program, frame, stage.port, TIMES)?.duration) };
    let (denied, established) = (alone(&traffic.denied(0))?, alone(&traffic.established())?);
    let link = attach_xdp(program, stage.port).context("native XDP on a veth")?;
    let path = feeder.send(0, PACKETS)?;
    drop(link);
    let figures = Figures { denied: denied.into(), established: established.into(), path: path.into() };
    Ok((figures, u64::from(TIMES) + u64::from(PACKETS - PACKETS / traffic::ALLOWED_ONE_IN)))
}
