//! `selvedge explain`: why a new connection is allowed or denied, of documents or of what is applied.

mod all;
mod matrix;
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::ValueEnum;
use selvedge_topology::compile::compile;
use selvedge_topology::documents::load;
use selvedge_topology::explain::{Answer as Told, End, EndKind, Interval, end, explain, passed, ports};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::l4::L4Range;
use selvedge_topology::model::{Direction, Model};
use selvedge_topology::oracle::FlowOutcome;
use selvedge_topology::placement::{Entry, ledger};
use serde::Serialize;

use super::client::connect;
use super::snapshot::snapshot;
use super::{Answer, CliError, findings, output, placement, source, status};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  selvedge explain web1 app1 --port 8080/tcp\n  selvedge explain internet web1 -f fabric/\n  \
                        selvedge explain jump 10.2.0.31 --port icmp -o wide\n  \
                  selvedge explain --all -f fabric/ -o svg > reach.svg\n  \
                        selvedge explain web1 app1 --port http -f fabric/ && echo allowed"
)]
pub(super) struct Args {
    /// Who opens the connection: the name of a workload, of an external or of a node, or an address.
    #[arg(required_unless_present = "all")]
    from: Option<String>,
    /// To whom.
    #[arg(required_unless_present = "all")]
    to: Option<String>,
    /// Show who reaches whom, all of it, by labels. Exit code 0, or 2: an error.
    #[arg(long, conflicts_with_all = ["from", "to", "port"])]
    all: bool,
    /// Destination port: 443/tcp, 8080-8090/tcp, 53/udp, tcp, icmp, "icmp 8/0", "protocol 47", or a service of TO. Without it, every
    /// port is shown.
    #[arg(short, long, value_name = "PORT")]
    port: Option<String>,
    /// Explain these documents, without a controller: directories, files, or `-` for standard input.
    #[arg(short, long = "filename", value_name = "DIR|FILE")]
    files: Vec<PathBuf>,
    /// How it is shown; `wide` has the tiers that were walked, which `--port` shows in any case.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Shown,
}

/// The forms of an explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shown {
    /// Columns.
    Table,
    /// More columns.
    Wide,
    /// JSON, with stable field names.
    Json,
    /// YAML, likewise.
    Yaml,
    /// An SVG image; with --all only.
    Svg,
}

/// All that is said.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    /// What it is about: `documents` or `applied`.
    of: &'static str,
    /// Whether policy allows all that was asked for, from FROM to TO.
    allowed: bool,
    /// From FROM to TO, and back.
    ways: Vec<Way>,
}

/// New connections in one direction.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Way {
    from: End,
    to: End,
    answers: Vec<Told>,
    /// The enforcement points that they pass.
    enforcement: Vec<Entry>,
}

pub(super) async fn run(server: &str, args: &Args) -> Result<Answer, CliError> {
    // That both are there where not all is asked for, clap has seen to.
    let (Some(from), Some(to)) = (&args.from, &args.to) else { return show_all(server, args).await };
    if args.output == Shown::Svg {
        return Err(CliError::OnlyOfAll);
    }
    let (model, entries) = if args.files.is_empty() {
        let mut client = connect(server).await?;
        let snapshot = snapshot(&mut client).await?;
        let status = status::fetch(&mut client, 0, None).await?;
        let entries = placement::entries(&snapshot, &status)?;
        (snapshot.model, entries)
    } else {
        let (model, identities) = documents(&args.files)?;
        let plans = compile(&model, &identities).map_err(CliError::Compile)?;
        let entries = ledger(&model, &plans, &BTreeMap::new(), &BTreeMap::new());
        (model, entries)
    };
    let explanation = explanation(&model, &entries, from, to, args)?;
    output::print(&match args.output {
        Shown::Json => output::json(&explanation)?,
        Shown::Yaml => output::yaml(&explanation)?,
        Shown::Table if args.port.is_none() => text::lists(&explanation),
        Shown::Table | Shown::Wide | Shown::Svg => text::lists(&explanation) + &text::details(&explanation),
    })?;
    Ok(if explanation.allowed { Answer::Yes } else { Answer::No })
}

async fn show_all(server: &str, args: &Args) -> Result<Answer, CliError> {
    let (of, (model, identities)) = if args.files.is_empty() {
        let snapshot = snapshot(&mut connect(server).await?).await?;
        ("applied", (snapshot.model, snapshot.identities))
    } else {
        ("documents", documents(&args.files)?)
    };
    let reachability = all::all(&model, &identities, of)?;
    output::print(&match args.output {
        Shown::Json => output::json(&reachability)?,
        Shown::Yaml => output::yaml(&reachability)?,
        Shown::Table | Shown::Wide => all::list(&reachability),
        Shown::Svg => matrix::svg(&reachability)?,
    })?;
    Ok(Answer::Yes)
}

/// The model of documents, and numbers for it.
fn documents(paths: &[PathBuf]) -> Result<(Model, IdentityTable), CliError> {
    let loaded = load(&source::read(paths)?);
    let Some(model) = loaded.model else {
        findings::show(&loaded.diagnostics)?;
        return Err(CliError::Invalid { consequence: "; there is nothing to explain" });
    };
    let mut identities = IdentityTable::default();
    identities.allocate(&model)?;
    Ok((model, identities))
}

fn explanation(
    model: &Model,
    entries: &[Entry],
    from: &str,
    to: &str,
    args: &Args,
) -> Result<Explanation, CliError> {
    let (from, to) = (end(model, from)?, end(model, to)?);
    let asked = match &args.port {
        Some(port) => ports(model, port, &to)?,
        None => vec![L4Range::ALL],
    };
    let way = |from: &End, to: &End| Way {
        answers: explain(model, from, to, &asked),
        enforcement: enforcement(model, entries, from, to),
        from: from.clone(),
        to: to.clone(),
    };
    let ways = vec![way(&from, &to), way(&to, &from)];
    if ways[0].answers.is_empty() {
        return Err(CliError::NoPair { from: from.to_string(), to: to.to_string() });
    }
    let is_allowed = |interval: &Interval| interval.verdict == FlowOutcome::Allowed;
    let allowed = ways[0].answers.iter().flat_map(|answer| &answer.intervals).all(is_allowed);
    let of = if args.files.is_empty() { "applied" } else { "documents" };
    Ok(Explanation { of, allowed, ways })
}

/// Who carries the source's egress and the destination's ingress, with those points that are on the way.
fn enforcement(model: &Model, entries: &[Entry], from: &End, to: &End) -> Vec<Entry> {
    let sides = [(from, Direction::Egress, to), (to, Direction::Ingress, from)];
    let of_side = |(own, direction, other): (&End, Direction, &End)| {
        let name = own.name.as_deref().filter(|_| own.kind == EndKind::Workload)?;
        let is_own = |entry: &&Entry| entry.workload.as_str() == name && entry.direction == direction;
        let entry = entries.iter().find(is_own)?;
        let points = passed(model, entry, other).cloned().collect();
        // Costs are of all that the workload's policy says, not of this.
        Some(Entry { points, costs: Vec::new(), ..entry.clone() })
    };
    sides.into_iter().filter_map(of_side).collect()
}
