//! Where findings are collected: bounded, and given their source lines in one sweep at the end.

use std::collections::HashMap;
use std::sync::Arc;

use super::codes::Code;
use super::files::{Files, Piece, next_line};
use super::limits;
use super::tree::Span;
use super::{Diagnostic, Severity};
use crate::model::Place;

/// Collects what is found in files.
pub(crate) struct Sink<'a> {
    files: &'a Files,
    /// What can be shown of them.
    pieces: Vec<Piece<'a>>,
    errors: Findings,
    warnings: Findings,
    completeness: Completeness,
}

/// Findings up to [`limits::FINDINGS`], and how many there are beyond.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    shown: Vec<Diagnostic>,
    beyond: usize,
}

impl Findings {
    /// Takes a finding; does not make one that will not be shown.
    pub(crate) fn add(&mut self, make: impl FnOnce() -> Diagnostic) {
        if self.shown.len() < limits::FINDINGS {
            self.shown.push(make());
        } else {
            self.beyond += 1;
        }
    }

    /// What is shown, and at the end how much is not.
    pub(crate) fn into_vec(mut self) -> Vec<Diagnostic> {
        if self.beyond > 0
            && let Some(last) = self.shown.last().cloned()
        {
            let message = format!("and {} more that are not shown", self.beyond);
            let help = Some(format!("at most {} are shown at once", limits::FINDINGS));
            self.shown.push(Diagnostic { code: Code::MoreFindings.as_str(), message, help, ..last });
        }
        self.shown
    }
}

/// Whether every document was seen. Where one was not, a name that nothing has may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completeness {
    Complete,
    Partial,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(files: &'a Files, pieces: Vec<Piece<'a>>) -> Self {
        let (errors, warnings) = (Findings::default(), Findings::default());
        Self { files, pieces, errors, warnings, completeness: Completeness::Complete }
    }

    /// Takes in a piece that findings may be about.
    pub(crate) fn show(&mut self, piece: Piece<'a>) {
        self.pieces.push(piece);
    }

    /// Reports an error about `span`.
    pub(crate) fn error(
        &mut self,
        code: Code,
        span: Span,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        let at = (self.place(span), span.width);
        self.errors.add(|| finding(Severity::Error, code, at, message.into(), help.into()));
    }

    /// Reports what is legal and probably wrong.
    pub(crate) fn warning(&mut self, code: Code, span: Span, message: String, help: String) {
        let at = (self.place(span), span.width);
        self.warnings.add(|| finding(Severity::Warning, code, at, message, Some(help)));
    }

    /// Says that some documents could not be seen.
    pub(crate) fn lose_documents(&mut self) {
        self.completeness = Completeness::Partial;
    }

    pub(crate) fn completeness(&self) -> Completeness {
        self.completeness
    }

    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.shown.is_empty()
    }

    /// Where `span` is, for users.
    pub(crate) fn place(&self, span: Span) -> Place {
        Place { file: self.files.name(span.file).to_string(), line: span.line, column: span.column }
    }

    /// Everything found and `lints`, by place, each with its source line.
    pub(crate) fn finish(self, lints: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let mut all = self.errors.into_vec();
        all.extend(self.warnings.into_vec());
        all.extend(lints);
        attach_sources(self.files, &self.pieces, &mut all);
        all
    }
}

/// Makes a finding that has no source line yet.
pub(crate) fn finding(
    severity: Severity,
    code: Code,
    (place, width): (Place, u32),
    message: String,
    help: Option<String>,
) -> Diagnostic {
    Diagnostic {
        severity,
        code: code.as_str(),
        place,
        width,
        source: String::new(),
        source_column: 1,
        message,
        help,
    }
}

