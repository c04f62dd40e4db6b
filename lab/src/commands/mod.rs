//! The commands of `selvedge-lab`.

mod arguments;
mod down;
mod exec;
mod furnish;
mod list;
mod output;
mod probe;
mod traffic;
mod up;
mod vm;

use std::process::ExitCode;

pub use arguments::Arguments;
use arguments::Command;

use selvedge_topology::documents::{Colours, render};

use crate::blueprint::BlueprintError;
use crate::build::BuildError;
use crate::clear::ClearError;
use crate::documents::DocumentsError;
use crate::kernel::namespace::NamespaceError;
use crate::names::LabName;
use crate::probe::ProbeError;
use crate::registry::{self, Phase, Record, RegistryError};
use crate::traffic::TrafficError;
use crate::vm::{KitError, MachineError, SeatError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The documents.
    #[error(transparent)]
    Documents(#[from] DocumentsError),
    /// The documents are no lab.
    #[error(transparent)]
    Blueprint(#[from] BlueprintError),
    /// Building.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Removing.
    #[error(transparent)]
    Clear(#[from] ClearError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// Probing.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// Traffic.
    #[error(transparent)]
    Traffic(#[from] TrafficError),
    /// What a virtual machine boots from.
    #[error(transparent)]
    Kit(#[from] KitError),
    /// A virtual machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The place of one in a lab.
    #[error(transparent)]
    Seat(#[from] SeatError),
    /// No lab.
    #[error("no lab is up; make one with `selvedge-lab up FABRIC`")]
    NoLab,
    /// No lab of this name.
    #[error("there is no lab `{lab}`{}; `selvedge-lab list` shows all", others(known))]
    UnknownLab {
        /// The name.
        lab: LabName,
        /// The labs there are.
        known: Vec<LabName>,
    },
    /// Several labs, and none named.
    #[error("several labs are up ({}): say which", names(.0))]
    WhichLab(Vec<LabName>),
    /// A lab whose `up` was interrupted.
    #[error(
        "lab `{lab}` is unfinished: its `up` was interrupted, or still runs; `selvedge-lab up` makes it anew"
    )]
    Unfinished {
        /// Its name.
        lab: LabName,
    },
    /// No such place.
    #[error("lab `{lab}` has no `{target}`; it has {}", known.join(", "))]
    UnknownTarget {
        /// The lab.
        lab: LabName,
        /// As the user wrote it.
        target: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A program can't be started.
    #[error("{program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The runtime can't be started, or output not be written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Output can't be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

fn names(labs: &[LabName]) -> String {
    labs.iter().map(LabName::as_str).collect::<Vec<_>>().join(", ")
}

fn others(known: &[LabName]) -> String {
    if known.is_empty() { String::new() } else { format!(" (there is {})", names(known)) }
}

/// Runs a command. Errors are shown here.
pub fn run(arguments: Arguments) -> ExitCode {
    let done = match arguments.command {
        Command::Up(arguments) => up::run(&arguments),
        Command::Down(arguments) => down::run(&arguments),
        Command::Exec(arguments) => exec::run(&arguments),
        Command::List(arguments) => list::list(&arguments),
        Command::Inspect(arguments) => list::inspect(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Traffic(arguments) => traffic::run(&arguments),
        Command::Vm(arguments) => vm::run(arguments),
        Command::Furnish(arguments) => furnish::run(&arguments),
    };
    done.unwrap_or_else(|error| {
        if let CommandError::Documents(DocumentsError::Invalid(diagnostics)) = &error {
            anstream::eprint!("{}", render(diagnostics, Colours::Ansi));
        }
        anstream::eprintln!("{ERROR}error:{ERROR:#} {error}");
        ExitCode::FAILURE
    })
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

/// The lab that a command is about: the one named, or the only one; it must be complete.
fn lab(named: Option<&LabName>) -> Result<Record, CommandError> {
    let known = registry::labs()?;
    let lab = match (named, known.as_slice()) {
        (Some(lab), _) => lab,
        (None, []) => return Err(CommandError::NoLab),
        (None, [lab]) => lab,
        (None, _) => return Err(CommandError::WhichLab(known)),
    };
    match registry::find(lab)? {
        Some(record) if record.phase == Phase::Up => Ok(record),
        Some(_) => Err(CommandError::Unfinished { lab: lab.clone() }),
        None => Err(CommandError::UnknownLab { lab: lab.clone(), known }),
    }
}
