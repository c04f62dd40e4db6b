//! The controller and the agent, as processes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::tally::{Finding, Instead};

/// The node, as the documents call it.
const NODE: &str = "host1";
const ETCD: &str = "http://127.0.0.1:2379";
const API: &str = "http://127.0.0.1:7471";
/// How long the controller may take to answer.
const START: Duration = Duration::from_secs(120);

/// What the status says of a port.
#[derive(Debug)]
pub(crate) struct Port {
    /// What becomes of packets.
    pub(crate) state: String,
    /// The mode of the program in the kernel, and why that.
    pub(crate) mode: String,
    pub(crate) why: String,
    /// What its NIC does, by which kind of program, why that is not complete, and why it does not run.
    pub(crate) nic: String,
    pub(crate) kind: String,
    pub(crate) incomplete: String,
    pub(crate) why_not: String,
}

/// A fabric of one node. Its processes end when this does.
pub(crate) struct Fabric {
    folder: TempDir,
    controller: Child,
    agent: Option<Child>,
}

impl Fabric {
    /// Starts a controller with its etcd, and waits until it answers.
    pub(crate) fn start() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("selvedge-controller");
        command.arg("--insecure").arg("--data-dir").arg(folder.path().join("controller"));
        let controller = logged(&mut command, folder.path(), "controller")?;
        let fabric = Self { folder, controller, agent: None };
        let deadline = Instant::now() + START;
        while !fabric.selvedge(&["version"])?.0 {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("no controller answers: {}", fabric.log("controller"))));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(fabric)
    }

    /// Starts the agent.
    pub(crate) fn start_agent(&mut self) -> io::Result<()> {
        let mut command = Command::new("selvedge-agent");
        command.args([
            "run",
            "--insecure",
            "--node",
            NODE,
            "--etcd",
            ETCD,
            "--controller",
            API,
            "--state-dir",
        ]);
        command.arg(self.folder.path().join("agent"));
        self.agent = Some(logged(&mut command, self.folder.path(), "agent")?);
        Ok(())
    }

    /// Kills the agent without a word.
    pub(crate) fn kill_agent(&mut self) -> io::Result<()> {
        let Some(mut agent) = self.agent.take() else { return Ok(()) };
        agent.kill()?;
        agent.wait().map(drop)
    }

    /// Whether the agent still runs.
    pub(crate) fn agent_lives(&mut self) -> Finding {
        match self.agent.as_mut().map(Child::try_wait) {
            Some(Ok(None)) => Ok(()),
            other => Err(Instead::found(other)),
        }
    }

    /// Applies documents, and waits until they are in force.
    pub(crate) fn apply(&self, documents: &Path) -> Finding {
        let path = documents.display().to_string();
        let (done, said) = self.selvedge(&["apply", "-f", &path, "--wait", "--timeout", "3m"])?;
        if done { Ok(()) } else { Err(Instead::Found(format!("{said}\n{}", self.log("agent")))) }
    }

    /// What `selvedge status` says of a port of the node.
    pub(crate) fn port(&self, port: &str) -> io::Result<Port> {
        let (_, said) = self.selvedge(&["status", "-o", "json"])?;
        let status: Value = serde_json::from_str(&said)?;
        let ports = status["nodes"][0]["ports"].as_array().cloned().unwrap_or_default();
        let found = ports.into_iter().find(|found| found["name"] == port).unwrap_or_default();
        let word = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        let nic = &found["nic"];
        Ok(Port {
            state: word(&found["state"]),
            mode: word(&found["grantedMode"]),
            why: word(&found["reason"]),
            nic: word(&nic["state"]),
            kind: word(&nic["program"]["kind"]),
            incomplete: word(&nic["program"]["incomplete"]),
            why_not: word(&nic["reason"]),
        })
    }

    /// What the ledger says of a port.
    fn of_ledger(&self, port: &str) -> io::Result<Vec<Value>> {
        let (_, said) = self.selvedge(&["placement", "-o", "json"])?;
        let entries: Value = serde_json::from_str(&said)?;
        let entries = entries.as_array().cloned().unwrap_or_default();
        let points = entries.iter().flat_map(|entry| entry["points"].as_array().cloned().unwrap_or_default());
        Ok(points.filter(|point| point["port"] == port).collect())
    }

    /// What the ledger says that the program in a port's card takes.
    pub(crate) fn cost(&self, port: &str) -> io::Result<Value> {
        let points = self.of_ledger(port)?;
        let cost = points.into_iter().map(|mut point| point["device"].take()).find(|cost| !cost.is_null());
        Ok(cost.unwrap_or_default())
    }

    /// The hooks that the ledger names at a port, and the reasons that it gives, all of them.
    pub(crate) fn points(&self, port: &str) -> io::Result<(Vec<String>, String)> {
        let here = self.of_ledger(port)?;
        let words =
            |key: &str| here.iter().filter_map(|point| point[key].as_str().map(str::to_owned)).collect();
        let reasons: Vec<String> = words("reason");
        Ok((words("hook"), reasons.join("\n")))
    }

    /// The drops that the description of the node has of its cards, over all rules.
    pub(crate) fn dropped_in_cards(&self) -> io::Result<u64> {
        let (_, said) = self.selvedge(&["describe", "node", NODE])?;
        let after = said.split_once("in NICs (xdp-offload), by rule:").map_or("", |(_, after)| after);
        Ok(after.lines().filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum())
    }

    /// Whether the ledger says that everything managed is enforced at every point.
    pub(crate) fn ledger(&self) -> Finding {
        let (all, said) = self.selvedge(&["placement"])?;
        if all { Ok(()) } else { Err(Instead::Found(said)) }
    }

    /// How many lines of what a process said have all these words.
    pub(crate) fn said(&self, process: &str, words: &[&str]) -> usize {
        self.text(process).lines().filter(|line| words.iter().all(|words| line.contains(words))).count()
    }

    /// The last lines that a process said.
    pub(crate) fn log(&self, process: &str) -> String {
        let text = self.text(process);
        let lines: Vec<&str> = text.lines().collect();
        format!("{process}:\n{}", lines[lines.len().saturating_sub(12)..].join("\n"))
    }

    fn text(&self, process: &str) -> String {
        std::fs::read_to_string(log_file(self.folder.path(), process)).unwrap_or_default()
    }

    /// Runs the CLI: whether it said yes, and what it said.
    fn selvedge(&self, arguments: &[&str]) -> io::Result<(bool, String)> {
        let done = Command::new("selvedge").args(["--server", API]).args(arguments).output()?;
        let said = if done.stdout.is_empty() { done.stderr } else { done.stdout };
        Ok((done.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        let _ended = self.kill_agent();
        let _ended = self.controller.kill().and_then(|()| self.controller.wait());
    }
}

fn log_file(folder: &Path, process: &str) -> PathBuf {
    folder.join(format!("{process}.log"))
}

fn logged(command: &mut Command, folder: &Path, process: &str) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(log_file(folder, process))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()
}
