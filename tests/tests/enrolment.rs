//! A node becomes one of its fabric and stays one: the programs as they are run, with certificates that live for seconds.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use selvedge_agent::membership::{self, Membership};
use selvedge_trust::token::Token;
use tempfile::TempDir;

/// How long a certificate holds here, and how long anything that should happen may take.
const LIFETIME: &str = "6s";
const PATIENCE: Duration = Duration::from_secs(30);

/// A program beside this test.
fn built(program: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join(program);
    assert!(path.exists(), "{} is not built; `make test` does that first", path.display());
    path
}

/// A controller with its etcd, which logs all that it can.
struct Controller {
    folder: TempDir,
    child: Child,
    url: String,
}

impl Controller {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, third, ..] = RandomState::new().build_hasher().finish().to_ne_bytes();
        let address = Ipv4Addr::new(127, first, second, third.clamp(1, 254));
        let data = folder.path().join("data");
        let made = Command::new(built("selvedge-controller"))
            .args(["init", "--san", &address.to_string(), "--data-dir"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let log = File::create(folder.path().join("controller.log")).unwrap();
        let child = Command::new(built("selvedge-controller"))
            .args([
                "--listen",
                &format!("{address}:7471"),
                "--embedded-etcd-listen",
                &format!("{address}:2379"),
            ])
            .args(["--certificate-lifetime", LIFETIME, "--data-dir"])
            .arg(&data)
            .env("RUST_LOG", "trace")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let controller = Self { folder, child, url: format!("https://{address}:7471") };
        let end = Instant::now() + PATIENCE;
        while !controller.selvedge(&["version"]).status.success() {
            assert!(Instant::now() < end, "{}", controller.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        controller
    }

    /// The command line, as the administrator.
    fn selvedge(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(built("selvedge"));
        command.env("SELVEDGE_DATA_DIR", self.folder.path().join("data"));
        command.env("SELVEDGE_CONFIG", self.folder.path().join("nobody"));
        command.args(["--server", &self.url]).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("controller.log")).unwrap()).into_owned()
    }

    fn stop(&mut self) {
        let _asked = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let end = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.stop();
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Every line of every private key below `folder`.
fn secrets(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(secrets(&path));
        } else if let Ok(text) = fs::read_to_string(&path) {
            let keys = text.split("-----BEGIN PRIVATE KEY-----").skip(1);
            let bodies = keys.filter_map(|key| key.split("-----END").next());
            found.extend(bodies.flat_map(str::lines).filter(|line| line.len() > 20).map(str::to_owned));
        }
    }
    found
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn a_node_enrols_with_a_token_renews_itself_and_is_let_in_no_more_once_revoked() {
    let mut controller = Controller::start();
    let state = controller.folder.path().join("state");
    let token = controller.selvedge(&["node", "enroll", "host1"]);
    assert!(token.status.success(), "{}", said(&token));
    let file = controller.folder.path().join("host1.token");
    fs::write(&file, &token.stdout).unwrap();
    let enroll = |more: &[&str]| {
        let mut command = Command::new(built("selvedge-agent"));
        command.args(["enroll", "--token-file"]).arg(&file).arg("--state-dir").arg(&state).args(more);
        command.output().unwrap()
    };
    // The token is for this node and no other.
    let other = enroll(&["--node", "host2"]);
    assert!(
        !other.status.success() && said(&other).contains("is for node host1, and this is host2"),
        "{}",
        said(&other)
    );
    let enrolled = enroll(&["--node", "host1"]);
    assert!(enrolled.status.success(), "{}", said(&enrolled));
    let again = enroll(&[]);
    assert!(!again.status.success() && said(&again).contains("it was used"), "{}", said(&again));

    let node = "host1".parse().unwrap();
    let first = Membership::load(&state, &node).unwrap();
    let began = first.identity().certificate().end;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut credentials, renewal) = membership::keep(first);
        tokio::spawn(renewal);
        for time in 1..=2 {
            let renewed = tokio::time::timeout(PATIENCE, credentials.renewed()).await;
            assert!(renewed.is_ok(), "renewal {time}");
            let _shown = credentials.tls();
        }
    });
    // Dropped with its renewal: what lies on disk is what counts after a restart.
    drop(runtime);
    let kept = Membership::load(&state, &node).unwrap();
    assert!(kept.identity().certificate().end > began + Duration::from_secs(3));
    assert!(kept.identity().certificate().end > SystemTime::now());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = membership::folder(&state, &node);
    assert_eq!((mode(&folder), mode(&folder.join("identity.pem"))), (0o700, 0o600));

    let listed = controller.selvedge(&["node", "list", "-o", "json"]);
    assert!(said(&listed).contains(r#""state": "enrolled""#), "{}", said(&listed));
    let revoked = controller.selvedge(&["node", "revoke", "host1"]);
    assert!(revoked.status.success(), "{}", said(&revoked));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut credentials, renewal) = membership::keep(kept);
        tokio::spawn(renewal);
        let renewed = tokio::time::timeout(Duration::from_secs(8), credentials.renewed()).await;
        assert!(renewed.is_err(), "a revoked node was given another certificate");
    });

    controller.stop();
    let log = controller.log();
    assert!(log.contains("TRACE") && log.contains("signed a certificate"), "everything was logged");
    let mut all = secrets(controller.folder.path());
    all.extend(forms(&token));
    assert_silent(&log, &all);
}

