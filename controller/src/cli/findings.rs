//! Showing errors and warnings.

use std::io::Write as _;

use selvedge_proto::wire;
use selvedge_topology::documents::codes::Code;
use selvedge_topology::documents::{Colours, Diagnostic, Severity, render};
use selvedge_topology::model::Place;

use super::CliError;

/// Shows findings on standard error, in colour where that is a terminal.
pub(super) fn show(findings: &[Diagnostic]) -> Result<(), CliError> {
    let mut out = anstream::stderr().lock();
    out.write_all(render(findings, Colours::Ansi).as_bytes()).map_err(CliError::Output)
}

/// Reads findings of the controller.
pub(super) fn from_wire(findings: Vec<wire::Diagnostic>) -> Vec<Diagnostic> {
    findings.into_iter().map(one).collect()
}

fn one(finding: wire::Diagnostic) -> Diagnostic {
    let severity = match finding.severity() {
        wire::Severity::Warning => Severity::Warning,
        // Better one error too many than one too few.
        wire::Severity::Error | wire::Severity::Unspecified => Severity::Error,
    };
    let wire::Diagnostic {
        severity: _,
        code,
        file,
        line,
        column,
        width,
        source,
        source_column,
        message,
        help,
    } = finding;
    // A newer controller may know more codes than we do.
    let code = Code::ALL.iter().map(|known| known.as_str()).find(|known| *known == code).unwrap_or("other");
    let help = (!help.is_empty()).then_some(help);
    Diagnostic {
        severity,
        code,
        place: Place { file, line, column },
        width,
        source,
        source_column,
        message,
        help,
    }
}
