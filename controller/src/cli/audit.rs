//! `selvedge audit`: who did what, when, and from where.

use std::fmt::Write as _;
use std::time::SystemTime;

use selvedge_proto::wire;
use selvedge_proto::wire::audit_client::AuditClient;
use selvedge_trust::audit::{Author, Chain, Entry};
use selvedge_trust::member::millis;
use serde::Serialize;

use super::client::{channel, refused};
use super::output::Format;
use super::table::{or_dash, printable, table};
use super::{Answer, CliError, output};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  selvedge audit --since 1d\n  selvedge audit -o wide    # with what each change changed\n  selvedge audit --verify   # exit code 1 where the record was tampered with"
)]
pub(super) struct Args {
    /// Only what was done since then: so long ago, or at a time like 2026-11-22T13:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = since, conflicts_with = "verify")]
    since: Option<SystemTime>,
    /// Check that each entry follows the one before, from the first on; print the digest of the last. Whoever kept that of an
    /// earlier time can tell whether the record was cut off or written anew.
    #[arg(long)]
    verify: bool,
    /// How it is shown.
    #[arg(short, long, value_name = "FORMAT", default_value = "table", conflicts_with = "verify")]
    output: Format,
}

fn since(text: &str) -> Result<SystemTime, String> {
    let ago = humantime::parse_duration(text).ok().and_then(|ago| SystemTime::now().checked_sub(ago));
    ago.map_or_else(|| humantime::parse_rfc3339_weak(text).map_err(|error| error.to_string()), Ok)
}

pub(super) async fn run(server: &str, args: Args) -> Result<Answer, CliError> {
    let since_ms = args.since.map_or(0, millis);
    let mut client = AuditClient::new(channel(server).await?);
    let mut records = client.read(wire::AuditRequest { since_ms }).await.map_err(refused)?.into_inner();
    let mut all = Vec::new();
    while let Some(record) = records.message().await.map_err(refused)? {
        all.push((record.number, record.entry));
    }
    if args.verify {
        return verify(&all);
    }
    let entries = all.iter().map(|(_, bytes)| Entry::decode(bytes)).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<Row> = entries.iter().map(Row::from).collect();
    output::print(&match args.output {
        Format::Json => output::json(&rows)?,
        Format::Yaml => output::yaml(&rows)?,
        Format::Table => narrow(&rows),
        Format::Wide => wide(&rows),
    })?;
    Ok(Answer::Yes)
}

fn verify(all: &[(u64, Vec<u8>)]) -> Result<Answer, CliError> {
    let mut chain = Chain::default();
    for (number, bytes) in all {
        if let Err(broken) = chain.check(*number, bytes) {
            output::print(&format!("the record was tampered with: {broken}\n"))?;
            return Ok(Answer::No);
        }
    }
    output::print(&format!(
        "{} entries, each as it was written; the last is {}\n",
        chain.number(),
        chain.head()
    ))?;
    Ok(Answer::Yes)
}

/// An entry as programs read it. Names of fields are stable.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    number: u64,
    time: String,
    who: String,
    role: String,
    from: String,
    method: String,
    summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    diff: String,
    diff_digest: String,
    diff_bytes: u64,
}

impl From<&Entry> for Row {
    fn from(entry: &Entry) -> Self {
        let Entry {
            number,
            time,
            author,
            method,
            summary,
            generation,
            diff,
            diff_digest,
            diff_bytes,
            previous: _,
        } = entry;
        let Author { name, organisation, from } = author.clone();
        Self {
            number: *number,
            time: humantime::format_rfc3339_seconds(*time).to_string(),
            who: name,
            role: organisation,
            from,
            method: method.clone(),
            summary: summary.clone(),
            generation: generation.map(|generation| generation.0),
            diff: diff.clone(),
            diff_digest: diff_digest.to_string(),
            diff_bytes: *diff_bytes,
        }
    }
}

fn narrow(rows: &[Row]) -> String {
    let row = |row: &Row| {
        let generation = row.generation.map(|number| number.to_string()).unwrap_or_default();
        let who = or_dash(row.who.clone());
        let rest = [or_dash(row.from.clone()), row.method.clone(), or_dash(generation), row.summary.clone()];
        [row.time.clone(), who].into_iter().chain(rest).collect::<Vec<_>>()
    };
    table(&["TIME", "WHO", "FROM", "METHOD", "GENERATION", "SUMMARY"], rows.iter().map(row))
}

/// With all that an entry holds of its diff.
fn wide(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        out.push_str(&narrow(std::slice::from_ref(row)));
        for line in row.diff.lines() {
            // Writing to a string can't fail.
            let _ = writeln!(out, "    {}", printable(line));
        }
        let shown = row.diff.len() as u64;
        if shown < row.diff_bytes {
            let _ = writeln!(
                out,
                "    … {} bytes more; SHA-256 of all: {}",
                row.diff_bytes - shown,
                row.diff_digest
            );
        }
    }
    out
}
