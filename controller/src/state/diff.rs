//! Changes as people read them: a unified diff of the canonical form of each document.

use std::fmt::Write as _;

use anstyle::AnsiColor;
use selvedge_topology::documents::{Document, to_yaml};
use similar::{ChangeTag, TextDiff};

use super::Change;

/// A unified diff of the canonical form of each document that changed. Equal documents say nothing.
pub fn unified_diff(changes: &[Change<'_>]) -> String {
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
