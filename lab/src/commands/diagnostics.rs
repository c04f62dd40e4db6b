//! Findings in documents, as compilers show theirs.

use anstyle::{AnsiColor, Style};
use selvedge_topology::documents::{Diagnostic, Severity};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Prints findings to standard error.
pub(super) fn print(diagnostics: &[Diagnostic]) {
    for finding in diagnostics {
        let (word, color) = match finding.severity {
            Severity::Error => ("error", AnsiColor::Red),
            Severity::Warning => ("warning", AnsiColor::Yellow),
        };
        let style = color.on_default().bold();
        let Diagnostic { place, code, message, source, .. } = finding;
        anstream::eprintln!("{BOLD}{place}:{BOLD:#} {style}{word}:{style:#} {message} {DIM}[{code}]{DIM:#}");
        let before = " ".repeat(place.column.saturating_sub(1) as usize);
        let mark = "^".repeat(finding.width as usize);
        anstream::eprintln!("{DIM}{:>5} |{DIM:#} {source}", place.line);
        anstream::eprintln!("{DIM}      |{DIM:#} {before}{style}{mark}{style:#}");
        if let Some(help) = &finding.help {
            anstream::eprintln!("{DIM}      = help:{DIM:#} {help}");
        }
    }
}