/// Sorts findings by place and gives each its source line. A place beyond the text is moved to its end.
fn attach_sources(files: &Files, pieces: &[Piece<'_>], findings: &mut [Diagnostic]) {
    if findings.is_empty() {
        return;
    }
    let mut by_name: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
    for (index, piece) in pieces.iter().enumerate() {
        by_name.entry(files.name(piece.file)).or_default().push(index);
    }
    // Of the pieces of the file, the last that begins in the line or before it.
    let order = |place: &Place| {
        let of_file = by_name.get(place.file.as_str())?.iter().rev().copied();
        of_file.filter(|index| pieces[*index].line <= place.line).max_by_key(|index| pieces[*index].line)
    };
    findings.sort_by_cached_key(|finding| {
        let place = &finding.place;
        // How many more there are is said last.
        let last = finding.code == Code::MoreFindings.as_str();
        (last, order(place), place.line, place.column, finding.code, finding.message.clone())
    });
    for of_piece in findings.chunk_by_mut(|a, b| order(&a.place) == order(&b.place)) {
        if let Some(index) = order(&of_piece[0].place) {
            attach_lines(pieces[index], of_piece);
        }
    }
}

/// One walk over the text for all findings of a piece, which are sorted.
fn attach_lines(piece: Piece<'_>, findings: &mut [Diagnostic]) {
    let mut rest = piece.text.strip_prefix('\u{feff}').unwrap_or(piece.text);
    let mut line = Line::new(next_line(&mut rest).unwrap_or_default());
    let mut number = piece.line;
    for finding in findings {
        while number < finding.place.line
            && let Some(next) = next_line(&mut rest)
        {
            (line, number) = (Line::new(next), number + 1);
        }
        if finding.place.line > number {
            (finding.place.line, finding.place.column) = (number, u32::MAX);
        }
        let length = line.length();
        finding.place.column = finding.place.column.clamp(1, length + 1);
        finding.width = finding.width.clamp(1, (length + 1 - finding.place.column).max(1));
        finding.source_column = first_shown(finding);
        finding.source = line.from(finding.source_column).chars().take(limits::SOURCE_LINE).collect();
    }
}

/// The first column to show: 1, unless what the finding is about would not be seen then.
fn first_shown(finding: &Diagnostic) -> u32 {
    const CONTEXT: u32 = 40;
    let seen_to = finding.place.column.saturating_add(finding.width.min(CONTEXT));
    if seen_to as usize <= limits::SOURCE_LINE {
        1
    } else {
        finding.place.column.saturating_sub(CONTEXT).max(1)
    }
}

/// A line, however long, that is walked once.
struct Line<'t> {
    text: &'t str,
    length: Option<u32>,
    /// A column, from 1, and the bytes before it.
    reached: (u32, usize),
}

impl<'t> Line<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, length: None, reached: (1, 0) }
    }

    /// Its characters.
    fn length(&mut self) -> u32 {
        let count = || u32::try_from(self.text.chars().count()).unwrap_or(u32::MAX - 1);
        *self.length.get_or_insert_with(count)
    }

    /// The rest from `column`; columns are asked for in order.
    fn from(&mut self, column: u32) -> &'t str {
        let (at, bytes) = self.reached;
        let (at, bytes) = if column < at { (1, 0) } else { (at, bytes) };
        let rest = &self.text[bytes..];
        let skipped = rest.char_indices().nth((column - at) as usize).map_or(rest.len(), |(index, _)| index);
        self.reached = (column, bytes + skipped);
        &self.text[bytes + skipped..]
    }
}

/// The text in backticks, cut to a readable length.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 64;
    let mut cut: String = text.chars().take(LONGEST).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("`{cut}`")
}

/// ": did you mean `x`?", or the names there are, for a name that is not among them.
pub(crate) fn suggestion<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<String> {
    const SHOWN: usize = 8;
    const COMPARED: usize = 20_000;
    let names: Vec<&str> = names.take(COMPARED).collect();
    let likely = |candidate: &&str| strsim::damerau_levenshtein(name, candidate) <= 1 + name.len() / 4;
    let mut near: Vec<&str> = match name.len() {
        0..=64 => names.iter().copied().filter(likely).collect(),
        _ => Vec::new(),
    };
    near.sort_by_key(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate));
    near.truncate(3);
    if !near.is_empty() {
        let near: Vec<String> = near.into_iter().map(quoted).collect();
        return Some(format!("did you mean {}?", near.join(" or ")));
    }
    if names.is_empty() {
        return None;
    }
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| quoted(name)).collect();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    Some(format!("there are {}{more}", shown.join(", ")))
}
