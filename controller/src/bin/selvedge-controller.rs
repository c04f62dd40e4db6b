//! `selvedge-controller`: turns documents into plans and publishes them through etcd.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use selvedge_controller::server::{Authority, AuthorityError, Backing, Controller, Options, Strangers};
use selvedge_controller::store::Retention;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

const EXAMPLES: &str = "\
Examples:
  # All on this machine: a single-member etcd runs as a child, its data in a directory
  selvedge-controller --data-dir /var/lib/selvedge

  # With a cluster that is there already
  selvedge-controller --etcd http://10.0.0.1:2379,http://10.0.0.2:2379

  # Reachable for agents on a private management network (no TLS yet: hence the second flag)
  selvedge-controller --listen 172.31.0.1:7471 --embedded-etcd-listen 172.31.0.1:2379 --insecure-listen";

/// The Selvedge controller: turns documents into one plan per node and publishes them through etcd.
#[derive(Parser)]
#[command(name = "selvedge-controller", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand)]
enum Command {
    /// Run the controller (what happens without a command, too).
    #[command(after_help = EXAMPLES)]
    Run(Run),
}

#[derive(Args)]
struct Run {
    /// Where the API listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7471", env = "SELVEDGE_LISTEN")]
    listen: SocketAddr,
    /// Client URLs of an etcd cluster. Without it, a single-member etcd runs as a child of the controller.
    #[arg(long, value_name = "URL,…", value_delimiter = ',', env = "SELVEDGE_ETCD")]
    etcd: Vec<String>,
    /// Where the embedded etcd keeps its data.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/lib/selvedge/controller",
        env = "SELVEDGE_DATA_DIR"
    )]
    data_dir: PathBuf,
    /// Where the embedded etcd listens for the controller and for agents.
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:2379",
        env = "SELVEDGE_EMBEDDED_ETCD_LISTEN",
        conflicts_with = "etcd"
    )]
    embedded_etcd_listen: SocketAddr,
    /// Listen on other addresses than loopback although nothing is encrypted or authenticated: whoever
    /// reaches them can change policy. For private networks and labs only.
    #[arg(long)]
    insecure_listen: bool,
    /// The folder that says who signs generations: `fabric.json`, and `signing.key` where this controller does. Without them
    /// nobody signs, and agents have to be told to believe what is not signed.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/lib/selvedge/controller/trust",
        env = "SELVEDGE_TRUST_DIR"
    )]
    trust_dir: PathBuf,
    /// Take the documents in etcd for the fabric's, whoever signed them, and sign them: after an exchange of the signing key.
    #[arg(long)]
    resign: bool,
    /// What other controllers see while this one is the leader.
    #[arg(long, value_name = "NAME", default_value_t = default_name())]
    name: String,
    /// How many of the newest generations stay in etcd. What targets name, and what a node still runs, stays besides.
    #[arg(long, value_name = "N", default_value_t = Retention::DEFAULT.0, env = "SELVEDGE_KEEP_GENERATIONS")]
    keep_generations: NonZeroU32,
    /// How log lines look. RUST_LOG chooses which there are.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn default_name() -> String {
    let host = nix::unistd::gethostname().unwrap_or_default();
    format!("{}/{}", host.to_string_lossy(), std::process::id())
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command, run } = Cli::parse();
    let run = match command {
        Some(Command::Run(run)) => run,
        None => run,
    };
    start_logging(run.log_format);
    let options = match options(run) {
        Ok(options) => options,
        Err(refusal) => {
            eprintln!("error: {refusal}");
            return ExitCode::from(2);
        }
    };
    match serve(options).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: can't wait for signals: {error}");
            ExitCode::FAILURE
        }
    }
}

/// An address that others can reach, without the word that this is meant.
#[derive(Debug, thiserror::Error)]
#[error(
    "{flag} {address} is not a loopback address, and nothing is encrypted or authenticated yet: whoever reaches it \
     can change policy. Add --insecure-listen if the network is private"
)]
struct Exposed {
    flag: &'static str,
    address: SocketAddr,
}

/// Why the controller can't run like that.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Exposed(#[from] Exposed),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

fn options(run: Run) -> Result<Options, Unusable> {
    let Run {
        listen,
        etcd,
        data_dir,
        embedded_etcd_listen,
        insecure_listen,
        trust_dir,
        resign,
        name,
        keep_generations,
        ..
    } = run;
    let listens = [("--listen", listen), ("--embedded-etcd-listen", embedded_etcd_listen)];
    for (flag, address) in listens {
        if !insecure_listen && !address.ip().is_loopback() {
            return Err(Exposed { flag, address }.into());
        }
    }
    let backing = if etcd.is_empty() {
        Backing::Embedded { data_dir, listen: embedded_etcd_listen }
    } else {
        Backing::Cluster { endpoints: etcd }
    };
    let authority = Authority::load(&trust_dir)?;
    if matches!(authority, Authority::Nobody) {
        warn!("generations are not signed: whoever can write to etcd can change policy");
    }
    let strangers = if resign { Strangers::Resign } else { Strangers::Refuse };
    Ok(Options { listen, backing, name, retention: Retention(keep_generations), authority, strangers })
}

async fn serve(options: Options) -> std::io::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let started = tokio::select! {
        started = Controller::start(options) => started,
        () = asked_to_stop(&mut terminate, &mut interrupt) => return Ok(ExitCode::SUCCESS),
    };
    let mut controller = match started {
        Ok(controller) => controller,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let code = tokio::select! {
        () = asked_to_stop(&mut terminate, &mut interrupt) => {
            info!("asked to stop");
            ExitCode::SUCCESS
        }
        failure = controller.failed() => {
            error!(%failure, "stopping");
            ExitCode::FAILURE
        }
    };
    controller.shutdown().await;
    Ok(code)
}

async fn asked_to_stop(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => logs.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => logs.json().init(),
    }
}