/// A running agent that logs all that it can, with a bpffs of its own.
struct Agent {
    child: Child,
    bpffs: PathBuf,
}

impl Agent {
    fn run(folder: &Path, state: &Path) -> Self {
        let (bpffs, log) = (folder.join("bpf"), File::create(folder.join("agent.log")).unwrap());
        fs::create_dir(&bpffs).unwrap();
        let child = Command::new(built("selvedge-agent"))
            .args(["run", "--node", "host1", "--state-dir"])
            .arg(state)
            .arg("--bpffs")
            .arg(&bpffs)
            .env("RUST_LOG", "trace")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, bpffs }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
        let _unmounted = nix::mount::umount(&self.bpffs);
    }
}

#[test]
fn an_agent_that_logs_everything_logs_no_secret() {
    let controller = Controller::start();
    let folder = controller.folder.path();
    let state = folder.join("state");
    let token = controller.selvedge(&["node", "enroll", "host1"]);
    assert!(token.status.success(), "{}", said(&token));
    let file = folder.join("host1.token");
    fs::write(&file, &token.stdout).unwrap();
    let mut enroll = Command::new(built("selvedge-agent"));
    enroll.args(["enroll", "--node", "host1", "--token-file"]).arg(&file).arg("--state-dir").arg(&state);
    let enrolled = enroll.env("RUST_LOG", "trace").output().unwrap();
    assert!(enrolled.status.success(), "{}", said(&enrolled));

    // Each renewal makes a key and forgets the one before.
    let agent = Agent::run(folder, &state);
    let identity = membership::folder(&state, &"host1".parse().unwrap());
    let (mut keys, end) = (BTreeSet::new(), Instant::now() + PATIENCE);
    let log = || String::from_utf8_lossy(&fs::read(folder.join("agent.log")).unwrap()).into_owned();
    while keys.len() < 9 {
        assert!(Instant::now() < end, "{} lines of keys\n{}", keys.len(), log());
        keys.extend(secrets(&identity));
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(agent);
    let log = log() + &said(&enrolled);
    assert!(log.contains("TRACE") && log.matches("renewed the node's certificate").count() >= 2, "{log}");
    let all: Vec<String> = keys.into_iter().chain(forms(&token)).collect();
    assert_silent(&log, &all);
}

/// What a token, as a command printed it, could be seen as.
fn forms(token: &Output) -> [String; 4] {
    let line = String::from_utf8(token.stdout.clone()).unwrap();
    let secret = line.parse::<Token>().unwrap().secret;
    let bytes = secret.to_bytes();
    let digits = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [line.trim().to_owned(), secret.into(), digits, format!("{bytes:?}")]
}

fn assert_silent(log: &str, secrets: &[String]) {
    assert!(secrets.len() > 8, "{} secrets", secrets.len());
    for secret in secrets {
        assert!(!log.contains(secret.as_str()), "a secret is in the log");
    }
}

#[test]
fn an_operator_logs_in_with_a_token_and_does_what_the_role_allows() {
    let controller = Controller::start();
    let invited = controller.selvedge(&["operator", "invite", "alice", "--role", "viewer"]);
    assert!(invited.status.success(), "{}", said(&invited));
    let file = controller.folder.path().join("alice.token");
    fs::write(&file, &invited.stdout).unwrap();
    let config = controller.folder.path().join("alice");
    // No server is named: it is in the token, and afterwards beside the identity.
    let alice = |arguments: &[&str]| {
        let mut command = Command::new(built("selvedge"));
        command.env("SELVEDGE_CONFIG", &config).env_remove("SELVEDGE_SERVER").env_remove("SELVEDGE_DATA_DIR");
        command.args(arguments).stdin(Stdio::null()).output().unwrap()
    };
    let login = alice(&["login", "--token-file", file.to_str().unwrap()]);
    assert!(login.status.success(), "{}", said(&login));
    assert!(alice(&["version"]).status.success());
    let refused = alice(&["node", "enroll", "host1"]);
    assert!(said(&refused).contains("operator alice (viewer) may not call"), "{}", said(&refused));
    assert!(controller.selvedge(&["operator", "revoke", "alice"]).status.success());
    let out = alice(&["version"]);
    assert!(!out.status.success() && said(&out).contains("revoked"), "{}", said(&out));
}
