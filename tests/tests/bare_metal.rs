//! A machine that is a workload itself, live: a lab, a controller, agents, and real packets, of which every one fares as the
//! oracle says. Needs root and the built programs.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const AGENTS: [&str; 2] = ["bare", "host"];
/// How long the controller may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_workload_that_is_the_machine_sends_and_receives_what_policy_says_with_or_without_an_agent() {
    let mut fabric = Fabric::up();
    fabric.apply();
    fabric.probe();

    // The node may check its workload's health, and gets the answers; it may nothing else.
    assert!(fabric.reaches("bare", "near", 8086));
    assert!(!fabric.reaches("bare", "near", 8087));
    // What is denied is stopped where it is sent, and told.
    assert!(!fabric.reaches("batch", "far", 80));
    let told = fabric.eventually_told("batch");
    assert!(told.contains("policy-deny") || told.contains("DENIED"), "{told}");

    fabric.kill_agent("bare");
    fabric.probe();
    assert!(fabric.reaches("bare", "near", 8086) && !fabric.reaches("bare", "near", 8087));
    fabric.start_agent("bare");
    fabric.apply();
    fabric.probe();
}

/// A lab with everything running in it, gone when this is.
struct Fabric {
    name: String,
    logs: tempfile::TempDir,
    controller: Option<Child>,
    agents: Vec<(&'static str, Child)>,
}

/// What a command came to.
struct Done {
    good: bool,
    out: String,
}

impl Fabric {
    fn up() -> Self {
        let name = format!("metal{}", std::process::id());
        let mut fabric =
            Self { name, logs: tempfile::tempdir().unwrap(), controller: None, agents: Vec::new() };
        let up = fabric.lab(&["up", documents().to_str().unwrap(), "--name", &fabric.name]);
        assert!(up.good, "{}", up.out);
        fabric.controller = Some(fabric.spawn("controller", "selvedge-controller", &["--insecure-listen"]));
        for node in AGENTS {
            fabric.start_agent(node);
        }
        fabric
    }

    fn start_agent(&mut self, node: &'static str) {
        let agent = self.spawn(node, "selvedge-agent", &["run"]);
        self.agents.push((node, agent));
    }

    fn kill_agent(&mut self, node: &str) {
        let index = self.agents.iter().position(|(name, _)| *name == node).unwrap();
        let (_, mut agent) = self.agents.remove(index);
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// Puts the documents in force everywhere, as soon as the controller answers.
    fn apply(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let applied = self.cli(&["apply", "-f", documents().to_str().unwrap(), "--wait"]);
            if applied.good {
                return;
            }
            assert!(Instant::now() < end, "{}", applied.out);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Every flow between workloads fares as the oracle says.
    fn probe(&self) {
        let probed = self.lab(&["probe", "--lab", &self.name]);
        assert!(probed.good, "{}", probed.out);
        // Three workloads, six ordered pairs, two families, and what the rules name.
        let last = probed.out.lines().last().unwrap_or_default();
        let (right, all) = last.strip_prefix("probe: ").and_then(|rest| rest.split_once('/')).unwrap();
        let all: u32 = all.split(' ').next().unwrap().parse().unwrap();
        assert!(right.parse() == Ok(all) && all >= 72, "{last}");
    }

    fn reaches(&self, from: &str, to: &str, port: u16) -> bool {
        let port = format!("{port}/tcp");
        let route =
            ["traffic", "--lab", &self.name, "--from", from, "--to", to, "--port", &port, "--count", "2"];
        self.lab(&route).good
    }

    /// The denials that the controller was told of, as soon as `source` is among them.
    fn eventually_told(&self, source: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let told = self.cli(&["observe", "--verdict", "DENIED", "--last", "200"]).out;
            let of: Vec<&str> = told.lines().filter(|line| line.contains(source)).collect();
            if !of.is_empty() {
                return of.join("\n");
            }
            assert!(Instant::now() < end, "nothing of {source}: {told}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn cli(&self, arguments: &[&str]) -> Done {
        let selvedge = built("selvedge");
        let program = ["exec", "--lab", &self.name, "controller", "--", selvedge.to_str().unwrap()];
        self.lab(&[&program[..], arguments].concat())
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
        command.args(["exec", "--lab", &self.name, place, "--"]).arg(built(program)).args(arguments);
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

fn documents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fabrics/metal")
}

/// A program beside this test: `target/<profile>/deps/<test>` is run, `target/<profile>/<program>` is wanted.
fn built(program: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join(program);
    assert!(path.exists(), "{} is not built; `make test` does that first", path.display());
    path
}
