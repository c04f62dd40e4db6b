//! `selvedge-lab down`.

use std::process::ExitCode;

use super::CommandError;
use super::arguments::Down;
use super::output::say;
use crate::clear::{Cleared, clear};
use crate::names::LabName;
use crate::registry::{self, Registry};

pub(super) fn run(arguments: &Down) -> Result<ExitCode, CommandError> {
    let labs = match (&arguments.name, arguments.all) {
        (Some(lab), _) => vec![lab.clone()],
        (None, true) => registry::labs()?,
        (None, false) => the_only_one()?,
    };
    if labs.is_empty() {
        say("no lab is up, nothing to remove")?;
    }
    let registry = Registry::lock()?;
    for lab in labs {
        let cleared = clear(&registry, &lab)?;
        say(format_args!("lab {lab}: {}", summary(&cleared)))?;
        for process in &cleared.left {
            anstream::eprintln!(
                "warning: process {} ({}) was not started through the lab and goes on in what was {}",
                process.pid,
                process.command,
                process.namespace
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn the_only_one() -> Result<Vec<LabName>, CommandError> {
    let labs = registry::labs()?;
    if labs.len() > 1 { Err(CommandError::WhichLab(labs)) } else { Ok(labs) }
}

/// What was removed, in words.
pub(super) fn summary(cleared: &Cleared) -> String {
    let Cleared { namespaces, ended, left: _, unmounted } = cleared;
    let counts = [
        (namespaces.len(), "namespace"),
        (unmounted.len(), "bpffs mount"),
        (ended.len(), "process started through the lab"),
    ];
    let parts: Vec<String> =
        counts.iter().filter(|(number, _)| *number > 0).map(|(n, what)| count(*n, what)).collect();
    if parts.is_empty() { "nothing to remove".to_owned() } else { format!("removed {}", parts.join(", ")) }
}

fn count(number: usize, what: &str) -> String {
    match (number, what.split_once(' ')) {
        (1, _) => format!("1 {what}"),
        (_, Some(("process", rest))) => format!("{number} processes {rest}"),
        _ => format!("{number} {what}s"),
    }
}
