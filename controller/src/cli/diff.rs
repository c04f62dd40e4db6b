//! `selvedge diff`: documents against what is applied.

use std::fmt::Write as _;
use std::path::PathBuf;

use anstyle::AnsiColor;
use selvedge_topology::documents::{Document, load, to_yaml};
use similar::{ChangeTag, TextDiff};

use super::client::connect;
use super::{Answer, CliError, findings, output, snapshot, source};
use crate::state::{Change, changes};

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
    let applied = load(&snapshot::files(&mut connect(server).await?).await?);
    let changes = changes(&applied.documents, &wanted.documents);
    output::print(&render(&changes))?;
    Ok(if changes.is_empty() { Answer::Yes } else { Answer::No })
}

/// A unified diff of the canonical form of each document that changed. Equal documents say nothing.
pub(super) fn render(changes: &[Change<'_>]) -> String {
    changes.iter().map(one).collect()
}

fn one(change: &Change<'_>) -> String {
    let text = |document: Option<&Document>| document.map(to_yaml).unwrap_or_default();
    let (before, after) = (text(change.before), text(change.after));
    let name = |document: Option<&Document>, side: &str| match document {
        Some(_) => format!("{side}/{}/{}", change.kind, change.name),
        None => "/dev/null".to_owned(),
    };
    let mut out = String::new();
    // Writing to a string can't fail.
    let bold = anstyle::Style::new().bold();
    let _ = writeln!(out, "{bold}--- {}{bold:#}", name(change.before, "applied"));
    let _ = writeln!(out, "{bold}+++ {}{bold:#}", name(change.after, "wanted"));
    let diff = TextDiff::from_lines(&before, &after);
    for hunk in diff.unified_diff().iter_hunks() {
        let cyan = AnsiColor::Cyan.on_default();
        let _ = writeln!(out, "{cyan}{}{cyan:#}", hunk.header());
        for line in hunk.iter_changes() {
            let style = match line.tag() {
                ChangeTag::Delete => AnsiColor::Red.on_default(),
                ChangeTag::Insert => AnsiColor::Green.on_default(),
                ChangeTag::Equal => anstyle::Style::new(),
            };
            let _ = writeln!(out, "{style}{}{}{style:#}", line.tag(), line.value().trim_end_matches('\n'));
        }
    }
    out
}
