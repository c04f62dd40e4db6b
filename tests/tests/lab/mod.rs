//! The fabric `metal` with everything running in it: a lab, a controller with its etcd, an agent on each node.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use selvedge_lab::registry::{self, Record};

const AGENTS: [&str; 2] = ["bare", "host"];
/// How long the controller may take to answer, and anything that should happen to be told.
const PATIENCE: Duration = Duration::from_secs(30);

/// A lab with everything running in it, gone when this is.
pub(crate) struct Fabric {
    name: String,
    logs: tempfile::TempDir,
    controller: Option<Child>,
    agents: Vec<(&'static str, Child)>,
}

/// What a command came to.
pub(crate) struct Done {
    pub(crate) good: bool,
    pub(crate) out: String,
}

impl Fabric {
    /// Builds the lab and starts everything; nothing is applied yet.
    pub(crate) fn up(what: &str) -> Self {
        let name = format!("{what}{}", std::process::id());
        let mut fabric =
            Self { name, logs: tempfile::tempdir().unwrap(), controller: None, agents: Vec::new() };
        let up = fabric.lab(&["up", documents("metal").to_str().unwrap(), "--name", &fabric.name]);
        assert!(up.good, "{}", up.out);
        fabric.controller = Some(fabric.spawn("controller", "selvedge-controller", &[]));
        for node in AGENTS {
            fabric.start_agent(node);
        }
        fabric
    }

    /// The lab's places.
    pub(crate) fn record(&self) -> Record {
        registry::find(&self.name.parse().unwrap()).unwrap().unwrap()
    }

    pub(crate) fn start_agent(&mut self, node: &'static str) {
        let agent = self.spawn(node, "selvedge-agent", &["run"]);
        self.agents.push((node, agent));
    }

    pub(crate) fn kill_agent(&mut self, node: &str) {
        let index = self.agents.iter().position(|(name, _)| *name == node).unwrap();
        let (_, mut agent) = self.agents.remove(index);
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// Puts the fabric's documents and `more` of them in force everywhere, as soon as the controller answers.
    pub(crate) fn apply(&self, more: &[PathBuf]) {
        let end = Instant::now() + PATIENCE;
        let metal = documents("metal");
        let files = [&metal].into_iter().chain(more).flat_map(|path| ["-f", path.to_str().unwrap()]);
        let arguments: Vec<&str> = ["apply", "--wait"].into_iter().chain(files).collect();
        loop {
            let applied = self.cli(&arguments);
            if applied.good {
                return;
            }
            assert!(Instant::now() < end, "{}", applied.out);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What `look` finds, as soon as it finds something; `what` says what it should.
    pub(crate) fn eventually<T>(&self, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            match look() {
                Ok(found) => return found,
                Err(seen) => assert!(Instant::now() < end, "not {what}: {seen}"),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// `selvedge …`, where the controller is.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Done {
        let selvedge = built("selvedge");
        let program =
            ["exec", "--insecure", "--lab", &self.name, "controller", "--", selvedge.to_str().unwrap()];
        self.lab(&[&program[..], arguments].concat())
    }

    /// `selvedge-lab …`, about this lab.
    pub(crate) fn here(&self, command: &str, arguments: &[&str]) -> Done {
        self.lab(&[&[command, "--lab", &self.name], arguments].concat())
    }

    fn lab(&self, arguments: &[&str]) -> Done {
        let output =
            Command::new(built("selvedge-lab")).args(arguments).stdin(Stdio::null()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        Done { good: output.status.success(), out: String::from_utf8_lossy(&text).into_owned() }
    }

    fn spawn(&self, place: &str, program: &str, arguments: &[&str]) -> Child {
        let log = self.logs.path().join(format!("{program}-{place}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(built("selvedge-lab"));
        command
            .args(["exec", "--insecure", "--lab", &self.name, place, "--"])
            .arg(built(program))
            .args(arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for entry in std::fs::read_dir(self.logs.path()).into_iter().flatten().flatten() {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                eprintln!("--- {}\n{text}", entry.file_name().to_string_lossy());
            }
        }
        for child in self.agents.iter_mut().map(|(_, agent)| agent).chain(&mut self.controller) {
            let _ended = child.kill().and_then(|()| child.wait());
        }
        // Ends what the controller started, too.
        self.lab(&["down", &self.name]);
    }
}

/// Documents that tests bring.
pub(crate) fn documents(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fabrics").join(path)
}

/// A program beside this test: `target/<profile>/deps/<test>` is run, `target/<profile>/<program>` is wanted.
fn built(program: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join(program);
    assert!(path.exists(), "{} is not built; `make test` does that first", path.display());
    path
}
