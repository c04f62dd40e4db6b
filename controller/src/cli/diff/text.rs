//! What a change means, for people.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use selvedge_topology::diff::Kind;
use selvedge_topology::model::Established;

use super::super::table::{list, printable};
use super::report::{Between, Report, Shown, ShownDecision, ShownEnd, ShownNodes, ShownRoom};

/// Ranges of ports that a line has room for.
const MAX_RANGES: usize = 6;
/// Lines about the room of tables.
const MAX_ROOMS: usize = 4;

/// What each kind is called, and its colour.
const KINDS: [(Kind, &str, AnsiColor); 3] = [
    (Kind::Opens, "opens", AnsiColor::Green),
    (Kind::Closes, "closes", AnsiColor::Red),
    (Kind::Reattributes, "re-attributes", AnsiColor::Yellow),
];

/// At most `limit` lines of each kind; in `full`, who decides where nothing opens or closes, too.
pub(super) fn text(report: &Report, limit: usize, full: bool) -> String {
    let mut out = String::new();
    for (kind, name, colour) in KINDS {
        let between = |change: &Shown| lines(change, full).count();
        let of_kind = report.changes.iter().filter(|change| change.kind == kind && between(change) > 0);
        let of_kind: Vec<&Shown> = of_kind.collect();
        let lines: usize = of_kind.iter().map(|change| between(change)).sum();
        let mut left = limit;
        for change in of_kind {
            if left == 0 {
                break;
            }
            left -= write_change(&mut out, change, name, colour.on_default(), left, full);
        }
        if lines > limit {
            // Writing to a string can't fail.
            let _ = writeln!(out, "{name}: {} more; --limit or -o json shows them", lines - limit);
        }
    }
    let style = AnsiColor::Cyan.on_default();
    for ShownEnd { name, addresses, workloads } in report.passing.iter().take(limit) {
        let addresses = format!("{addresses} address{}", if *addresses == 1 { "" } else { "es" });
        let workloads = list(workloads);
        let _ = writeln!(out, "{style}comes or goes{style:#} {}: {addresses}, {workloads}", printable(name));
    }
    if !report.passing.is_empty() && !full {
        let _ = writeln!(out, "    what that opens and closes for them is counted, and shown with -o wide");
    }
    write_nodes(&mut out, &report.nodes, if full { usize::MAX } else { MAX_ROOMS });
    let counts: Vec<String> = KINDS
        .into_iter()
        .filter(|(kind, ..)| report.pairs(*kind) > 0)
        .map(|(kind, name, _)| format!("{name} {}", counted(report.pairs(kind), "pair")))
        .collect();
    let meaning = if counts.is_empty() {
        "every new connection meets the same verdict as before".to_owned()
    } else {
        counts.join(", ")
    };
    let documents = counted(report.documents, "document");
    let _ = writeln!(out, "diff: {meaning}; {documents} changed against {}", printable(&report.against));
    out
}

/// Between whom it is, without those who come or go unless all is asked for.
fn lines(change: &Shown, full: bool) -> impl Iterator<Item = &Between> {
    change.between.iter().filter(move |between| full || !between.passing)
}

fn write_nodes(out: &mut String, nodes: &ShownNodes, limit: usize) {
    if nodes.touched > 0 {
        let _ = writeln!(out, "tables of {} need other room", counted(nodes.touched, "node"));
    }
    for ShownRoom { node, table, before, after, room } in nodes.rooms.iter().take(limit) {
        let _ = writeln!(out, "    {node}: {table} {before} -> {after} of {room}");
    }
    let style = AnsiColor::Red.on_default().bold();
    for reason in &nodes.refused {
        let _ = writeln!(out, "{style}applying is refused:{style:#} {}", printable(reason));
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Writes one change, and says how many lines of whom it is between that takes.
fn write_change(
    out: &mut String,
    change: &Shown,
    name: &str,
    style: Style,
    left: usize,
    full: bool,
) -> usize {
    let mut ports = change.ports.iter().take(MAX_RANGES).cloned().collect::<Vec<_>>().join(", ");
    if change.ports.len() > MAX_RANGES {
        let _ = write!(ports, " and {} more ranges", change.ports.len() - MAX_RANGES);
    }
    let established = match change.established {
        Some(Established::Drain) => "; established connections go on until they end",
        Some(Established::Cut) | None => "",
    };
    let _ = writeln!(out, "{style}{name} {ports}{style:#}{established}");
    let shown = lines(change, full).count().min(left);
    for Between { sources, destinations, pairs, example, .. } in lines(change, full).take(shown) {
        let pairs = if *pairs > 1 { format!("  ({pairs} pairs)") } else { String::new() };
        let _ = writeln!(out, "  {} -> {}{pairs}", printable(sources), printable(destinations));
        if let Some(example) = example {
            let _ = writeln!(out, "    e.g. {} -> {}", example.from, example.to);
        }
    }
    let (before, after) = (&change.before, &change.after);
    let ends = [("egress", &before.egress, &after.egress), ("ingress", &before.ingress, &after.ingress)];
    for (end, before, after) in ends {
        if said(before) != said(after) {
            let _ = writeln!(out, "    {end}: {} -> {}", decision(before.as_ref()), decision(after.as_ref()));
        } else if full && let Some(same) = after {
            let _ = writeln!(out, "    {end}: {} as before", decision(Some(same)));
        }
    }
    shown
}

/// A decision without its place, which is another in another directory.
fn said(decision: &Option<ShownDecision>) -> Option<(&str, &str, bool)> {
    decision.as_ref().map(|decision| (&*decision.verdict, &*decision.rule, decision.logged))
}

fn decision(decision: Option<&ShownDecision>) -> String {
    let Some(ShownDecision { verdict, rule, place, logged }) = decision else {
        return "not asked".to_owned();
    };
    let place = place.as_ref().map(|place| format!(" ({})", printable(place))).unwrap_or_default();
    let logged = if *logged { ", logged" } else { "" };
    format!("{verdict} by {}{place}{logged}", printable(rule))
}
