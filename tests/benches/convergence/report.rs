//! What a person reads, and what a script reads.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use crate::results::{Case, Run};
use crate::targets::Target;

/// What the figures mean.
pub(crate) const NOTES: &str = "\
ms from the gRPC call Fabric/Apply, as the command line makes it, until the last node that the change concerns has it in force: its
agent has flipped. acked: until etcd has acknowledged the last one's report of that, too. Of the restart of agents both are acked: each
knows then that what it has is what it should have.
Controller, etcd, agents and this bench share the machine, each in processes of their own. The controller is the product's binary, and
signs; nothing is encrypted. Agents are the product's own following, fetching, verifying, accepting, lowering, proving by
choice of packets, reconciling and reporting (every 5 s, too), each over two connections of its own; the data path stands in for the
kernel's, and states are on a disk in memory. etcd's data is on the disk of this machine.
floor: bare etcd with as many clients: one small write for each node (or, beside changes of few nodes, for one), an event of a watch, a
read of 20 KB, an acknowledging write; medians.
";

/// The head of the rows.
pub(crate) fn head() -> String {
    format!(
        "{:>6} {:<22} {:>7} {:>9} {:>9} {:>9} {:>10} {:>9}  a change",
        "nodes", "case", "changes", "p50 ms", "p99 ms", "max ms", "acked p99", "floor ms"
    )
}

/// The row of a case.
pub(crate) fn row(case: &Case) -> String {
    let Case { name, nodes, changes, in_force, acknowledged, floor_ms, figures, .. } = case;
    let floor = floor_ms.map_or_else(|| "-".to_owned(), |floor| format!("{floor:.1}"));
    let figures: Vec<String> = figures.iter().map(|(name, value)| format!("{name} {value:.1}")).collect();
    format!(
        "{nodes:>6} {name:<22} {changes:>7} {:>9.1} {:>9.1} {:>9.1} {:>10.1} {floor:>9}  {}",
        in_force.p50,
        in_force.p99,
        in_force.max,
        acknowledged.p99,
        figures.join(", ")
    )
}

/// The targets as a table.
pub(crate) fn targets(targets: &[Target]) -> String {
    let mut out = format!("{:<58} {:>10} {:>10}  met\n", "target", "value", "at most");
    for target in targets {
        let Target { name, value, limit } = target;
        let met = if target.is_met() { "yes" } else { "NO" };
        out += &match value {
            Some(value) => format!("{name:<58} {value:>10.2} {limit:>10.2}  {met}\n"),
            None => format!("{name:<58} {:>10} {limit:>10.2}  NO: not measured in this run\n", "-"),
        };
    }
    out
}

/// Writes target/bench/convergence.json.
pub(crate) fn write(runs: &[Run], targets: &[Target]) -> Result<PathBuf> {
    let targets: Vec<Value> = targets
        .iter()
        .map(|target| {
            json!({"name": target.name, "value": target.value, "limit": target.limit, "met": target.is_met()})
        })
        .collect();
    let cases: Vec<&Case> = runs.iter().flat_map(|run| &run.cases).collect();
    write_json("convergence.json", &json!({ "cases": cases, "targets": targets }))
}

/// Writes a file of target/bench.
pub(crate) fn write_json(name: &str, value: &Value) -> Result<PathBuf> {
    let path = folder()?.join(name);
    fs::write(&path, serde_json::to_string_pretty(value)? + "\n")?;
    Ok(path)
}

/// target/bench.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&folder)?;
    Ok(fs::canonicalize(folder)?)
}
