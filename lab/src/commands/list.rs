//! `selvedge-lab list` and `inspect`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::CommandError;
use super::arguments::{Inspect, List, Output};
use super::output::say;
use crate::kernel::namespace;
use crate::kernel::processes::{self, Process};
use crate::names::NamespaceName;
use crate::registry::{self, Phase, Record};
use crate::table::Table;

pub(super) fn list(arguments: &List) -> Result<ExitCode, CommandError> {
    let records = registry::records()?;
    match arguments.output {
        Output::Json => say(serde_json::to_string_pretty(&json!({ "labs": records }))?)?,
        Output::Table if records.is_empty() => say("no lab is up")?,
        Output::Table => say(table(&records))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn table(records: &[Record]) -> Table {
    let mut table = Table::new(["LAB", "STATE", "AGE", "NAMESPACES", "DOCUMENTS"]);
    for record in records {
        let state = match record.phase {
            Phase::Unfinished => "unfinished",
            Phase::Up => "up",
        };
        table.row(vec![
            record.lab.to_string(),
            state.to_owned(),
            age(record.since),
            namespaces(record).len().to_string(),
            record.documents.display().to_string(),
        ]);
    }
    table
}

fn namespaces(record: &Record) -> BTreeSet<&NamespaceName> {
    record.places.iter().map(|place| &place.namespace).collect()
}

fn age(since: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    humantime::format_duration(Duration::from_secs(now.saturating_sub(since))).to_string()
}

pub(super) fn inspect(arguments: &Inspect) -> Result<ExitCode, CommandError> {
    let record = super::lab(arguments.lab.as_ref())?;
    let processes = processes_by_namespace(&record);
    match arguments.output {
        Output::Json => {
            let places: Vec<_> = record.places.iter().map(|place| {
                let inside = processes.get(&place.namespace).into_iter().flatten();
                let inside: Vec<_> = inside.map(|p| json!({ "pid": p.pid, "command": p.command })).collect();
                json!({ "target": place.target, "namespace": place.namespace, "addresses": place.addresses, "processes": inside })
            }).collect();
            let directory = registry::directory(&record.lab);
            let whole = json!({ "lab": record.lab, "documents": record.documents, "directory": directory, "bpffs": registry::bpffs(&record.lab), "places": places });
            say(serde_json::to_string_pretty(&whole)?)?;
        }
        Output::Table => {
            let mut table = Table::new(["TARGET", "KIND", "NAMESPACE", "ADDRESSES", "PROCESSES"]);
            for place in &record.places {
                let addresses: Vec<String> = place.addresses.iter().map(ToString::to_string).collect();
                let inside = processes.get(&place.namespace).into_iter().flatten();
                let inside: Vec<String> =
                    inside.map(|process| format!("{} {}", process.pid, name(process))).collect();
                table.row(vec![
                    place.target.to_string(),
                    place.target.kind().to_owned(),
                    place.namespace.to_string(),
                    addresses.join(","),
                    inside.join(", "),
                ]);
            }
            say(table)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The program's name, without its directory and arguments.
fn name(process: &Process) -> &str {
    let program = process.command.split(' ').next().unwrap_or_default();
    program.rsplit('/').next().unwrap_or(program)
}

fn processes_by_namespace(record: &Record) -> BTreeMap<NamespaceName, Vec<Process>> {
    let names = namespaces(record).into_iter();
    let inodes = names.filter_map(|name| Some((namespace::inode(name)?, name.clone()))).collect();
    let mut by_namespace: BTreeMap<NamespaceName, Vec<Process>> = BTreeMap::new();
    for process in processes::inside(&record.lab, &inodes) {
        by_namespace.entry(process.namespace.clone()).or_default().push(process);
    }
    by_namespace
}
