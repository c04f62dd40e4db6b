//! `selvedge-lab furnish`.

use std::process::ExitCode;

use super::CommandError;
use super::arguments::Furnish;
use crate::blueprint;
use crate::build::{forward, furnish};
use crate::documents;
use crate::names::LabName;

pub(super) fn run(arguments: &Furnish) -> Result<ExitCode, CommandError> {
    let model = documents::load(&arguments.fabric)?;
    let lab = LabName::from(model.fabric.name.clone());
    let blueprint = blueprint::draw(&model, &lab)?;
    let space = blueprint.node(&arguments.node)?;
    if arguments.forward {
        forward(space)?;
    } else {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(furnish(space))?;
    }
    Ok(ExitCode::SUCCESS)
}
