//! `selvedge-lab up`.

use std::process::ExitCode;
use std::time::Instant;

use super::arguments::Up;
use super::output::say;
use super::{CommandError, down};
use crate::blueprint;
use crate::build::build;
use crate::documents;
use crate::names::LabName;
use crate::registry;

pub(super) fn run(arguments: &Up) -> Result<ExitCode, CommandError> {
    let started = Instant::now();
    let model = documents::load(&arguments.fabric)?;
    let lab = arguments.name.clone().unwrap_or_else(|| LabName::from(model.fabric.name.clone()));
    let blueprint =
        blueprint::draw(&model, &lab)?.with_machines(&arguments.machines.iter().cloned().collect())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(left) = runtime.block_on(build(&blueprint, &arguments.fabric))? {
        say(format_args!("lab {lab}: cleared what an interrupted `up` had left: {}", down::summary(&left)))?;
    }
    let (spaces, wires, took) =
        (blueprint.spaces.len(), blueprint.wires.len(), started.elapsed().as_secs_f32());
    say(format_args!("lab {lab}: up, {spaces} namespaces and {wires} wires in {took:.1} s"))?;
    say(format_args!("agents pin below {}", registry::bpffs(&lab).display()))?;
    Ok(ExitCode::SUCCESS)
}
