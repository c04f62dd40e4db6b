//! A picture as SVG.

use std::fmt::Write as _;

use super::layout::{Frame, Picture, Wire};

/// Pixels of a character.
const CELL: (usize, usize) = (8, 18);

pub(super) fn render(picture: &Picture) -> String {
    let notes = if picture.notes.is_empty() { 0 } else { picture.notes.len() + 1 };
    let (width, height) = ((picture.width + 2) * CELL.0, (picture.height + notes + 1) * CELL.1);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"monospace\" font-size=\"13\" fill=\"none\" stroke=\"#57606a\">\n"
    );
    // Writing to a string can't fail.
    for wire in &picture.wires {
        let Wire { from, track, to } = wire;
        let points = [*from, (from.0, *track), (to.0, *track), *to].map(|(x, y)| {
            let (x, y) = middle(x, y);
            format!("{x},{y}")
        });
        let _ = writeln!(out, "  <polyline points=\"{}\"/>", points.join(" "));
    }
    for frame in &picture.boxes {
        draw(frame, &mut out);
    }
    for (index, note) in picture.notes.iter().enumerate() {
        let (x, y) = middle(0, picture.height + 1 + index);
        let _ = writeln!(
            out,
            "  <text x=\"{x}\" y=\"{y}\" fill=\"#24292f\" stroke=\"none\">{}</text>",
            escape(note)
        );
    }
    out.push_str("</svg>\n");
    out
}

fn draw(frame: &Frame, out: &mut String) {
    let Frame { x, y, width, height, lines } = frame;
    let (left, top) = middle(*x, *y);
    let (width, height) = ((width - 1) * CELL.0, (height - 1) * CELL.1);
    let _ = writeln!(
        out,
        "  <rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"4\" fill=\"#f6f8fa\"/>"
    );
    for (index, line) in lines.iter().enumerate() {
        let (x, y) = (left + 2 * CELL.0, top + (index + 1) * CELL.1 + 4);
        let weight = if index == 0 { " font-weight=\"bold\"" } else { "" };
        let _ = writeln!(
            out,
            "  <text x=\"{x}\" y=\"{y}\" fill=\"#24292f\" stroke=\"none\"{weight}>{}</text>",
            escape(line)
        );
    }
}

/// The middle of a character's place.
fn middle(x: usize, y: usize) -> (usize, usize) {
    ((x + 1) * CELL.0 + CELL.0 / 2, y * CELL.1 + CELL.1 / 2)
}

/// Text as XML takes it, between tags.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
