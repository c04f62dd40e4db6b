//! `selvedge diff`: what documents mean, against what is applied or against other documents.

mod report;
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use selvedge_topology::diff::{difference, nodes};
use selvedge_topology::documents::{Loaded, load, load_excerpts};
use selvedge_topology::identity::IdentityTable;
use selvedge_topology::model::Model;
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::SeenNode;

use super::client::connect;
use super::output::Format;
use super::{Answer, CliError, findings, output, snapshot, source, status};
use crate::state::{changes, unified_diff};

const EXAMPLES: &str = "\
Examples:
  selvedge diff -f fabric/                       # against what is applied
  selvedge diff -f fabric/ --against 41          # against an earlier generation
  selvedge diff -f fabric/ --against main/       # against other documents; needs no controller
  selvedge diff -f fabric/ --against main/ --fail-on opens   # a gate before a merge
  selvedge diff -f fabric/ -o json | jq '.changes[] | select(.kind == \"opens\")'";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The complete desired state: directories, files, or `-` for standard input.
    #[arg(short, long = "filename", required = true, value_name = "DIR|FILE")]
    files: Vec<PathBuf>,
    /// What it is compared with: a generation that the controller keeps, or other documents [default: what is applied].
    #[arg(long, value_name = "GENERATION|DIR")]
    against: Option<Against>,
    /// Exit with 1 only if a change does one of these.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
    /// Show how the documents' text changes, too.
    #[arg(long)]
    text: bool,
    /// Lines for each kind of change, at most; -o json has all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// How it is shown; `wide` with every rule that decides.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// What to compare with.
#[derive(Clone, Debug)]
enum Against {
    Generation(u64),
    Documents(PathBuf),
}

impl FromStr for Against {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Documents(text.into()), Self::Generation))
    }
}

/// What a gate does not let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Connections that were denied pass.
    Opens,
    /// Connections that passed are denied.
    Closes,
    /// Another rule decides, or says it otherwise.
    Reattributes,
    /// Any document is another.
    Documents,
}

pub(super) async fn run(server: &str, args: &Args) -> Result<Answer, CliError> {
    let wanted = load(&source::read(&args.files)?);
    let Some(model) = &wanted.model else {
        findings::show(&wanted.diagnostics)?;
        return Err(CliError::Invalid { consequence: "; nothing was compared" });
    };
    let Before { name, loaded: applied, seen } = before(server, args.against.as_ref()).await?;
    let documents = changes(&applied.documents, &wanted.documents);
    if args.text || applied.model.is_none() {
        output::print(&unified_diff(&documents))?;
    }
    // Without a state before there is nothing that any packet met before.
    let Some(old) = &applied.model else {
        return Ok(if documents.is_empty() { Answer::Yes } else { Answer::No });
    };
    let identities = number([old, model])?;
    let difference = difference(old, model, &identities).map_err(CliError::Compile)?;
    let nodes = nodes(old, model, &identities, &seen).map_err(CliError::Compile)?;
    let report = report::Report::of(&difference, &nodes, &name, documents.len());
    output::print(&match args.output {
        Format::Json => output::json(&report)?,
        Format::Yaml => output::yaml(&report)?,
        Format::Table => text::text(&report, args.limit, false),
        Format::Wide => text::text(&report, usize::MAX, true),
    })?;
    let fails = |fail: &FailOn| match fail {
        FailOn::Opens => report.opens > 0,
        FailOn::Closes => report.closes > 0,
        FailOn::Reattributes => report.reattributes > 0,
        FailOn::Documents => !documents.is_empty(),
    };
    let gates = if args.fail_on.is_empty() { &[FailOn::Documents][..] } else { &args.fail_on };
    Ok(if gates.iter().any(fails) { Answer::No } else { Answer::Yes })
}

/// What is compared with.
struct Before {
    name: String,
    /// Without a model where nothing was ever applied.
    loaded: Loaded,
    /// What nodes report; nothing without a controller.
    seen: BTreeMap<NodeName, SeenNode>,
}

async fn before(server: &str, against: Option<&Against>) -> Result<Before, CliError> {
    let generation = match against {
        Some(Against::Documents(path)) => {
            let loaded = load(&source::read(std::slice::from_ref(path))?);
            if loaded.model.is_none() {
                findings::show(&loaded.diagnostics)?;
                return Err(CliError::Invalid { consequence: "; nothing was compared" });
            }
            return Ok(Before { name: path.display().to_string(), loaded, seen: BTreeMap::new() });
        }
        Some(Against::Generation(generation)) => *generation,
        None => 0,
    };
    let mut client = connect(server).await?;
    let (generation, excerpts) = snapshot::excerpts_of(&mut client, generation).await?;
    let loaded = load_excerpts(&excerpts);
    if loaded.model.is_none() && !excerpts.is_empty() {
        let first = loaded.diagnostics.first().map(|finding| finding.message.clone());
        return Err(CliError::Skew { first: first.unwrap_or_default() });
    }
    let status = status::fetch(&mut client, 0, None).await?;
    let reports = status.nodes.iter().filter_map(|node| node.report.as_ref());
    let seen = reports.map(|report| (report.node.clone(), report.seen())).collect();
    Ok(Before { name: format!("generation {generation}"), loaded, seen })
}

fn number(models: [&Model; 2]) -> Result<IdentityTable, CliError> {
    let mut identities = IdentityTable::default();
    for model in models {
        identities.allocate(model).map_err(CliError::Numbers)?;
    }
    Ok(identities)
}
