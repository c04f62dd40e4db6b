//! `selvedge hw`: what hardware can do, and what a port would get, without a controller.

mod list;
mod matching;
mod show;

use std::path::PathBuf;

use clap::Subcommand;
use selvedge_hw_profiles::Profiles;

use super::{Answer, CliError};

#[derive(clap::Args)]
pub(super) struct Args {
    /// A folder of profiles of your own; they go before those that come with selvedge.
    #[arg(long, global = true, value_name = "DIR", env = "SELVEDGE_PROFILES")]
    profiles: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the profiles.
    #[command(after_help = list::EXAMPLES)]
    List(list::Args),
    /// Show everything that a profile says, with sources.
    #[command(after_help = show::EXAMPLES)]
    Show(show::Args),
    /// Say which profile a device or a recorded machine has, and which mode each port gets, why, and at what cost.
    /// Exit code 1: no profile matches.
    #[command(after_help = matching::EXAMPLES)]
    Match(matching::Args),
}

pub(super) fn run(args: Args) -> Result<Answer, CliError> {
    let profiles = Profiles::with_folder(args.profiles.as_deref())?;
    match args.command {
        Command::List(args) => list::run(&profiles, &args),
        Command::Show(args) => show::run(&profiles, &args),
        Command::Match(args) => matching::run(&profiles, &args),
    }
}
