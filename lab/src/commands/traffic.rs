//! `selvedge-lab traffic`.

use std::io;
use std::net::IpAddr;
use std::process::ExitCode;

use super::CommandError;
use super::arguments::{Output, Traffic};
use super::exec::place;
use super::output::say;
use crate::traffic::{Amount, Route, Summary, run as send};

pub(super) fn run(arguments: &Traffic) -> Result<ExitCode, CommandError> {
    let record = super::lab(arguments.lab.as_ref())?;
    let (from, to) = (place(&record, &arguments.from)?, place(&record, &arguments.to)?);
    let route = Route::between(from, to, arguments.address, arguments.port)?;
    let amount = arguments.count.map_or(Amount::Lasting(arguments.duration), Amount::Messages);
    let summary = send(&route, amount, arguments.interval)?;
    match arguments.output {
        Output::Json => say(serde_json::to_string_pretty(&summary)?)?,
        Output::Table => print(arguments, route.to, &summary)?,
    }
    Ok(if summary.lost == 0 && summary.broken.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(arguments: &Traffic, to: IpAddr, summary: &Summary) -> io::Result<()> {
    let Summary { sent, received, lost, longest_gap_ms, broken } = summary;
    let Traffic { from, to: name, port, .. } = arguments;
    say(format_args!(
        "{from} -> {name} ({to}) {port}: {sent} sent, {received} answered, {lost} lost, longest gap {longest_gap_ms} ms"
    ))?;
    if let Some(broken) = broken {
        say(format_args!("the connection broke: {broken}"))?;
    }
    Ok(())
}
