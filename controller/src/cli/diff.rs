//! `selvedge diff`: documents against what is applied.

use std::path::PathBuf;

use selvedge_topology::documents::{load, load_excerpts};

use super::client::connect;
use super::{Answer, CliError, findings, output, snapshot, source};
use crate::state::{changes, unified_diff};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  selvedge diff -f fabric/")]
pub(super) struct Args {
    /// The complete desired state: directories, files, or `-` for standard input.
    #[arg(short, long = "filename", required = true, value_name = "DIR|FILE")]
    files: Vec<PathBuf>,
}

pub(super) async fn run(server: &str, args: &Args) -> Result<Answer, CliError> {
    let wanted = load(&source::read(&args.files)?);
    if wanted.model.is_none() {
        findings::show(&wanted.diagnostics)?;
        return Err(CliError::Invalid { consequence: "; nothing was compared" });
    }
    let applied = load_excerpts(&snapshot::excerpts(&mut connect(server).await?).await?);
    let changes = changes(&applied.documents, &wanted.documents);
    output::print(&unified_diff(&changes))?;
    Ok(if changes.is_empty() { Answer::Yes } else { Answer::No })
}
