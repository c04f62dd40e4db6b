//! What a person reads, and what a script reads.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::measure::{Figure, Outcome};
use crate::results::Results;
use crate::targets::Target;

/// The rows of one case.
pub(crate) fn case(outcomes: &[Outcome]) -> String {
    let mut out = String::new();
    for outcome in outcomes {
        let Outcome { case, contender, method, figure } = outcome;
        let (name, method) = (contender.name(), method.name());
        out += &match figure {
            Ok(Figure { median, spread, .. }) => {
                format!("{case:<34} {name:<11} {method:<8} {median:>10.1} {spread:>9.1}\n")
            }
            Err(reason) => format!("{case:<34} {name:<11} {method:<8} {:>10}  {reason}\n", "not run"),
        };
    }
    out
}

/// The head of the rows.
pub(crate) fn head() -> String {
    format!("{:<34} {:<11} {:<8} {:>10} {:>9}", "case", "contender", "method", "ns/packet", "spread")
}

/// The targets as a table.
pub(crate) fn targets(targets: &[Target]) -> String {
    let mut out = format!("{:<56} {:>8} {:>8}  met\n", "target", "value", "at most");
    for target in targets {
        let Target { name, value, limit } = target;
        out += &match value {
            Ok(value) => {
                let met = if target.is_met() { "yes" } else { "NO" };
                format!("{name:<56} {value:>8.2} {limit:>8.2}  {met}\n")
            }
            Err(reason) => format!("{name:<56} {:>8} {limit:>8.2}  NO: {reason}\n", "-"),
        };
    }
    out
}

/// Writes target/bench/datapath.json.
pub(crate) fn write(results: &Results, targets: &[Target]) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let cases: Vec<Value> = results.outcomes.iter().map(case_json).collect();
    let targets: Vec<Value> = targets.iter().map(target_json).collect();
    let path = folder.join("datapath.json");
    let text = serde_json::to_string_pretty(&json!({ "cases": cases, "targets": targets }))?;
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn case_json(outcome: &Outcome) -> Value {
    let Outcome { case, contender, method, figure } = outcome;
    let mut row = json!({ "name": case, "contender": contender.name(), "method": method.name() });
    match figure {
        Ok(Figure { median, spread, repeats }) => {
            row["ns_per_packet"] = json!(median);
            row["spread"] = json!(spread);
            row["repeats"] = json!(repeats);
        }
        Err(reason) => row["not_run"] = json!(reason),
    }
    row
}

fn target_json(target: &Target) -> Value {
    let Target { name, value, limit } = target;
    let mut row =
        json!({ "name": name, "value": value.as_ref().ok(), "limit": limit, "met": target.is_met() });
    if let Err(reason) = value {
        row["not_run"] = json!(reason);
    }
    row
}

/// Why contenders were not run, each reason once.
pub(crate) fn reasons(results: &Results) -> BTreeSet<&str> {
    results.outcomes.iter().filter_map(|outcome| outcome.figure.as_ref().err()).map(String::as_str).collect()
}

/// What the figures mean.
pub(crate) const NOTES: &str = "\
program: BPF_PROG_TEST_RUN, a few frames many times over, so tables are in the nearest cache.
path: live frames in batches of 64, rewritten by an XDP program from a list and redirected into a veth; from there to the
  verdict, at which every contender drops: what it costs to pass a frame on is the same for all, and more than a verdict.
  Ours is the shipped program but for its exits, where XDP_PASS becomes XDP_DROP. nft and iptables decide in prerouting,
  and are behind an XDP_PASS program, so that the port polls as it does for the others.
new, allowed: every packet opens a connection; nft and iptables hand it to the local stack, where the kernel confirms it.
source set: ours and nft hold prefixes; xdp-filter knows none, and holds the very addresses that send.
policy, identity: the rule that denies asks for a log, so that ours looks everything up for each packet; else it would deny most of
  them by its note of the one before, as it does in the cases before these.
over HASH, over LPM: our program but for the function that looks an address up, which is called for both ends.
Ours writes an event for each denial and each new connection, up to 8,000 a second; nobody reads them here.
";
