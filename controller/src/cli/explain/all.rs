//! Who reaches whom, all of it: as a list, as a picture, for programs.

use selvedge_topology::identity::IdentityTable;
use selvedge_topology::l4::L4Range;
use selvedge_topology::model::Model;
use selvedge_topology::names::WorkloadName;
use selvedge_topology::reach::{Flow, Reach, reach, rest};
use serde::Serialize;

use super::super::CliError;
use super::super::table::table;

/// Ranges of ports that a line has room for.
const MAX_RANGES: usize = 6;
/// Workloads that are named of an end.
const MAX_NAMED: usize = 5;

/// All that is said.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reachability {
    /// What it is about: `documents` or `applied`.
    of: &'static str,
    /// Addresses that policy can't tell apart.
    pub(super) ends: Vec<ShownEnd>,
    pub(super) flows: Vec<ShownFlow>,
    /// Pairs of ends between which something passes.
    open: usize,
    /// Pairs between which nothing does.
    closed: usize,
}

#[derive(Serialize)]
pub(super) struct ShownEnd {
    pub(super) name: String,
    addresses: usize,
    /// Some of them.
    workloads: Vec<WorkloadName>,
}

/// The same ports, from each of some ends to each of others.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownFlow {
    sources: String,
    destinations: String,
    pub(super) from: Vec<usize>,
    pub(super) to: Vec<usize>,
    pub(super) ports: Vec<String>,
    /// The ports in words: what is left out where that is shorter.
    #[serde(skip)]
    pub(super) words: String,
    /// Whether anybody enforces for one of the ends.
    pub(super) enforced: bool,
}

pub(super) fn all(
    model: &Model,
    identities: &IdentityTable,
    of: &'static str,
) -> Result<Reachability, CliError> {
    let reach = reach(model, identities).map_err(CliError::Compile)?;
    let ends = reach.ends().iter().enumerate().map(|(number, end)| ShownEnd {
        name: reach.words(&[number]),
        addresses: end.len(),
        workloads: end.workloads().take(MAX_NAMED).cloned().collect(),
    });
    Ok(Reachability {
        of,
        ends: ends.collect(),
        flows: reach.flows.iter().map(|flow| shown(&reach, flow)).collect(),
        open: reach.flows.iter().map(|flow| flow.pairs.len()).sum(),
        closed: reach.closed,
    })
}

fn shown(reach: &Reach<'_>, Flow { ranges, enforced, pairs }: &Flow) -> ShownFlow {
    ShownFlow {
        sources: reach.words(&pairs.from),
        destinations: reach.words(&pairs.to),
        from: pairs.from.clone(),
        to: pairs.to.clone(),
        ports: ranges.iter().map(ToString::to_string).collect(),
        words: words(ranges),
        enforced: *enforced,
    }
}

fn words(ranges: &[L4Range]) -> String {
    let list = |ranges: &[L4Range]| {
        let mut named: Vec<String> = ranges.iter().take(MAX_RANGES).map(ToString::to_string).collect();
        if ranges.len() > MAX_RANGES {
            named.push(format!("{} more ranges", ranges.len() - MAX_RANGES));
        }
        named.join(", ")
    };
    let closed = rest(ranges);
    match closed.len() {
        0 => "everything".to_owned(),
        some if some < ranges.len() => format!("everything but {}", list(&closed)),
        _ => list(ranges),
    }
}

/// One line for each ends that reach each other alike.
pub(super) fn list(all: &Reachability) -> String {
    let rows = all.flows.iter().map(|flow| {
        let nobody = if flow.enforced { "" } else { " (nobody enforces)" };
        [flow.sources.clone(), flow.destinations.clone(), format!("{}{nobody}", flow.words)]
    });
    let (ends, open, closed) = (all.ends.len(), all.open, all.closed);
    table(&["FROM", "TO", "PORTS"], rows)
        + &format!("all: {ends} ends; something passes between {open} pairs, nothing between {closed}\n")
}
