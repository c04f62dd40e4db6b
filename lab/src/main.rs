//! `selvedge-lab`: builds fabrics out of network namespaces and probes them.

use std::process::ExitCode;

use clap::Parser;
use selvedge_lab::commands::{Arguments, run};

fn main() -> ExitCode {
    run(Arguments::parse())
}
