//! `selvedge graph`: a picture of documents, without a controller.

use std::path::PathBuf;

use clap::ValueEnum;
use selvedge_topology::documents::load;

use super::{Answer, CliError, findings, output, source};
use crate::draw;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  selvedge graph fabric/\n  selvedge graph fabric/ -o svg > fabric.svg")]
pub(super) struct Args {
    /// Directories, files, or `-` for standard input.
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// How it is drawn.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Boxes and lines of characters.
    Text,
    /// An SVG image.
    Svg,
    /// For Graphviz.
    Dot,
    /// For Mermaid.
    Mermaid,
}

pub(super) fn run(args: &Args) -> Result<Answer, CliError> {
    let loaded = load(&source::read(&args.paths)?);
    let Some(model) = loaded.model else {
        findings::show(&loaded.diagnostics)?;
        return Err(CliError::Invalid { consequence: "; there is nothing to draw" });
    };
    output::print(&match args.output {
        Format::Text => draw::text(&model),
        Format::Svg => draw::svg(&model),
        Format::Dot => draw::dot(&model),
        Format::Mermaid => draw::mermaid(&model),
    })?;
    Ok(Answer::Yes)
}
