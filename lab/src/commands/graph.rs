//! `selvedge-lab graph`.

use std::process::ExitCode;

use super::CommandError;
use super::arguments::Graph;
use crate::documents;
use crate::graph::mermaid;

pub(super) fn run(arguments: &Graph) -> Result<ExitCode, CommandError> {
    anstream::print!("{}", mermaid(&documents::load(&arguments.fabric)?));
    Ok(ExitCode::SUCCESS)
}
