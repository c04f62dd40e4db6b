//! `selvedge placement`: the ledger of who enforces what for whom.

use std::collections::BTreeMap;

use selvedge_topology::compile::compile;
use selvedge_topology::identity::Identity;
use selvedge_topology::model::{Attachment, Direction};
use selvedge_topology::names::{NodeName, WorkloadName};
use selvedge_topology::placement::{DeviceCost, Entry, Guard, Point, SeenNode, ShedDrops, Standing, ledger};

use super::client::connect;
use super::output::Format;
use super::snapshot::{Snapshot, snapshot};
use super::table::{list, or_dash, table};
use super::{Answer, CliError, output, status};

/// How many of what did not fit into a NIC a line has room for; `-o json` has more.
const MAX_NAMED: usize = 3;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  selvedge placement\n  selvedge placement --workload db1 -o wide\n  \
                        selvedge placement --node host2\n  \
                        selvedge placement -o json | jq '.[] | select(.standing.state != \"enforced\")'")]
pub(super) struct Args {
    /// Only this workload.
    #[arg(long, value_name = "NAME")]
    workload: Option<WorkloadName>,
    /// Only workloads behind this node.
    #[arg(long, value_name = "NAME")]
    node: Option<NodeName>,
    /// How it is shown.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

pub(super) async fn run(server: &str, args: &Args) -> Result<Answer, CliError> {
    let mut client = connect(server).await?;
    let snapshot = snapshot(&mut client).await?;
    let status = status::fetch(&mut client, 0, None).await?;
    check(&snapshot, args)?;
    let mut entries = entries(&snapshot, &status)?;
    entries.retain(|entry| is_asked_for(&snapshot, args, entry));
    output::print(&match args.output {
        Format::Json => output::json(&entries)?,
        Format::Yaml => output::yaml(&entries)?,
        Format::Table => narrow(&entries),
        Format::Wide => wide(&entries),
    })?;
    let managed = |entry: &&Entry| is_managed(&snapshot, &entry.workload);
    let all = entries.iter().filter(managed).all(|entry| entry.standing == Standing::Enforced);
    Ok(if all { Answer::Yes } else { Answer::No })
}

/// The ledger, by what nodes report.
pub(super) fn entries(snapshot: &Snapshot, status: &status::Status) -> Result<Vec<Entry>, CliError> {
    let plans = compile(&snapshot.model, &snapshot.identities).map_err(CliError::Compile)?;
    let reports = status.nodes.iter().filter_map(|node| node.report.as_ref());
    let seen: BTreeMap<NodeName, SeenNode> =
        reports.map(|report| (report.node.clone(), report.seen())).collect();
    let wanted = status.wanted()?;
    Ok(ledger(&snapshot.model, &plans, &wanted, &seen))
}

/// Names that nothing has are errors, not empty answers.
fn check(snapshot: &Snapshot, Args { workload, node, .. }: &Args) -> Result<(), CliError> {
    let absent = |kind, name: &dyn ToString, list| CliError::NotFound { kind, name: name.to_string(), list };
    if let Some(name) = workload.as_ref().filter(|name| !snapshot.model.workloads.contains_key(*name)) {
        return Err(absent("workload", name, "workloads"));
    }
    match node.as_ref().filter(|name| !snapshot.model.fabric.nodes.contains_key(*name)) {
        Some(name) => Err(absent("node", name, "nodes")),
        None => Ok(()),
    }
}

fn is_asked_for(snapshot: &Snapshot, Args { workload, node, .. }: &Args, entry: &Entry) -> bool {
    let attachment = snapshot.model.workloads.get(&entry.workload).map(|workload| &workload.attachment);
    let at = match attachment {
        Some(Attachment::Managed(at) | Attachment::Unmanaged(Some(at))) => Some(&at.node),
        _ => None,
    };
    workload.as_ref().is_none_or(|name| *name == entry.workload)
        && node.as_ref().is_none_or(|name| at == Some(name))
}

fn is_managed(snapshot: &Snapshot, workload: &WorkloadName) -> bool {
    let workload = snapshot.model.workloads.get(workload);
    workload.is_some_and(|workload| matches!(workload.attachment, Attachment::Managed(_)))
}

/// One line for each workload and direction.
fn narrow(entries: &[Entry]) -> String {
    let row = |entry: &Entry| {
        let Entry { workload, direction, standing, points, costs } = entry;
        let node = points.first().map_or_else(String::new, |point| point.node.to_string());
        let at = list(points.iter().map(|point| format!("{}:{}", point.port, hook(point))));
        let cost = list(costs.iter().map(|cost| format!("{} {}", cost.entries, cost.table)));
        [
            workload.to_string(),
            word(*direction).to_owned(),
            standing.name().to_owned(),
            or_dash(node),
            at,
            cost,
            or_dash(why(entry)),
        ]
    };
    table(&["WORKLOAD", "DIRECTION", "STATE", "NODE", "POINTS", "ENTRIES", "WHY"], entries.iter().map(row))
}

/// Why an entry is not enforced everywhere.
fn why(entry: &Entry) -> String {
    let gaps = || {
        let gaps = entry
            .points
            .iter()
            .filter_map(|point| Some(format!("{} ({}): {}", point.port, point.carries, point.gap()?)));
        gaps.collect::<Vec<_>>().join("; ")
    };
    match &entry.standing {
        Standing::Gaps => gaps(),
        standing => standing.reason().unwrap_or_default(),
    }
}

/// One line for each enforcement point; below, what the tables hold, and what programs in NICs take.
fn wide(entries: &[Entry]) -> String {
    let rows = entries.iter().flat_map(|entry| {
        let Entry { workload, direction, standing, points, .. } = entry;
        let of_entry = [workload.to_string(), word(*direction).to_owned(), standing.name().to_owned()];
        let nowhere = [&["-"; 4].map(ToOwned::to_owned)[..], &[or_dash(why(entry))]].concat();
        let of_points = points.iter().map(|point| {
            let Point { node, port, carries, reason, .. } = point;
            let why = point.gap().unwrap_or_else(|| reason.clone());
            vec![node.to_string(), port.to_string(), hook(point), carries.to_string(), why]
        });
        let mut of_points: Vec<Vec<String>> = of_points.collect();
        if of_points.is_empty() {
            of_points.push(nowhere);
        }
        of_points.into_iter().map(move |point| [&of_entry[..], &point].concat())
    });
    let head = ["WORKLOAD", "DIRECTION", "STATE", "NODE", "PORT", "HOOK", "CARRIES", "WHY"];
    let points = table(&head, rows);
    let costs = entries.iter().flat_map(|entry| {
        entry.costs.iter().map(|cost| {
            [
                entry.workload.to_string(),
                word(entry.direction).to_owned(),
                cost.table.clone(),
                cost.entries.to_string(),
                cost.bytes.to_string(),
                cost.shared_by.to_string(),
                cost.budget.needed.to_string(),
                cost.budget.room.to_string(),
            ]
        })
    });
    let head = ["WORKLOAD", "DIRECTION", "TABLE", "ENTRIES", "BYTES", "SHARED-BY", "NODE-NEEDS", "ROOM"];
    let tables = points + "\n" + &table(&head, costs);
    let devices = devices(entries);
    if devices.is_empty() { tables } else { tables + "\n" + &devices }
}

/// One line for each program in a NIC: it is one for all workloads whose packets pass the port. Empty where there is none.
fn devices(entries: &[Entry]) -> String {
    let points = entries.iter().flat_map(|entry| &entry.points);
    let devices: BTreeMap<_, _> =
        points.filter_map(|point| Some(((&point.node, &point.port), point.device.as_ref()?))).collect();
    if devices.is_empty() {
        return String::new();
    }
    let rows = devices.into_iter().map(|((node, port), cost)| {
        let DeviceCost { kind, instructions, maps, entries, entries_each, entry_bytes, counting, .. } = cost;
        let shares = [instructions, maps, entries, entries_each, entry_bytes].map(ToString::to_string);
        let of_port = [node.to_string(), port.to_string(), kind.to_string()];
        let rest = [counting.to_string(), or_dash(cost.left().unwrap_or_default()), or_dash(named(cost))];
        [&of_port[..], &shares, &rest].concat()
    });
    let head = ["NODE", "PORT", "IN-NIC", "INSTRUCTIONS", "MAPS", "ENTRIES", "ENTRIES-EACH", "ENTRY-BYTES"];
    table(&[&head[..], &["COUNTS", "LEFT-TO-THE-KERNEL", "WORTH-MOST"]].concat(), rows)
}

/// The rules whose drops did not fit, those that are worth most first.
fn named(cost: &DeviceCost) -> String {
    let one = |ShedDrops { rule, name, from, to, packets, flows }: &ShedDrops| {
        let rule = match rule {
            Some(rule) if name.is_empty() => format!("rule {}", rule.0),
            Some(_) => name.clone(),
            None => "no policy".to_owned(),
        };
        let end = |word, end: &Option<Identity>| end.map(|end| format!(" {word} identity {}", end.0));
        let (from, to) = (end("from", from), end("to", to));
        let worth = packets.map_or_else(|| format!("{flows} flows"), |packets| format!("{packets} packets"));
        format!("{rule}{}{} ({worth})", from.unwrap_or_default(), to.unwrap_or_default())
    };
    cost.shed.iter().take(MAX_NAMED).map(one).collect::<Vec<_>>().join("; ")
}

pub(super) fn hook(point: &Point) -> String {
    match (point.hook, point.guard) {
        (Some(hook), _) => hook.to_string(),
        (None, Guard::Gone) => "gone".to_owned(),
        (None, Guard::Untold) => "unknown".to_owned(),
        (None, _) => "none".to_owned(),
    }
}

pub(super) fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}
