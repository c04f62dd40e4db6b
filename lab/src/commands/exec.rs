//! `selvedge-lab exec`.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use super::CommandError;
use super::arguments::Exec;
use crate::kernel::namespace::Namespace;
use crate::kernel::processes::MARK;
use crate::registry::{Place, Record};

/// Becomes the command; returns only if it can't.
pub(super) fn run(arguments: &Exec) -> Result<ExitCode, CommandError> {
    let record = super::lab(arguments.lab.as_ref())?;
    let place = place(&record, &arguments.target)?;
    let Some((program, rest)) = arguments.command.split_first() else { return Ok(ExitCode::from(2)) };
    Namespace::open(&place.namespace)?.enter()?;
    // The network namespace only: a mount namespace of its own, as `ip netns exec` makes, would hide the bpffs.
    let source = Command::new(program).args(rest).env(MARK, record.lab.as_str()).exec();
    Err(CommandError::Start { program: program.clone(), source })
}

/// The place that `target` means.
pub(super) fn place<'a>(record: &'a Record, target: &str) -> Result<&'a Place, CommandError> {
    record.place(target).ok_or_else(|| CommandError::UnknownTarget {
        lab: record.lab.clone(),
        target: target.to_owned(),
        known: record.places.iter().map(|place| place.target.to_string()).collect(),
    })
}
