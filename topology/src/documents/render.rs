//! Findings as text, the way compilers write them.

use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};

use super::{Diagnostic, Severity};

/// Whether the text has terminal colours. Who writes to a terminal through something that strips them where
/// they are not wanted can always ask for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// None.
    Plain,
    /// ANSI escapes.
    Ansi,
}

impl Colours {
    fn style(self, style: Style) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Ansi => style,
        }
    }
}

/// All findings, each with its source line, and a last line that counts them. Empty where there are none.
/// Nothing that documents say reaches the terminal unescaped.
///
/// ```text
/// error[unknown-field]: unknown field `selecter`
///  --> policies.yaml:7:3
///   |
/// 7 |   selecter: {}
///   |   ^^^^^^^^
///   = help: did you mean `selector`?
/// ```
pub fn render(findings: &[Diagnostic], colours: Colours) -> String {
    let mut text = String::new();
    for finding in findings {
        // Writing to a string can't fail.
        let _ = one(&mut text, finding, colours);
        text.push('\n');
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let counted = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        many => Some(format!("{many} {what}s")),
    };
    let counts = [counted(count(Severity::Error), "error"), counted(count(Severity::Warning), "warning")];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    if !counts.is_empty() {
        text.push_str(&counts.join(", "));
        text.push('\n');
    }
    text
}

impl fmt::Display for Diagnostic {
    /// As [`render`] writes it, without colours.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        one(f, self, Colours::Plain)
    }
}

fn one(out: &mut impl fmt::Write, finding: &Diagnostic, colours: Colours) -> fmt::Result {
    let (word, colour) = match finding.severity {
        Severity::Error => ("error", AnsiColor::Red),
        Severity::Warning => ("warning", AnsiColor::Yellow),
    };
    let loud = colours.style(colour.on_default().bold());
    let bold = colours.style(Style::new().bold());
    let frame = colours.style(AnsiColor::Blue.on_default().bold());
    let place = &finding.place;
    let number = place.line.to_string();
    let pad = " ".repeat(number.len());
    let (line, before, marked) = source(finding);

    writeln!(out, "{loud}{word}[{}]{loud:#}{bold}: {}{bold:#}", finding.code, escaped(&finding.message))?;
    writeln!(out, "{pad}{frame}-->{frame:#} {}:{}:{}", escaped(&place.file), place.line, place.column)?;
    writeln!(out, "{pad} {frame}|{frame:#}")?;
    writeln!(out, "{frame}{number} |{frame:#} {line}")?;
    let (gap, carets) = (" ".repeat(before), "^".repeat(marked));
    writeln!(out, "{pad} {frame}|{frame:#} {gap}{loud}{carets}{loud:#}")?;
    if let Some(help) = &finding.help {
        writeln!(out, "{pad} {frame}={frame:#} {bold}help{bold:#}: {}", escaped(help))?;
    }
    Ok(())
}

/// The source line as it is shown, and how many characters of it stand before, and in, what the finding marks.
fn source(finding: &Diagnostic) -> (String, usize, usize) {
    let from = finding.place.column.saturating_sub(finding.source_column) as usize;
    let to = from + finding.width as usize;
    let mut line = if finding.source_column > 1 { "…".to_owned() } else { String::new() };
    let (mut before, mut marked) = (line.chars().count(), 0);
    for (index, character) in finding.source.chars().enumerate() {
        let shown = escaped(character.encode_utf8(&mut [0; 4]));
        let width = shown.chars().count();
        if index < from {
            before += width;
        } else if index < to {
            marked += width;
        }
        line.push_str(&shown);
    }
    (line.trim_end().to_owned(), before, marked.max(1))
}

/// Text without anything that moves the cursor, changes colours or turns the direction of writing.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let invisible = matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        match character {
            '\t' => out.push(' '),
            _ if character.is_control() || invisible => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out
}
