//! `selvedge validate` and `selvedge schema`: without a controller.

use std::path::PathBuf;

use clap::ValueEnum;
use selvedge_topology::documents::{Diagnostic, Severity, load, schema as json_schema};
use serde::Serialize;

use super::{Answer, CliError, findings, output, source};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  selvedge validate fabric/\n  selvedge validate -o json fabric.yaml policies/\n  \
                        cat *.yaml | selvedge validate -"
)]
pub(super) struct Args {
    /// Directories (every *.yaml and *.yml in them), files, or `-` for standard input.
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// How findings are shown.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// With the source lines, for people.
    Text,
    /// As JSON.
    Json,
}

/// What is said of documents, for programs.
#[derive(Serialize)]
struct Judged<'d> {
    valid: bool,
    documents: usize,
    findings: Vec<Finding<'d>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding<'d> {
    severity: &'static str,
    code: &'static str,
    file: &'d str,
    line: u32,
    column: u32,
    message: &'d str,
    help: Option<&'d str>,
}

pub(super) fn run(args: &Args) -> Result<Answer, CliError> {
    let files = source::read(&args.paths)?;
    let loaded = load(&files);
    let valid = loaded.model.is_some();
    match args.output {
        Format::Json => {
            let findings = loaded.diagnostics.iter().map(finding).collect();
            output::print(&output::json(&Judged { valid, documents: loaded.documents.len(), findings })?)?;
        }
        Format::Text => {
            findings::show(&loaded.diagnostics)?;
            if valid {
                let count = loaded.documents.len();
                let plural = if count == 1 { "" } else { "s" };
                output::print(&format!("{count} document{plural}: valid\n"))?;
            }
        }
    }
    Ok(if valid { Answer::Yes } else { Answer::No })
}

pub(super) fn schema() -> Result<Answer, CliError> {
    output::print(&output::json(&json_schema())?)?;
    Ok(Answer::Yes)
}

fn finding(diagnostic: &Diagnostic) -> Finding<'_> {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    Finding {
        severity,
        code: diagnostic.code,
        file: &diagnostic.place.file,
        line: diagnostic.place.line,
        column: diagnostic.place.column,
        message: &diagnostic.message,
        help: diagnostic.help.as_deref(),
    }
}
