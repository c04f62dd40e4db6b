//! `selvedge delete`.

use std::path::PathBuf;

use clap::ValueEnum;
use selvedge_proto::wire;
use selvedge_topology::documents::{Removal, names};

use super::applied::{self, Terms};
use super::client::connect;
use super::{Answer, CliError, findings, source};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  selvedge delete workload web1 web2\n  selvedge delete policy db --dry-run\n  \
                        selvedge delete -f retired/ --wait"
)]
pub(super) struct Args {
    /// The kind of the documents; plural and short forms will do.
    #[arg(
        value_name = "KIND",
        ignore_case = true,
        required_unless_present = "files",
        conflicts_with = "files"
    )]
    kind: Option<Kind>,
    /// Their names.
    #[arg(value_name = "NAME", required_unless_present = "files")]
    names: Vec<String>,
    /// All documents in these directories and files, or in standard input (`-`), whatever they say beside kind and name.
    #[arg(short, long = "filename", value_name = "DIR|FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    terms: Terms,
}

/// What can be deleted: of the fabric there is one, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
enum Kind {
    /// A named thing with labels and addresses.
    #[value(aliases = ["workloads", "wl"])]
    Workload,
    /// A segmentation policy.
    #[value(aliases = ["policies", "pol", "segmentationpolicy", "segmentationpolicies"])]
    Policy,
    /// A group of CIDRs.
    #[value(aliases = ["cidrgroups", "cg"])]
    CidrGroup,
}

impl Kind {
    /// The word for it in documents.
    fn word(self) -> &'static str {
        match self {
            Self::Workload => "Workload",
            Self::Policy => "SegmentationPolicy",
            Self::CidrGroup => "CidrGroup",
        }
    }
}

pub(super) async fn run(server: &str, args: Args) -> Result<Answer, CliError> {
    let Args { kind, names, files, terms } = args;
    let remove = match kind {
        Some(kind) => {
            names.into_iter().map(|name| wire::DocumentName { kind: kind.word().to_owned(), name }).collect()
        }
        None => in_files(&files)?,
    };
    let mut client = connect(server).await?;
    let request = wire::ApplyRequest { partial: true, remove, ..wire::ApplyRequest::default() };
    applied::send(&mut client, request, &terms).await
}

/// The documents that files hold.
fn in_files(files: &[PathBuf]) -> Result<Vec<wire::DocumentName>, CliError> {
    match names(&source::read(files)?) {
        Ok(found) => {
            Ok(found.into_iter().map(|Removal { kind, name }| wire::DocumentName { kind, name }).collect())
        }
        Err(diagnostics) => {
            findings::show(&diagnostics)?;
            Err(CliError::Invalid { consequence: "; nothing was changed" })
        }
    }
}
