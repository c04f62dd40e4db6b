//! Who reaches whom, as an SVG image: a row for each source, a column for each destination.

use std::fmt::Write as _;

use super::super::CliError;
use super::all::{Reachability, ShownFlow};
use crate::draw::escape;

/// Pixels of a character, of a cell, and around all.
const CHARACTER: usize = 7;
const CELL: (usize, usize) = (88, 26);
const MARGIN: usize = 16;
/// Ends that a picture has room for: it has a cell for each two of them.
const MOST: usize = 100;
/// Characters of a cell.
const ROOM: usize = 13;

/// Colours of cells: everything passes, something, nothing; and what nobody enforces.
const EVERYTHING: &str = "#ffd8b5";
const SOMETHING: &str = "#dafbe1";
const NOTHING: &str = "#f6f8fa";
const NOBODY: &str = "#eac54f";

pub(super) fn svg(all: &Reachability) -> Result<String, CliError> {
    if all.ends.len() > MOST {
        return Err(CliError::TooManyEnds { ends: all.ends.len(), most: MOST });
    }
    let longest = all.ends.iter().map(|end| end.name.chars().count()).max().unwrap_or(0) * CHARACTER;
    // Names of columns lean by 45 degrees.
    let slant = longest * 71 / 100;
    let (left, top) = (MARGIN + longest + CHARACTER, MARGIN + slant + CHARACTER);
    let count = all.ends.len();
    let (width, height) =
        (left + count * CELL.0 + slant + MARGIN, top + count * CELL.1 + 2 * CELL.1 + MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"monospace\" font-size=\"12\" fill=\"#24292f\">\n  \
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for (number, end) in all.ends.iter().enumerate() {
        let name = escape(&end.name);
        let y = top + number * CELL.1 + CELL.1 * 2 / 3;
        // Writing to a string can't fail.
        let _ =
            writeln!(out, "  <text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{name}</text>", left - CHARACTER);
        let (x, y) = (left + number * CELL.0 + CELL.0 / 2, top - CHARACTER);
        let _ = writeln!(out, "  <text x=\"{x}\" y=\"{y}\" transform=\"rotate(-45 {x} {y})\">{name}</text>");
    }
    for (from, source) in all.ends.iter().enumerate() {
        for (to, destination) in all.ends.iter().enumerate() {
            let has = |flow: &&ShownFlow| flow.from.contains(&from) && flow.to.contains(&to);
            let (colour, short, words) = cell(all.flows.iter().find(has));
            let (x, y) = (left + to * CELL.0, top + from * CELL.1);
            let title = escape(&format!("{} -> {}: {words}", source.name, destination.name));
            let _ = writeln!(
                out,
                "  <g><title>{title}</title><rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{colour}\" \
                 stroke=\"#d0d7de\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\" font-size=\"11\">{}</text></g>",
                CELL.0,
                CELL.1,
                x + CELL.0 / 2,
                y + CELL.1 * 2 / 3,
                escape(&short),
            );
        }
    }
    legend(&mut out, left, top + (count + 1) * CELL.1);
    out.push_str("</svg>\n");
    Ok(out)
}

/// The colour of a cell, what is in it, and all that there is to say.
fn cell(flow: Option<&ShownFlow>) -> (&'static str, String, String) {
    let Some(flow) = flow else { return (NOTHING, "-".to_owned(), "nothing".to_owned()) };
    if !flow.enforced {
        return (NOBODY, "unenforced".to_owned(), "nobody enforces".to_owned());
    }
    let words = flow.words.clone();
    if words == "everything" {
        return (EVERYTHING, "everything".to_owned(), words);
    }
    let short = if words.chars().count() <= ROOM {
        words.clone()
    } else if words.starts_with("everything but") {
        "most".to_owned()
    } else {
        format!("{} ranges", flow.ports.len())
    };
    (SOMETHING, short, words)
}

fn legend(out: &mut String, left: usize, top: usize) {
    let entries = [
        (NOTHING, "nothing passes"),
        (SOMETHING, "some ports"),
        (EVERYTHING, "everything"),
        (NOBODY, "nobody enforces"),
    ];
    for (place, (colour, words)) in entries.into_iter().enumerate() {
        let x = left + place * 2 * CELL.0;
        let _ = writeln!(
            out,
            "  <rect x=\"{x}\" y=\"{top}\" width=\"14\" height=\"14\" fill=\"{colour}\" stroke=\"#d0d7de\"/>\
             <text x=\"{}\" y=\"{}\">{words}</text>",
            x + 20,
            top + 12
        );
    }
}
