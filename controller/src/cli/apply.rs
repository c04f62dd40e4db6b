//! `selvedge apply`.

use std::path::PathBuf;

use selvedge_proto::wire;

use super::applied::{self, Terms};
use super::client::connect;
use super::{Answer, CliError, sign, source};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  selvedge apply -f fabric/ --dry-run\n  selvedge apply -f fabric/ --wait\n  \
                        selvedge apply --partial -f web1.yaml  # one workload; all other documents stay\n  \
                        cat *.yaml | selvedge apply -f -"
)]
pub(super) struct Args {
    /// The complete desired state: directories, files, or `-` for standard input. What is not in it is removed.
    #[arg(short, long = "filename", required = true, value_name = "DIR|FILE")]
    files: Vec<PathBuf>,
    /// These documents only: they take the place of those of the same kind and name, and all others stay.
    #[arg(long)]
    partial: bool,
    /// Sign the generation with this key, where the fabric's generations are signed by operators: it is compiled here, and what
    /// was signed is what the controller may publish.
    #[arg(
        long,
        value_name = "FILE",
        requires = "fabric",
        conflicts_with_all = ["dry_run", "partial"],
        env = "SELVEDGE_SIGNING_KEY"
    )]
    signing_key: Option<PathBuf>,
    /// What nodes trust, as `selvedge-controller init` wrote it: fabric.json.
    #[arg(long, value_name = "FILE", env = "SELVEDGE_FABRIC")]
    fabric: Option<PathBuf>,
    #[command(flatten)]
    terms: Terms,
}

pub(super) async fn run(server: &str, args: Args) -> Result<Answer, CliError> {
    let Args { files, partial, signing_key, fabric, terms } = args;
    let files = source::read(&files)?;
    let mut client = connect(server).await?;
    let signed = match (&signing_key, &fabric) {
        (Some(key), Some(fabric)) => {
            let signer = sign::Signer::load(key, fabric)?;
            signer.sign(&mut client, &files, (terms.allow_unenforced, terms.allow_lockout)).await?
        }
        _ => None,
    };
    let files = sign::to_wire(files);
    let request = wire::ApplyRequest { files, partial, signed, ..wire::ApplyRequest::default() };
    applied::send(&mut client, request, &terms).await
}
