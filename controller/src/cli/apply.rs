//! `selvedge apply`.

use std::fmt::Write as _;
use std::path::PathBuf;

use anstyle::AnsiColor;
use selvedge_proto::wire::{self, ApplyOutcome, ChangeKind};

use super::client::{Client, connect, refused};
use super::{Answer, CliError, findings, output, sign, source, status};

/// More names than this are only counted.
const MAX_NAMES: usize = 40;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  selvedge apply -f fabric/ --dry-run\n  selvedge apply -f fabric/ --wait\n  \
                        cat *.yaml | selvedge apply -f -"
)]
pub(super) struct Args {
    /// The complete desired state: directories, files, or `-` for standard input. What is not in it is removed.
    #[arg(short, long = "filename", required = true, value_name = "DIR|FILE")]
    files: Vec<PathBuf>,
    /// Judge and compare; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Also where workloads that are to be enforced are known not to be.
    #[arg(long)]
    allow_unenforced: bool,
    /// Also where policy would cut nodes off from etcd or the controller, or this command from the controller.
    #[arg(long)]
    allow_lockout: bool,
    /// Sign the generation with this key, where the fabric's generations are signed by operators: it is compiled here, and what
    /// was signed is what the controller may publish.
    #[arg(
        long,
        value_name = "FILE",
        requires = "fabric",
        conflicts_with = "dry_run",
        env = "SELVEDGE_SIGNING_KEY"
    )]
    signing_key: Option<PathBuf>,
    /// What nodes trust, as `selvedge-controller init` wrote it: fabric.json.
    #[arg(long, value_name = "FILE", env = "SELVEDGE_FABRIC")]
    fabric: Option<PathBuf>,
    /// Wait until every node has the generation in force.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// How long to wait.
    #[arg(long, requires = "wait", value_name = "TIME", default_value = "60s")]
    timeout: humantime::Duration,
}

pub(super) async fn run(server: &str, args: Args) -> Result<Answer, CliError> {
    let files = source::read(&args.files)?;
    let mut client = connect(server).await?;
    let Args { dry_run, allow_unenforced, allow_lockout, .. } = args;
    let signed = match (&args.signing_key, &args.fabric) {
        (Some(key), Some(fabric)) => {
            let signer = sign::Signer::load(key, fabric)?;
            signer.sign(&mut client, &files, (allow_unenforced, allow_lockout)).await?
        }
        _ => None,
    };
    let files = sign::to_wire(files);
    let request = wire::ApplyRequest { files, dry_run, allow_unenforced, signed, allow_lockout };
    let mut response = client.apply(request).await.map_err(refused)?.into_inner();
    findings::show(&findings::from_wire(std::mem::take(&mut response.diagnostics)))?;
    if response.outcome() == ApplyOutcome::Invalid {
        return Err(CliError::Invalid { consequence: "; nothing was changed" });
    }
    output::print(&render(&response))?;
    if args.wait { wait(&mut client, response.generation, args.timeout).await } else { Ok(Answer::Yes) }
}

async fn wait(
    client: &mut Client,
    generation: u64,
    timeout: humantime::Duration,
) -> Result<Answer, CliError> {
    let status = status::fetch(client, generation, Some(*timeout)).await?;
    output::print(&status::render(&status, status::Width::Narrow))?;
    Ok(status::answer(&status))
}

/// What was changed, and what follows.
pub(super) fn render(response: &wire::ApplyResponse) -> String {
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
