//! The checks of `lab/netdevsim`: a node whose ports are simulated cards, with the real controller, etcd and agent.
//!
//! To be run as root where the kernel has netdevsim, in a network namespace with sysfs, debugfs and bpffs of its own, with
//! `selvedge`, `selvedge-controller`, `selvedge-agent` and `etcd` in `PATH`. Each check asks the kernel, or sends packets.

mod cards;
mod counters;
mod device;
mod documents;
mod fabric;
mod foreign;
mod kernel;
mod probing;
mod refusals;
mod site;
mod story;
mod tally;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use tally::Tally;

fn main() -> ExitCode {
    let Some(documents) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: netdevsim-checks FOLDER   (the fabric's documents: lab/fabrics/netdevsim)");
        return ExitCode::from(2);
    };
    let mut tally = Tally::default();
    if let Err(error) = story::run(&documents, &mut tally) {
        println!("FAILED  the checks could not go on: {error}");
        tally.failed();
    }
    println!("lab-netdevsim: {tally} checks hold");
    if tally.all_hold() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
