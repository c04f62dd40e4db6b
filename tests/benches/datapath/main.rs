//! What a packet costs: the data path against its floor, the kernel's own firewalls and other shapes of table.
//!
//! All in one run, contenders in turn. Prints a table, writes target/bench/datapath.json. Arguments that are not
//! options choose cases by a part of their name. Needs root.

mod cases;
mod contenders;
mod feeder;
mod frames;
mod measure;
mod report;
mod results;
mod stage;
mod targets;
mod tool;
mod world;

use std::env;
use std::process::ExitCode;

use anyhow::Result;

use cases::{Case, case_name};
use results::Results;
use selvedge_tests::bpf;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-datapath: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let wanted: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    stage::private_mounts()?;
    let cpu = measure::pin()?;
    println!("on CPU {cpu}, medians of {} interleaved runs\n{}", measure::REPEATS, report::head());
    let mut outcomes = Vec::new();
    for (topic, family) in Case::all() {
        if is_wanted(&case_name(topic, family)) {
            let measured = measure::measure(&Case::new(topic, family, measure::RUNS))?;
            print!("{}", report::case(&measured));
            outcomes.extend(measured);
        }
    }
    let results = Results { outcomes, memory: contenders::memory().map_err(|error| format!("{error:#}")) };
    let targets = targets::judge(&results);
    println!("\n{}\n{}", report::targets(&targets), report::NOTES);
    for reason in report::reasons(&results) {
        println!("not run: {reason}");
    }
    println!("written to {}", report::write(&results, &targets)?.display());
    Ok(())
}
