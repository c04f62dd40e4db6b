//! `selvedge-lab vm`.

use std::process::ExitCode;

use selvedge_topology::names::NodeName;

use super::arguments::Vm;
use super::{CommandError, exec};
use crate::blueprint::draw;
use crate::documents;
use crate::names::{LabName, Target};
use crate::vm::{Hardware, Kit, Machine, Seat, Talk, Task, Variable};

/// Becomes the console, or the task's voice; returns when the machine has ended.
pub(super) fn run(arguments: Vm) -> Result<ExitCode, CommandError> {
    let Vm { kit, node, lab, programs, files, mut environment, cpus, memory, timeout, console, command } =
        arguments;
    let kit = Kit::open(&kit)?;
    let seat = node.map(|node| {
        // A machine has no disk to keep an identity on from one boot to the next.
        let servers = exec::servers(&Target::Node(node.clone()), exec::Wire::Insecure).into_iter();
        environment.extend(servers.map(|(name, value)| Variable { name: name.to_owned(), value }));
        seat(lab.as_ref(), &node)
    });
    let seat = seat.transpose()?;
    let scratch = tempfile::NamedTempFile::new()?;
    let talk = match command.as_slice() {
        [] => Talk::Shell,
        _ => Talk::Task(console.unwrap_or_else(|| scratch.path().to_owned())),
    };
    let task = Task { command, environment, programs, files };
    let hardware = Hardware { processors: cpus, memory };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        let machine = Machine::boot(&kit, hardware, &task, talk, seat)?;
        machine.ended(timeout).await
    })?;
    Ok(ExitCode::from(code))
}

/// The place of a node, as the lab's documents say it.
fn seat(lab: Option<&LabName>, node: &NodeName) -> Result<Seat, CommandError> {
    let record = super::lab(lab)?;
    let blueprint = draw(&documents::load(&record.documents)?, &record.lab)?;
    Ok(Seat::open(&record.lab, blueprint.node(node)?)?)
}
