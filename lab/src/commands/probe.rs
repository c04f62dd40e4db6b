//! `selvedge-lab probe`.

use std::io;
use std::process::ExitCode;

use super::CommandError;
use super::arguments::{Output, Probe};
use super::output::say;
use crate::documents;
use crate::probe::{Report, Wish, is_probed, matrix, probe, wanted};

/// How many disagreements are told to people; more of them tell no more.
const SHOWN: usize = 40;

pub(super) fn run(arguments: &Probe) -> Result<ExitCode, CommandError> {
    let record = super::lab(arguments.lab.as_ref())?;
    let model = documents::load(arguments.documents.as_ref().unwrap_or(&record.documents))?;
    raise_file_limit();
    let probed = match arguments.ports.as_slice() {
        [] => wanted(&model),
        ports => ports.iter().copied().collect(),
    };
    let wish = Wish {
        model: &model,
        places: record.places.into_iter().filter(is_probed).collect(),
        probed,
        families: arguments.families.iter().copied().collect(),
        patience: arguments.timeout,
    };
    let report = probe(wish)?;
    match arguments.output {
        Output::Json => say(serde_json::to_string_pretty(&report.to_json())?)?,
        Output::Table => print(&report, arguments.quiet)?,
    }
    Ok(if report.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report, quiet: bool) -> io::Result<()> {
    if !quiet {
        say(matrix(report))?;
        say(report.summary())?;
    }
    let wrong = anstyle::AnsiColor::Red.on_default().bold();
    for disagreement in report.disagreements().take(SHOWN) {
        say(format_args!("{wrong}WRONG{wrong:#} {disagreement}"))?;
    }
    let more = (report.findings.len() - report.agreeing()).saturating_sub(SHOWN);
    if more > 0 {
        say(format_args!("{wrong}WRONG{wrong:#} and {more} more; `-o json` names them all"))?;
    }
    say(format_args!("probe: {}/{} flows as the policy says", report.agreeing(), report.findings.len()))
}

/// Every flow under way is an open file. Where the limit can't be raised, flows fail and say so.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}
