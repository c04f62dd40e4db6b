//! `selvedge hw list`.

use selvedge_hw_profiles::{Entry, Profile, Profiles};
use serde::Serialize;

use crate::cli::output::{self, Format};
use crate::cli::table::{list, table};
use crate::cli::{Answer, CliError};

pub(super) const EXAMPLES: &str = "Examples:\n  selvedge hw list\n  selvedge hw list -o wide\n  \
                                   selvedge hw list -o json | jq -r '.[] | select(.kind == \"dpu\").name'";

#[derive(clap::Args)]
pub(super) struct Args {
    /// How it is shown.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// A profile in a few words.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'p> {
    name: &'p str,
    kind: &'static str,
    title: &'p str,
    drivers: &'p [String],
    roles: Vec<RoleRow>,
    on_first_program: Option<&'static str>,
    on_exchange: Option<&'static str>,
    origin: &'static str,
}

/// What an interface of a device is, and the best mode of it.
#[derive(Serialize)]
struct RoleRow {
    role: &'static str,
    best: &'static str,
}

pub(super) fn run(profiles: &Profiles, args: &Args) -> Result<Answer, CliError> {
    let rows: Vec<Row<'_>> = profiles.iter().map(row).collect();
    output::print(&match args.output {
        Format::Json => output::json(&rows)?,
        Format::Yaml => output::yaml(&rows)?,
        Format::Table => {
            let head = ["PROFILE", "KIND", "BEST", "DEVICES"];
            let cells = |row: &Row<'_>| {
                [row.name, row.kind, best(profiles, row.name), row.title].map(ToOwned::to_owned)
            };
            table(&head, rows.iter().map(cells))
        }
        Format::Wide => {
            let head =
                ["PROFILE", "KIND", "ROLES", "FIRST-PROGRAM", "EXCHANGE", "DRIVERS", "ORIGIN", "DEVICES"];
            table(&head, rows.iter().map(wide))
        }
    })?;
    Ok(Answer::Yes)
}

fn row(Entry { profile, origin }: &Entry) -> Row<'_> {
    let Profile { name, title, kind, matching, netdevs, on_set, .. } = profile;
    let roles = netdevs.iter().map(|it| RoleRow { role: it.role.name(), best: it.best().name() });
    Row {
        name,
        kind: kind.name(),
        title,
        drivers: &matching.drivers,
        roles: roles.collect(),
        on_first_program: on_set.as_ref().map(|it| it.first.name()),
        on_exchange: on_set.as_ref().map(|it| it.exchange.name()),
        origin: origin.name(),
    }
}

fn best(profiles: &Profiles, name: &str) -> &'static str {
    profiles.get(name).map_or("-", |entry| entry.profile.best().name())
}

fn wide(row: &Row<'_>) -> [String; 8] {
    let roles = list(row.roles.iter().map(|it| format!("{}:{}", it.role, it.best)));
    let effect = |effect: Option<&'static str>| effect.unwrap_or("-").to_owned();
    let (first, exchange) = (effect(row.on_first_program), effect(row.on_exchange));
    let [name, kind, origin, title] = [row.name, row.kind, row.origin, row.title].map(ToOwned::to_owned);
    [name, kind, roles, first, exchange, list(row.drivers), origin, title]
}
