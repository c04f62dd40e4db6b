//! The fabric under test: a lab, a controller with its etcd, and an agent on every node, all from the binaries that were built.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use selvedge_lab::names::LabName;
use selvedge_lab::registry::{self, Record};
use selvedge_proto::MAX_MESSAGE_BYTES;
use selvedge_proto::wire::fabric_client::FabricClient;
use selvedge_proto::wire::{self, ApplyOutcome, NodeState};
use tonic::transport::{Channel, Endpoint};

use super::sets::{Set, demo};

/// The nodes of the demo that have an agent.
pub(crate) const AGENTS: [&str; 4] = ["host1", "host2", "dpu1", "leaf2"];
/// Where the lab's controller listens.
const API: &str = "http://172.31.0.1:7471";
/// No single step takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a process may take to end when asked.
const ENDING: Duration = Duration::from_secs(5);

/// A fabric that is gone when this is, however that comes.
pub(crate) struct Fabric {
    name: String,
    logs: tempfile::TempDir,
    controller: Option<Child>,
    agents: BTreeMap<&'static str, Child>,
}

impl Fabric {
    /// Builds the lab and starts everything.
    pub(crate) fn up(what: &str) -> Self {
        for program in ["selvedge-lab", "selvedge-controller", "selvedge-agent"] {
            let path = built(program);
            assert!(
                path.exists(),
                "{} is not built; `make test` does that first, or: cargo build --workspace{}",
                path.display(),
                if cfg!(debug_assertions) { "" } else { " --release" },
            );
        }
        let name = format!("{what}{}", std::process::id());
        let logs = tempfile::tempdir().unwrap();
        let mut fabric = Self { name, logs, controller: None, agents: BTreeMap::new() };
        let up =
            Command::new(built("selvedge-lab")).arg("up").arg(demo()).args(["--name", &fabric.name]).output();
        let up = up.unwrap();
        assert!(up.status.success(), "selvedge-lab up: {}", String::from_utf8_lossy(&up.stderr));
        fabric.controller = Some(fabric.exec("controller", "selvedge-controller", &[]));
        for node in AGENTS {
            fabric.start_agent(node);
        }
        fabric
    }

    /// The lab's places.
    pub(crate) fn record(&self) -> Record {
        let name: LabName = self.name.parse().unwrap();
        registry::find(&name).unwrap().unwrap()
    }

    /// Starts the agent of a node that has none.
    pub(crate) fn start_agent(&mut self, node: &'static str) {
        let agent = self.exec(node, "selvedge-agent", &["run"]);
        assert!(self.agents.insert(node, agent).is_none(), "{node} has an agent");
    }

    /// Kills the agent of a node without a word, and waits until it is dead.
    pub(crate) fn kill_agent(&mut self, node: &'static str) {
        let mut agent = self.agents.remove(node).unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// Runs a program at a place; what it says is appended to its log.
    fn exec(&self, place: &str, program: &str, arguments: &[&str]) -> Child {
        let log = self.logs.path().join(format!("{program}-{place}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        Command::new(built("selvedge-lab"))
            .args(["exec", "--insecure", "--lab", &self.name, place, "--"])
            .arg(built(program))
            .args(arguments)
            // Often, so that what agents know of their tables is held to the kernel's while they change.
            .env("SELVEDGE_VERIFY_EVERY", "1s")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// What agents said of tables that are not as they left them.
    pub(crate) fn surprises(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.logs.path()).unwrap().map(|entry| entry.unwrap().path());
        let texts = files.map(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned());
        let lines: Vec<String> =
            texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.into_iter().filter(|line| line.contains("somebody else changed the tables")).collect()
    }

    fn print_logs(&self) {
        for entry in std::fs::read_dir(self.logs.path()).into_iter().flatten().filter_map(Result::ok) {
            let text = std::fs::read(entry.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            let last = &lines[lines.len().saturating_sub(30)..];
            eprintln!("--- {}\n{}", entry.file_name().to_string_lossy(), last.join("\n"));
        }
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        for agent in self.agents.values_mut() {
            let _ended = agent.kill().and_then(|()| agent.wait());
        }
        if let Some(controller) = &mut self.controller {
            end(controller);
        }
        let down = Command::new(built("selvedge-lab")).args(["down", &self.name]).output();
        if !down.as_ref().is_ok_and(|down| down.status.success()) {
            eprintln!("selvedge-lab down {}: {down:?}", self.name);
        }
    }
}

/// Asks first, so that the controller can end its etcd; insists later.
fn end(child: &mut Child) {
    let _asked = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
    let deadline = Instant::now() + ENDING;
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ended = child.kill().and_then(|()| child.wait());
}

/// A program beside this test: `target/<profile>/deps/<test>` is run, `target/<profile>/<program>` is wanted.
fn built(program: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join(program)
}

/// The controller's API; to be used inside its namespace.
pub(crate) struct Api(FabricClient<Channel>);

impl Api {
    /// Connects, as soon as the controller answers.
    pub(crate) async fn connect() -> Self {
        let deadline = Instant::now() + PATIENCE;
        let endpoint = Endpoint::from_static(API).connect_timeout(Duration::from_secs(1)).timeout(PATIENCE);
        loop {
            match endpoint.connect().await {
                Ok(channel) => {
                    let client = FabricClient::new(channel);
                    return Self(client.max_decoding_message_size(MAX_MESSAGE_BYTES));
                }
                Err(error) => assert!(Instant::now() < deadline, "the controller does not answer: {error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Applies a set; the generation that it became.
    pub(crate) async fn apply(&mut self, set: &Set) -> u64 {
        let file = |file: &selvedge_topology::documents::SourceFile| wire::SourceFile {
            name: file.name.clone(),
            text: file.text.clone(),
        };
        let request = wire::ApplyRequest {
            files: set.files.iter().map(file).collect(),
            dry_run: false,
            allow_unenforced: false,
            signed: None,
        };
        let answer = self.0.apply(request).await.unwrap().into_inner();
        assert_eq!(answer.outcome(), ApplyOutcome::Applied, "{:#?}", answer.diagnostics);
        answer.generation
    }

    /// Waits until a generation is in force on every node.
    pub(crate) async fn in_force(&mut self, generation: u64) {
        let wait_ms = PATIENCE.as_millis() as u64 - 1000;
        let status = self.0.status(wire::StatusRequest { generation, wait_ms }).await.unwrap().into_inner();
        let behind: Vec<_> = status.nodes.iter().filter(|node| node.state() != NodeState::InForce).collect();
        assert!(behind.is_empty() && status.generation == generation, "not in force: {behind:#?}");
        assert_eq!(status.nodes.len(), AGENTS.len());
    }
}
