//! Where everything goes: nodes in ranks, those nearest to workloads at the bottom; wires between ranks.
//!
//! Units are characters. Wires leave boxes downwards at odd columns and enter them from above at even ones, so
//! that no two of them can run in one column; those whose horizontal parts overlap run on different rows.

use std::collections::{BTreeMap, VecDeque};

use selvedge_topology::model::{Link, Model, NodeRole};
use selvedge_topology::names::NodeName;

use super::{behind, nature};

/// Columns between two boxes.
const GAP: usize = 4;
/// How many columns beside each other the ends of a wire may be to be drawn in one.
const STRAIGHTEN: usize = 1;

/// A picture, in characters.
pub(super) struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) boxes: Vec<Frame>,
    pub(super) wires: Vec<Wire>,
    /// Wires that don't run between neighbouring ranks, in words.
    pub(super) notes: Vec<String>,
}

/// A box with lines of text in it.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) lines: Vec<String>,
}

/// A wire: down from an upper box, along `track`, and down to a lower box.
pub(super) struct Wire {
    pub(super) from: (usize, usize),
    pub(super) track: usize,
    pub(super) to: (usize, usize),
}

/// A wire between two ranks, before it has a place.
struct Span<'m> {
    upper: &'m NodeName,
    lower: &'m NodeName,
}

pub(super) fn layout(model: &Model) -> Picture {
    let ranks = ranks(model);
    let (spans, notes) = spans(model, &ranks);
    let rows = order(&ranks, &spans);
    let mut frames = frames(model, &rows, &spans);
    let width = centre(&rows, &mut frames);
    let mut wires = Vec::new();
    let mut y = 0;
    for (index, row) in rows.iter().enumerate() {
        for name in row {
            frames.entry(name).and_modify(|frame| frame.y = y);
        }
        y += row
            .iter()
            .filter_map(|name| frames.get(name))
            .map(|frame| frame.height)
            .max()
            .unwrap_or_default();
        if let Some(below) = rows.get(index + 1) {
            let between: Vec<&Span<'_>> = spans.iter().filter(|span| row.contains(&span.upper)).collect();
            y = run(&between, row, below, &frames, y, &mut wires);
        }
    }
    Picture { width, height: y, boxes: frames.into_values().collect(), wires, notes }
}

/// How far each node is from the machines that run workloads: hosts and DPUs are 0.
fn ranks(model: &Model) -> BTreeMap<&NodeName, usize> {
    let nodes = model.fabric.nodes.values();
    let mut ranks: BTreeMap<&NodeName, usize> =
        nodes.filter(|node| node.role != NodeRole::Switch).map(|node| (&node.name, 0)).collect();
    let mut queue: VecDeque<&NodeName> = ranks.keys().copied().collect();
    while let Some(name) = queue.pop_front() {
        let next = ranks.get(name).map_or(0, |rank| rank + 1);
        for Link { a, b, .. } in &model.fabric.links {
            let other = if a.node == *name { &b.node } else { &a.node };
            if (a.node == *name || b.node == *name) && !ranks.contains_key(other) {
                ranks.insert(other, next);
                queue.push_back(other);
            }
        }
    }
    for name in model.fabric.nodes.keys() {
        ranks.entry(name).or_insert(1);
    }
    ranks
}

fn spans<'m>(model: &'m Model, ranks: &BTreeMap<&NodeName, usize>) -> (Vec<Span<'m>>, Vec<String>) {
    let (mut spans, mut notes) = (Vec::new(), Vec::new());
    for link in &model.fabric.links {
        let (a, b) = (&link.a.node, &link.b.node);
        match (ranks.get(a), ranks.get(b)) {
            (Some(upper), Some(lower)) if *upper == lower + 1 => spans.push(Span { upper: a, lower: b }),
            (Some(lower), Some(upper)) if *upper == lower + 1 => spans.push(Span { upper: b, lower: a }),
            _ => notes.push(format!("{} ─ {}", link.a, link.b)),
        }
    }
    (spans, notes)
}

