//! `selvedge get`: lists.

use clap::ValueEnum;
use selvedge_proto::wire;
use selvedge_topology::documents::{Document, to_yaml};
use serde_json::{Value, json};

use super::client::{Client, connect, refused};
use super::output::Format;
use super::table::table;
use super::{Answer, CliError, output, status};

pub(super) mod rows;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  selvedge get workloads\n  selvedge get wl web1 -o yaml\n  \
                        selvedge get ports -o wide\n  selvedge get policies -o json | jq '.items[].metadata.name'")]
pub(super) struct Args {
    /// What to list; singular and short forms will do.
    #[arg(value_name = "KIND")]
    kind: Kind,
    /// Only the one with this name.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// How it is shown.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(super) enum Kind {
    /// Machines.
    #[value(aliases = ["node", "no"])]
    Nodes,
    /// Their ports.
    #[value(aliases = ["port", "po"])]
    Ports,
    /// Named things with labels and addresses.
    #[value(aliases = ["workload", "wl"])]
    Workloads,
    /// Numbers of label sets and CIDRs.
    #[value(aliases = ["identity", "id"])]
    Identities,
    /// Segmentation policies.
    #[value(aliases = ["policy", "pol", "segmentationpolicy", "segmentationpolicies"])]
    Policies,
    /// Groups of CIDRs.
    #[value(aliases = ["cidrgroup", "cg"])]
    CidrGroups,
    /// Desired states, newest first.
    #[value(aliases = ["generation", "gen"])]
    Generations,
}

impl Kind {
    /// One of them, and the word that lists them.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Nodes => ("node", "nodes"),
            Self::Ports => ("port", "ports"),
            Self::Workloads => ("workload", "workloads"),
            Self::Identities => ("identity", "identities"),
            Self::Policies => ("policy", "policies"),
            Self::CidrGroups => ("CIDR group", "cidrgroups"),
            Self::Generations => ("generation", "generations"),
        }
    }
}

/// A list: columns for people, items for programs.
pub(super) struct Listing {
    /// Column heads; those behind `narrow` are shown with `-o wide` only.
    pub(super) head: Vec<&'static str>,
    pub(super) narrow: usize,
    pub(super) entries: Vec<Entry>,
}

/// An entry of a list.
pub(super) struct Entry {
    /// What it is asked for by.
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    pub(super) item: Item,
}

/// An entry for programs.
pub(super) enum Item {
    /// What its author wrote, in canonical form.
    Document(Document),
    /// What is known of it.
    Facts(Value),
}

impl Item {
    fn value(&self) -> &Value {
        match self {
            Self::Document(document) => &document.content,
            Self::Facts(facts) => facts,
        }
    }
}

pub(super) async fn run(server: &str, args: Args) -> Result<Answer, CliError> {
    let Args { kind, name, output: format } = args;
    let mut client = connect(server).await?;
    let mut listing = listing(&mut client, kind).await?;
    if let Some(name) = &name {
        listing.entries.retain(|entry| entry.name == *name);
        if listing.entries.is_empty() {
            let (kind, list) = kind.words();
            return Err(CliError::NotFound { kind, name: name.clone(), list });
        }
    }
    output::print(&render(listing, format, name.is_some())?)?;
    Ok(Answer::Yes)
}

async fn listing(client: &mut Client, kind: Kind) -> Result<Listing, CliError> {
    if kind == Kind::Generations {
        let response = client.generations(wire::GenerationsRequest {}).await.map_err(refused)?.into_inner();
        return Ok(rows::generations(&response.generations, std::time::SystemTime::now()));
    }
    let snapshot = super::snapshot::snapshot(client).await?;
    Ok(match kind {
        Kind::Nodes => rows::nodes(&snapshot.model),
        Kind::Ports => rows::ports(&snapshot.model, &status::fetch(client, 0, None).await?),
        Kind::Workloads => rows::workloads(&snapshot),
        Kind::Identities => rows::identities(&snapshot),
        Kind::Policies => rows::policies(&snapshot),
        Kind::CidrGroups | Kind::Generations => rows::cidr_groups(&snapshot),
    })
}

/// The one thing, or a list of all.
fn value(entries: &[Entry], one: bool) -> Value {
    let items: Vec<&Value> = entries.iter().map(|entry| entry.item.value()).collect();
    match &items[..] {
        [item] if one => (*item).clone(),
        _ => json!({"apiVersion": "selvedge/v1", "kind": "List", "items": items}),
    }
}

/// Documents as YAML that can be applied again; none where the list is not of documents.
fn documents(entries: &[Entry]) -> Option<String> {
    let text = |entry: &Entry| match &entry.item {
        Item::Document(document) => Some(to_yaml(document)),
        Item::Facts(_) => None,
    };
    Some(entries.iter().map(text).collect::<Option<Vec<_>>>()?.join("---\n"))
}

/// A list as text; `one` where one thing was asked for by name.
pub(super) fn render(listing: Listing, format: Format, one: bool) -> Result<String, CliError> {
    let Listing { head, narrow, entries } = listing;
    match format {
        Format::Json => output::json(&value(&entries, one)),
        Format::Yaml => match documents(&entries) {
            Some(text) => Ok(text),
            None => output::yaml(&value(&entries, one)),
        },
        Format::Wide => Ok(table(&head, entries.into_iter().map(|entry| entry.columns))),
        Format::Table => {
            let columns = entries.into_iter().map(|entry| entry.columns.into_iter().take(narrow));
            Ok(table(&head[..narrow], columns))
        }
    }
}
