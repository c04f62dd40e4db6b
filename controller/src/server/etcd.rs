//! The embedded default: one real etcd as our child, for as long as we live.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use tokio::process::{Child, Command};
use tracing::{info, warn};

use crate::store::{Access, Store};
use crate::trust::{Security, client};

/// How long etcd may take until it answers.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How long etcd may take to end.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How often a starting etcd is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// The name of its log, in its data directory.
const LOG: &str = "etcd.log";

/// What is wrong with the embedded etcd.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// There is no etcd to run.
    #[error(
        "the program `etcd` is not installed; install it (Debian: etcd-server), or name a cluster with --etcd"
    )]
    NotInstalled,
    /// The data directory can't be used.
    #[error("data directory {path}: {source}; --data-dir chooses another one")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its address can't be had.
    #[error(
        "the embedded etcd can't listen on {address}: {source}; if an etcd is running there, use it with --etcd \
         http://{address}, else choose another address with --embedded-etcd-listen"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Its address has no port.
    #[error(
        "the embedded etcd can't listen on {address}: agents have to know its port, so it has to be named; \
         --embedded-etcd-listen does, usually with port 2379"
    )]
    AnyPort {
        /// The address.
        address: SocketAddr,
    },
    /// It can't be started.
    #[error("can't run etcd: {0}")]
    Spawn(io::Error),
    /// It ended.
    #[error("{status}; the end of {log}:\n{tail}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// Where its log is.
        log: PathBuf,
        /// The last lines of that.
        tail: String,
    },
    /// It runs and does not answer.
    #[error("etcd runs and did not answer on {endpoint} within {} s; see {log}", START_WITHIN.as_secs())]
    Silent {
        /// Where it should listen.
        endpoint: String,
        /// Where its log is.
        log: PathBuf,
    },
}

/// A single-member etcd that runs as our child.
pub struct EmbeddedEtcd {
    child: Child,
    endpoint: String,
    access: Access,
    log: PathBuf,
}

impl EmbeddedEtcd {
    /// Starts etcd on `data_dir` and returns when it answers. It ends with the thread that calls this, whatever
    /// becomes of the process: call it from one that lives as long as etcd is to.
    pub async fn start(data_dir: &Path, listen: SocketAddr, security: &Security) -> Result<Self, EtcdError> {
        let unusable = |source| EtcdError::DataDir { path: data_dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(unusable)?;
        let log = data_dir.join(LOG);
        let output = File::options().create(true).append(true).open(&log).map_err(unusable)?;
        require_free(listen)?;
        let (endpoint, access) = match security {
            Security::Insecure => {
                let endpoint = format!("http://{listen}");
                (endpoint.clone(), Access::plain(vec![endpoint]))
            }
            Security::Mutual(trust) => {
                let endpoint = format!("https://{listen}");
                (endpoint.clone(), Access::tls(vec![endpoint], client(trust.controller())))
            }
        };
        let child = spawn(data_dir, &endpoint, security, output)?;
        let mut etcd = Self { child, endpoint, access, log };
        tokio::select! {
            () = answers(&etcd.access) => {}
            status = etcd.child.wait() => return Err(ended(status, &etcd.log)),
            () = tokio::time::sleep(START_WITHIN) => {
                let Self { endpoint, log, .. } = &etcd;
                return Err(EtcdError::Silent { endpoint: endpoint.clone(), log: log.clone() });
            }
        }
        info!(endpoint = etcd.endpoint, pid = etcd.child.id(), "embedded etcd is up");
        Ok(etcd)
    }

    /// Its client URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How it is reached.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Returns when it ends by itself.
    pub async fn ended(&mut self) -> EtcdError {
        ended(self.child.wait().await, &self.log)
    }

    /// Ends it: asks first, insists later.
    pub async fn stop(mut self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok())
            && let Err(error) = kill(Pid::from_raw(pid), Signal::SIGTERM)
        {
            warn!(%error, "could not ask etcd to end");
        }
        match tokio::time::timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(_) => info!("embedded etcd ended"),
            Err(_) => {
                warn!("etcd did not end within {} s; killing it", STOP_WITHIN.as_secs());
                if let Err(error) = self.child.kill().await {
                    warn!(%error, "could not kill etcd");
                }
            }
        }
    }
}

fn spawn(data_dir: &Path, endpoint: &str, security: &Security, output: File) -> Result<Child, EtcdError> {
    let mut command = Command::new("etcd");
    command
        .args(["--name", "selvedge", "--log-level", "warn", "--logger", "zap"])
        .args(["--listen-client-urls", endpoint, "--advertise-client-urls", endpoint])
        // It has no peers; port 0 keeps it from claiming one.
        .args([
            "--listen-peer-urls",
            "http://127.0.0.1:0",
            "--initial-advertise-peer-urls",
            "http://127.0.0.1:0",
        ])
        .args(["--initial-cluster", "selvedge=http://127.0.0.1:0"])
        // Reports are overwritten every few seconds; their history is of no use.
        .args(["--auto-compaction-mode", "periodic", "--auto-compaction-retention", "10m"])
        .arg("--data-dir")
        .arg(data_dir)
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(EtcdError::Spawn)?)
        .stderr(output)
        .kill_on_drop(true);
    if let Security::Mutual(trust) = security {
        let folder = trust.etcd_folder();
        // One file has the key and the certificate: etcd takes of it what it looks for.
        command.arg("--cert-file").arg(folder.join("identity.pem"));
        command.arg("--key-file").arg(folder.join("identity.pem"));
        command.arg("--trusted-ca-file").arg(folder.join("ca.pem")).arg("--client-cert-auth");
    }
    die_with_parent(&mut command);
    command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => EtcdError::NotInstalled,
        _ => EtcdError::Spawn(source),
    })
}

/// Has the kernel end the child with us, even where we are killed; and keeps a Ctrl-C in our terminal from it,
/// since we end it in order.
fn die_with_parent(command: &mut Command) {
    let parent = Pid::this();
    let prepare = move || {
        set_pdeathsig(Signal::SIGTERM)?;
        // We may have died before that took effect.
        if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    command.process_group(0);
    #[expect(
        unsafe_code,
        reason = "pre_exec runs between fork and exec; both calls in it are plain system calls"
    )]
    // SAFETY: the closure allocates nothing, takes no lock and calls only async-signal-safe functions.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Nobody else may be there: it would answer in etcd's stead.
fn require_free(address: SocketAddr) -> Result<(), EtcdError> {
    if address.port() == 0 {
        return Err(EtcdError::AnyPort { address });
    }
    TcpListener::bind(address).map(drop).map_err(|source| EtcdError::Listen { address, source })
}

/// Returns when somebody answers as etcd does.
async fn answers(access: &Access) {
    while Store::connect(access).await.is_err() {
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn ended(status: io::Result<ExitStatus>, log: &Path) -> EtcdError {
    let status = match status {
        Ok(status) => status,
        Err(error) => return EtcdError::Spawn(error),
    };
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut last: Vec<&str> = text.lines().rev().take(5).collect();
    last.reverse();
    EtcdError::Ended { status, log: log.to_owned(), tail: last.join("\n") }
}
