//! `selvedge`: the command line of the fabric.

use std::process::ExitCode;

use clap::Parser;
use selvedge_controller::cli::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse())
}
