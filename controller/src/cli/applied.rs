//! What commands that change the desired state have in common: on which terms, and what they say came of it.

use std::fmt::Write as _;

use anstyle::AnsiColor;
use clap::ValueEnum;
use selvedge_proto::wire::{self, ApplyOutcome, ChangeKind};
use serde::Serialize;

use super::client::{Client, refused};
use super::{Answer, CliError, findings, output, status};

/// More names than this are only counted.
const MAX_NAMES: usize = 40;

/// On which terms documents are changed.
#[derive(clap::Args)]
pub(super) struct Terms {
    /// Judge and compare; change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Also where workloads that are to be enforced are known not to be.
    #[arg(long)]
    pub(super) allow_unenforced: bool,
    /// Also where policy would cut nodes off from etcd or the controller, or this command from the controller.
    #[arg(long)]
    pub(super) allow_lockout: bool,
    /// Wait until every node has the generation in force.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// How long to wait.
    #[arg(long, requires = "wait", value_name = "TIME", default_value = "60s")]
    timeout: humantime::Duration,
    /// How what changed is shown.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// As JSON.
    Json,
}

/// What came of it, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Said<'r> {
    outcome: &'static str,
    /// None of a dry run.
    generation: Option<u64>,
    changes: Vec<Changed<'r>>,
    nodes_changed: &'r [String],
    unenforced: &'r [String],
    lockouts: &'r [String],
}

#[derive(Serialize)]
struct Changed<'r> {
    change: &'static str,
    kind: &'r str,
    name: &'r str,
}

/// Sends a request under these terms, and says what came of it.
pub(super) async fn send(
    client: &mut Client,
    request: wire::ApplyRequest,
    terms: &Terms,
) -> Result<Answer, CliError> {
    let Terms { dry_run, allow_unenforced, allow_lockout, wait, timeout, output } = *terms;
    let request = wire::ApplyRequest { dry_run, allow_unenforced, allow_lockout, ..request };
    let mut response = client.apply(request).await.map_err(refused)?.into_inner();
    findings::show(&findings::from_wire(std::mem::take(&mut response.diagnostics)))?;
    if response.outcome() == ApplyOutcome::Invalid {
        return Err(CliError::Invalid { consequence: "; nothing was changed" });
    }
    output::print(&match output {
        Format::Text => render(&response),
        Format::Json => output::json(&said(&response))?,
    })?;
    if !wait {
        return Ok(Answer::Yes);
    }
    let status = status::fetch(client, response.generation, Some(*timeout)).await?;
    if output == Format::Text {
        output::print(&status::render(&status, status::Width::Narrow))?;
    }
    Ok(status::answer(&status))
}

fn said(response: &wire::ApplyResponse) -> Said<'_> {
    let changed = |change: &'_ wire::DocumentChange| match change.kind() {
        ChangeKind::Added => "added",
        ChangeKind::Changed => "changed",
        ChangeKind::Removed => "removed",
        ChangeKind::Unspecified => "unknown",
    };
    let changes = response.changes.iter().map(|change| Changed {
        change: changed(change),
        kind: &change.document_kind,
        name: &change.document_name,
    });
    Said {
        outcome: match response.outcome() {
            ApplyOutcome::Applied => "applied",
            ApplyOutcome::DryRun => "dryRun",
            ApplyOutcome::Unchanged => "unchanged",
            ApplyOutcome::Invalid | ApplyOutcome::Unspecified => "unknown",
        },
        generation: Some(response.generation).filter(|generation| *generation > 0),
        changes: changes.collect(),
        nodes_changed: &response.nodes_changed,
        unenforced: &response.unenforced,
        lockouts: &response.lockouts,
    }
}

/// What was changed, and what follows.
fn render(response: &wire::ApplyResponse) -> String {
    let mut out = String::new();
    let kinds = [(ChangeKind::Added, "+"), (ChangeKind::Changed, "~"), (ChangeKind::Removed, "-")];
    for (kind, sign) in kinds {
        let style = match kind {
            ChangeKind::Added => AnsiColor::Green.on_default(),
            ChangeKind::Removed => AnsiColor::Red.on_default(),
            ChangeKind::Changed | ChangeKind::Unspecified => AnsiColor::Yellow.on_default(),
        };
        let changed = response.changes.iter().filter(|change| change.kind() == kind);
        for change in changed.clone().take(MAX_NAMES) {
            // Writing to a string can't fail.
            let _ = writeln!(out, "{style}{sign} {}/{}{style:#}", change.document_kind, change.document_name);
        }
        let more = changed.count().saturating_sub(MAX_NAMES);
        if more > 0 {
            let _ = writeln!(out, "{style}{sign} … and {more} more{style:#}");
        }
    }
    let count = |kind| response.changes.iter().filter(|change| change.kind() == kind).count();
    let [added, changed, removed] = kinds.map(|(kind, _)| count(kind));
    let counts = format!("+{added} ~{changed} -{removed} documents");
    let nodes = nodes(&response.nodes_changed);
    let generation = response.generation;
    let _ = match response.outcome() {
        ApplyOutcome::Applied => writeln!(out, "generation {generation}: {counts}; {nodes}"),
        ApplyOutcome::DryRun => writeln!(out, "dry run: {counts}; {nodes}; nothing was changed"),
        ApplyOutcome::Unchanged => writeln!(out, "generation {generation}: unchanged"),
        ApplyOutcome::Invalid | ApplyOutcome::Unspecified => Ok(()),
    };
    for port in &response.unenforced {
        let yellow = AnsiColor::Yellow.on_default();
        let _ = writeln!(out, "{yellow}unenforced, as allowed: {port}{yellow:#}");
    }
    for lockout in &response.lockouts {
        let yellow = AnsiColor::Yellow.on_default();
        let _ = writeln!(out, "{yellow}cut off, as allowed: {lockout}{yellow:#}");
    }
    out
}

fn nodes(changed: &[String]) -> String {
    match changed.len() {
        0 => "no node's plan differs".to_owned(),
        1..=10 => format!("new plans for {}", changed.join(", ")),
        many => format!("new plans for {many} nodes"),
    }
}
