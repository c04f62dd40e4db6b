//! `selvedge-lab vm`.

use std::process::ExitCode;

use super::CommandError;
use super::arguments::Vm;
use crate::vm::{Hardware, Kit, Machine, Talk, Task};

/// Becomes the console, or the task's voice; returns when the machine has ended.
pub(super) fn run(arguments: Vm) -> Result<ExitCode, CommandError> {
    let Vm { kit, programs, files, environment, cpus, memory, timeout, console, command } = arguments;
    let kit = Kit::open(&kit)?;
    let scratch = tempfile::NamedTempFile::new()?;
    let talk = match command.as_slice() {
        [] => Talk::Shell,
        _ => Talk::Task(console.unwrap_or_else(|| scratch.path().to_owned())),
    };
    let task = Task { command, environment, programs, files };
    let hardware = Hardware { processors: cpus, memory };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        let machine = Machine::boot(&kit, hardware, &task, talk)?;
        machine.ended(timeout).await
    })?;
    Ok(ExitCode::from(code))
}
