//! The `selvedge` command line: what it takes, and which module does it.
//!
//! Commands print what they were asked for to standard output and everything else to standard error. The exit
//! code is 0 for yes, 1 for no or failed, 2 for a command line that makes no sense.

mod applied;
mod apply;
mod audit;
mod client;
mod config;
mod delete;
mod describe;
mod diff;
mod error;
mod explain;
mod findings;
mod get;
mod graph;
mod hw;
mod login;
mod members;
mod observe;
mod output;
mod placement;
mod renew;
mod sign;
mod snapshot;
mod somebody;
mod source;
mod status;
mod table;
mod test;
mod validate;
mod version;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use error::CliError;

const EXAMPLES: &str = "\
Examples:
  selvedge validate fabric/            # judge documents, without a controller
  selvedge diff -f fabric/             # what applying them would open and close
  selvedge apply -f fabric/ --wait     # make them the desired state, wait until every node enforces it
  selvedge status                      # how far each node is
  selvedge explain web1 db1 -f fabric/ # which rule lets a connection through, or does not
  selvedge observe -f --verdict DENIED # who is denied what, as it happens";

/// Says what a Selvedge fabric is to enforce, and shows what it does.
#[derive(Parser)]
#[command(name = "selvedge", version, after_help = EXAMPLES, infer_long_args = true)]
pub struct Cli {
    /// The controller [default: https://127.0.0.1:7471]. One that was started with --insecure has an http:// URL.
    #[arg(long, global = true, value_name = "URL", env = "SELVEDGE_SERVER")]
    server: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge documents: all errors and warnings, without a controller.
    Validate(validate::Args),
    /// Print the JSON Schema of documents, for editors.
    Schema,
    /// Make documents the desired state: all there are, or some of them.
    Apply(apply::Args),
    /// Delete documents from the desired state; all others stay.
    Delete(delete::Args),
    /// Show what documents would open, close and have other rules decide. Exit code 0: no document changed, or none
    /// does what --fail-on names; 1: else; 2: an error.
    Diff(diff::Args),
    /// List things of the fabric.
    Get(get::Args),
    /// Show everything about one thing.
    Describe(describe::Args),
    /// Show how far each node is. Exit code 0: the newest generation is in force everywhere.
    Status(status::Args),
    /// Show who enforces which direction of which workload's policy, where, at what cost, and why not better.
    /// Exit code 0: everything managed is enforced at every point.
    Placement(placement::Args),
    /// Explain why a new connection is allowed or denied, both ways. Exit code 0: policy allows all that was asked for; 1: it is
    /// denied, or nobody enforces for either end; 2: an error.
    Explain(explain::Args),
    /// Judge assertions about policy, for all packets. Exit code 0: all hold; 1: some don't; 2: an error.
    Test(test::Args),
    /// Show flows: who was allowed and denied what, and why.
    Observe(observe::Args),
    /// Say which machines are of the fabric: enroll, revoke, list.
    Node(members::Nodes),
    /// Say who may do what: invite, revoke, list.
    Operator(members::Operators),
    /// Show who did what to the fabric, when and from where.
    Audit(audit::Args),
    /// Become somebody at the controller, with a token that an administrator made.
    Login(login::Args),
    /// Draw the fabric of documents.
    Graph(graph::Args),
    /// Show what NICs, DPUs and switches can do, and what a port would get. Needs no controller.
    Hw(hw::Args),
    /// Print the versions of this command and of the controller.
    Version(version::Args),
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  selvedge completion bash > /etc/bash_completion.d/selvedge")]
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// What a command has to say to whoever asked a question of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// All is as it should be.
    Yes,
    /// It is not.
    No,
}

/// Runs a command and returns its exit code.
pub fn run(cli: Cli) -> ExitCode {
    let failed = match cli.command {
        // Like diff(1): 1 says that there is a difference, or a denial.
        Command::Diff(_) | Command::Explain(_) | Command::Test(_) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    };
    match execute(cli) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::FAILURE,
        // Whoever read our output has had enough.
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let style = anstyle::AnsiColor::Red.on_default().bold();
            anstream::eprintln!("{style}error:{style:#} {error}");
            failed
        }
    }
}

fn execute(Cli { server, command }: Cli) -> Result<Answer, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(CliError::Runtime)?;
    let server = config::server(server);
    match command {
        Command::Validate(args) => validate::run(&args),
        Command::Schema => validate::schema(),
        Command::Graph(args) => graph::run(&args),
        Command::Hw(args) => hw::run(args),
        Command::Completion { shell } => completion(shell),
        Command::Apply(args) => runtime.block_on(apply::run(&server, args)),
        Command::Delete(args) => runtime.block_on(delete::run(&server, args)),
        Command::Diff(args) => runtime.block_on(diff::run(&server, &args)),
        Command::Get(args) => runtime.block_on(get::run(&server, args)),
        Command::Describe(args) => runtime.block_on(describe::run(&server, args)),
        Command::Status(args) => runtime.block_on(status::run(&server, &args)),
        Command::Placement(args) => runtime.block_on(placement::run(&server, &args)),
        Command::Explain(args) => runtime.block_on(explain::run(&server, &args)),
        Command::Test(args) => runtime.block_on(test::run(&server, &args)),
        Command::Observe(args) => runtime.block_on(observe::run(&server, args)),
        Command::Node(args) => runtime.block_on(members::nodes(&server, args)),
        Command::Operator(args) => runtime.block_on(members::operators(&server, args)),
        Command::Audit(args) => runtime.block_on(audit::run(&server, args)),
        Command::Login(args) => runtime.block_on(login::run(&args)),
        Command::Version(args) => runtime.block_on(version::run(&server, &args)),
    }
}

fn completion(shell: clap_complete::Shell) -> Result<Answer, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "selvedge", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Answer::Yes)
}
