//! `selvedge-controller`: turns documents into plans and publishes them through etcd.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::{Args, Parser, Subcommand, ValueEnum};
use selvedge_controller::server::{Authority, AuthorityError, Backing, Controller, Options, Strangers};
use selvedge_controller::store::{Access, Retention};
use selvedge_controller::trust::{
    Folder, Init, Security, Trust, TrustError, client, client_from_files, init,
};
use selvedge_trust::FileError;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tonic::transport::ClientTlsConfig;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

const EXAMPLES: &str = "\
Examples:
  # Once: the fabric's certificate authority, and the addresses that agents will reach the controller by
  selvedge-controller init --san 10.0.0.5

  # A single-member etcd runs as a child, its data in the data directory
  selvedge-controller --listen 10.0.0.5:7471 --embedded-etcd-listen 10.0.0.5:2379

  # With a cluster that is there already
  selvedge-controller --listen 10.0.0.5:7471 --etcd https://10.0.0.1:2379,https://10.0.0.2:2379 \\
    --etcd-ca ca.pem --etcd-cert client.pem --etcd-key client.key

  # To try things out on one machine: nothing is encrypted, and whoever reaches it may do anything
  selvedge-controller --data-dir /tmp/selvedge --insecure";

const INIT_EXAMPLES: &str = "\
What is there stays as it is; names that are missing in a certificate are added to it.

Examples:
  selvedge-controller init --san 10.0.0.5,controller.example.net
  selvedge-controller init --ca-cert ca.pem --ca-key ca.key --san 10.0.0.5";

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
    /// Make the fabric's certificate authority and the first identities.
    #[command(after_help = INIT_EXAMPLES)]
    Init(Init),
}

#[derive(Args)]
struct Run {
    /// Where the API listens.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7471", env = "SELVEDGE_LISTEN")]
    listen: SocketAddr,
    /// Client URLs of an etcd cluster. Without it, a single-member etcd runs as a child of the controller.
    #[arg(long, value_name = "URL,…", value_delimiter = ',', env = "SELVEDGE_ETCD")]
    etcd: Vec<String>,
    /// The authority of that cluster's certificates, in PEM; without it, the fabric's own.
    #[arg(long, value_name = "FILE", requires_all = ["etcd", "etcd_cert", "etcd_key"])]
    etcd_ca: Option<PathBuf>,
    /// What is shown to that cluster, in PEM; without it, the controller's own.
    #[arg(long, value_name = "FILE", requires = "etcd_ca")]
    etcd_cert: Option<PathBuf>,
    /// The key of it, in PEM (PKCS #8).
    #[arg(long, value_name = "FILE", requires = "etcd_ca")]
    etcd_key: Option<PathBuf>,
    /// Where `init` made the fabric's authority; the embedded etcd keeps its data there, too.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/var/lib/selvedge/controller",
        env = "SELVEDGE_DATA_DIR"
    )]
    data_dir: PathBuf,
    /// Where the embedded etcd listens for the controller and for agents; of no use with --etcd.
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:2379",
        env = "SELVEDGE_EMBEDDED_ETCD_LISTEN"
    )]
    embedded_etcd_listen: SocketAddr,
    /// Encrypt nothing and ask nobody who they are: whoever reaches the API or etcd may do anything. For trials and labs.
    #[arg(long, conflicts_with = "etcd_ca", env = "SELVEDGE_INSECURE")]
    insecure: bool,
    /// How long the certificates of nodes and operators hold; they are renewed after two thirds of that.
    #[arg(long, value_name = "TIME", default_value = "30d", env = "SELVEDGE_CERTIFICATE_LIFETIME")]
    certificate_lifetime: humantime::Duration,
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
        Some(Command::Init(options)) => return initialise(&options),
        None => run,
    };
    start_logging(run.log_format);
    let options = match options(&run) {
        Ok(options) => options,
        Err(refusal) => {
            eprintln!("error: {refusal}");
            return ExitCode::FAILURE;
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

/// Makes what is missing, and says what to do next.
fn initialise(options: &Init) -> ExitCode {
    let made = match init(options, SystemTime::now()) {
        Ok(made) => made,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    for thing in made {
        println!("{thing}");
    }
    let data_dir = options.data_dir.display();
    println!(
        "\nNext:\n  selvedge-controller --data-dir {data_dir} --listen ADDRESS:7471 --embedded-etcd-listen ADDRESS:2379\n  \
         SELVEDGE_DATA_DIR={data_dir} selvedge --server https://ADDRESS:7471 version    # as the administrator, on this machine"
    );
    ExitCode::SUCCESS
}

/// Why the command line can't be followed.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error("{url}: {problem}")]
    Url { url: String, problem: &'static str },
    #[error(transparent)]
    File(#[from] FileError),
}

fn options(run: &Run) -> Result<Options, Refusal> {
    let Run {
        listen,
        etcd,
        data_dir,
        embedded_etcd_listen,
        keep_generations,
        insecure,
        name,
        certificate_lifetime,
        resign,
        ..
    } = run;
    let (listen, name, certificate_lifetime) = (*listen, name.clone(), **certificate_lifetime);
    let retention = Retention(*keep_generations);
    let scheme = if *insecure { "http://" } else { "https://" };
    if let Some(url) = etcd.iter().find(|url| !url.starts_with(scheme)) {
        let problem = if *insecure {
            "with --insecure, etcd's URLs begin with http://"
        } else {
            "etcd's URLs begin with https://, or, where everything is open to anybody, --insecure is said"
        };
        return Err(Refusal::Url { url: url.clone(), problem });
    }
    let authority = Authority::load(Folder::of(data_dir).path())?;
    let strangers = if *resign { Strangers::Resign } else { Strangers::Refuse };
    let memory = Some(data_dir.join("memory"));
    let backing = |access: Access| {
        if etcd.is_empty() {
            Backing::Embedded { data_dir: data_dir.clone(), listen: *embedded_etcd_listen }
        } else {
            Backing::Cluster { access }
        }
    };
    let (backing, security) = if *insecure {
        if matches!(authority, Authority::Nobody) {
            warn!("generations are not signed: whoever can write to etcd can change policy");
        }
        warn!("--insecure: nothing is encrypted, and whoever reaches {listen} or etcd may do anything");
        (backing(Access::plain(etcd.clone())), Security::Insecure)
    } else {
        let mut trust = Trust::load(data_dir)?;
        trust.covers(data_dir, listen.ip(), etcd.is_empty().then(|| embedded_etcd_listen.ip()))?;
        let shown = cluster(run, &mut trust)?;
        (backing(Access::tls(etcd.clone(), shown)), Security::Mutual(Arc::new(trust)))
    };
    Ok(Options {
        listen,
        backing,
        name,
        retention,
        memory,
        authority,
        strangers,
        security,
        certificate_lifetime,
    })
}

/// What is shown to a cluster, and what is believed of it.
fn cluster(run: &Run, trust: &mut Trust) -> Result<ClientTlsConfig, Refusal> {
    match (&run.etcd_ca, &run.etcd_cert, &run.etcd_key) {
        (Some(authority), Some(certificate), Some(key)) => {
            trust.known_by(certificate)?;
            Ok(client_from_files(authority, certificate, key)?)
        }
        _ => Ok(client(trust.controller())),
    }
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