/// Nodes by row, the highest rank first; in a row, each below what it is wired to.
fn order<'m>(ranks: &BTreeMap<&'m NodeName, usize>, spans: &[Span<'m>]) -> Vec<Vec<&'m NodeName>> {
    let top = ranks.values().copied().max().unwrap_or_default();
    let mut rows: Vec<Vec<&NodeName>> = Vec::new();
    for rank in (0..=top).rev() {
        let mut row: Vec<&NodeName> =
            ranks.iter().filter(|(_, other)| **other == rank).map(|(name, _)| *name).collect();
        if let Some(above) = rows.last() {
            row.sort_by_key(|name| {
                let places: Vec<usize> = spans
                    .iter()
                    .filter(|span| span.lower == *name)
                    .filter_map(|span| above.iter().position(|upper| *upper == span.upper))
                    .collect();
                // The mean, in thousandths, so that it can be compared.
                places.iter().sum::<usize>() * 1000 / places.len().max(1)
            });
        }
        rows.push(row);
    }
    rows
}

fn frames<'m>(
    model: &'m Model,
    rows: &[Vec<&'m NodeName>],
    spans: &[Span<'m>],
) -> BTreeMap<&'m NodeName, Frame> {
    let mut frames = BTreeMap::new();
    for node in rows.iter().flatten().filter_map(|name| model.fabric.nodes.get(*name)) {
        let mut lines = vec![node.name.to_string(), nature(node)];
        lines.extend(behind(model, node));
        let text = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
        let down = spans.iter().filter(|span| *span.upper == node.name).count();
        let up = spans.iter().filter(|span| *span.lower == node.name).count();
        let width = (text + 4).max(2 * down.max(up) + 4).next_multiple_of(2);
        frames.insert(&node.name, Frame { x: 0, y: 0, width, height: lines.len() + 2, lines });
    }
    frames
}

/// Puts every row in the middle; the picture's width.
fn centre<'m>(rows: &[Vec<&'m NodeName>], frames: &mut BTreeMap<&'m NodeName, Frame>) -> usize {
    let width_of = |row: &[&NodeName], frames: &BTreeMap<&NodeName, Frame>| {
        let boxes: usize = row.iter().filter_map(|name| frames.get(name)).map(|frame| frame.width).sum();
        boxes + GAP * row.len().saturating_sub(1)
    };
    let width = rows.iter().map(|row| width_of(row, frames)).max().unwrap_or_default();
    for row in rows {
        // Even, so that columns keep their parity.
        let mut x = (width - width_of(row, frames)) / 4 * 2;
        for name in row {
            if let Some(frame) = frames.get_mut(name) {
                frame.x = x;
                x += frame.width + GAP;
            }
        }
    }
    width
}

/// Runs the wires between two rows; `y` is where the space between them begins, the result where it ends.
fn run(
    spans: &[&Span<'_>],
    above: &[&NodeName],
    below: &[&NodeName],
    frames: &BTreeMap<&NodeName, Frame>,
    y: usize,
    wires: &mut Vec<Wire>,
) -> usize {
    let place = |row: &[&NodeName], name: &NodeName| row.iter().position(|other| **other == *name);
    let mut ends: Vec<(usize, usize, usize)> = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let (Some(upper), Some(lower)) = (frames.get(span.upper), frames.get(span.lower)) else { continue };
        let mut down: Vec<usize> =
            (0..spans.len()).filter(|other| spans[*other].upper == span.upper).collect();
        down.sort_by_key(|other| (place(below, spans[*other].lower), *other));
        let mut up: Vec<usize> = (0..spans.len()).filter(|other| spans[*other].lower == span.lower).collect();
        up.sort_by_key(|other| (place(above, spans[*other].upper), *other));
        let from = upper.x + (column(upper.width, &down, index) | 1);
        let to = lower.x + (column(lower.width, &up, index) & !1);
        // A wire that is nearly straight may as well be: nobody else has its column on the upper side.
        let inside = lower.x + 2..lower.x + lower.width - 2;
        let to = if from.abs_diff(to) <= STRAIGHTEN && inside.contains(&from) { from } else { to };
        ends.push((from, to, upper.y + upper.height - 1));
    }
    let mut tracks: Vec<Vec<(usize, usize)>> = Vec::new();
    let placed: Vec<usize> =
        ends.iter().map(|(from, to, _)| track(&mut tracks, *from.min(to), *from.max(to))).collect();
    let end = y + tracks.len() + 2;
    for ((from, to, bottom), track) in ends.into_iter().zip(placed) {
        wires.push(Wire { from: (from, bottom), track: y + 1 + track, to: (to, end) });
    }
    end
}

/// The column, inside a box of `width`, at which the wire `index` of `all` meets it: they share it evenly.
fn column(width: usize, all: &[usize], index: usize) -> usize {
    let place = all.iter().position(|other| *other == index).unwrap_or_default();
    let step = ((width - 2) / (all.len() + 1)).max(2);
    (step * (place + 1)).min(width - 3)
}

/// The first row on which nothing is in the way; takes it.
fn track(tracks: &mut Vec<Vec<(usize, usize)>>, from: usize, to: usize) -> usize {
    if from == to {
        return 0;
    }
    let free =
        |taken: &Vec<(usize, usize)>| taken.iter().all(|(other, end)| to + 1 < *other || *end + 1 < from);
    let index = tracks.iter().position(free).unwrap_or(tracks.len());
    if index == tracks.len() {
        tracks.push(Vec::new());
    }
    tracks[index].push((from, to));
    index
}
