//! Where findings are collected: bounded, and given their source lines in one sweep at the end.

use super::codes::Code;
use super::limits;
use super::tree::Span;
use super::{Diagnostic, Severity, SourceFile};
use crate::model::Place;

/// Collects errors.
pub(crate) struct Sink<'a> {
    files: &'a [SourceFile],
    errors: Vec<Diagnostic>,
    suppressed: usize,
    completeness: Completeness,
}

/// Whether every document was seen. Where one was not, a name that nothing has may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completeness {
    Complete,
    Partial,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(files: &'a [SourceFile]) -> Self {
        Self { files, errors: Vec::new(), suppressed: 0, completeness: Completeness::Complete }
    }

    /// Reports an error about `span`.
    pub(crate) fn error(
        &mut self,
        code: Code,
        span: Span,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        if self.errors.len() >= limits::FINDINGS {
            self.suppressed += 1;
            return;
        }
        self.errors.push(finding(
            Severity::Error,
            code,
            (self.place(span), span.width),
            message.into(),
            help.into(),
        ));
    }

    /// Says that some documents could not be seen.
    pub(crate) fn lose_documents(&mut self) {
        self.completeness = Completeness::Partial;
    }

    pub(crate) fn completeness(&self) -> Completeness {
        self.completeness
    }

    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Where `span` is, for users.
    pub(crate) fn place(&self, span: Span) -> Place {
        let file = self.files.get(span.file as usize).map(|file| file.name.clone()).unwrap_or_default();
        Place { file, line: span.line, column: span.column }
    }

    /// All errors, by place, each with its source line.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        attach_sources(self.files, &mut self.errors);
        add_rest(&mut self.errors, self.suppressed);
        self.errors
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
    Diagnostic { severity, code: code.as_str(), place, width, source: String::new(), message, help }
}

/// Says at the last finding how many are not shown.
pub(crate) fn add_rest(findings: &mut Vec<Diagnostic>, rest: usize) {
    if rest == 0 {
        return;
    }
    if let Some(last) = findings.last().cloned() {
        findings.push(Diagnostic {
            code: Code::MoreFindings.as_str(),
            message: format!("and {rest} more like these"),
            help: Some(format!("at most {} are shown at once", limits::FINDINGS)),
            ..last
        });
    }
}

/// Sorts findings by place and gives each its source line. A place beyond the text is moved to its end.
pub(crate) fn attach_sources(files: &[SourceFile], findings: &mut [Diagnostic]) {
    let order = |name: &str| files.iter().position(|file| file.name == name);
    findings.sort_by_cached_key(|finding| {
        let place = &finding.place;
        (order(&place.file), place.line, place.column, finding.code, finding.message.clone())
    });
    for of_file in findings.chunk_by_mut(|a, b| a.place.file == b.place.file) {
        if let Some(file) = order(&of_file[0].place.file).and_then(|index| files.get(index)) {
            attach_lines(&file.text, of_file);
        }
    }
}

/// One walk over the text for all findings of a file.
fn attach_lines(text: &str, findings: &mut [Diagnostic]) {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = next_line(&mut rest).unwrap_or_default();
    let mut number = 1;
    for finding in findings {
        while number < finding.place.line
            && let Some(next) = next_line(&mut rest)
        {
            (line, number) = (next, number + 1);
        }
        let length = u32::try_from(line.chars().count()).unwrap_or(u32::MAX - 1);
        if finding.place.line > number {
            (finding.place.line, finding.place.column) = (number, length + 1);
        }
        finding.place.column = finding.place.column.clamp(1, length + 1);
        finding.width = finding.width.clamp(1, (length + 1 - finding.place.column).max(1));
        finding.source = line.chars().take(limits::SOURCE_LINE).collect();
    }
}

/// The next line, ended by any of the line breaks of YAML.
fn next_line<'t>(rest: &mut &'t str) -> Option<&'t str> {
    if rest.is_empty() {
        return None;
    }
    let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let (line, after) = rest.split_at(end);
    *rest = after.strip_prefix("\r\n").or_else(|| after.strip_prefix(['\n', '\r'])).unwrap_or_default();
    Some(line)
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
