//! The demo's fabric as a lab: namespaces and wires, and programs that run in them.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use selvedge_lab::names::LabName;
use selvedge_lab::registry::{self, Record};

use super::sets::demo;

/// How long a process may take to end when asked.
const ENDING: Duration = Duration::from_secs(5);

/// A lab, gone when this is, however that comes.
pub(crate) struct Lab {
    name: String,
    wire: Wire,
    logs: tempfile::TempDir,
}

/// How what runs in a lab speaks with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// With certificates.
    Encrypted,
    /// In the clear, and nobody is asked who they are.
    Insecure,
}

impl Wire {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Encrypted => &[],
            Self::Insecure => &["--insecure"],
        }
    }
}

impl Lab {
    /// Builds it.
    pub(crate) fn up(what: &str, wire: Wire) -> Self {
        for program in ["selvedge", "selvedge-lab", "selvedge-controller", "selvedge-agent"] {
            let path = built(program);
            assert!(
                path.exists(),
                "{} is not built; `make test` does that first, or: cargo build --workspace{}",
                path.display(),
                if cfg!(debug_assertions) { "" } else { " --release" },
            );
        }
        let (name, logs) = (format!("{what}{}", std::process::id()), tempfile::tempdir().unwrap());
        let lab = Self { name, wire, logs };
        let up =
            Command::new(built("selvedge-lab")).arg("up").arg(demo()).args(["--name", &lab.name]).output();
        let up = up.unwrap();
        assert!(up.status.success(), "selvedge-lab up: {}", String::from_utf8_lossy(&up.stderr));
        lab
    }

    /// Its places.
    pub(crate) fn record(&self) -> Record {
        let name: LabName = self.name.parse().unwrap();
        registry::find(&name).unwrap().unwrap()
    }

    /// A folder for what belongs to the lab.
    pub(crate) fn folder(&self) -> &Path {
        self.logs.path()
    }

    /// Runs a program at a place; what it says is appended to its log. A name is one of ours, a path any program's.
    pub(crate) fn exec(&self, place: &str, program: &str, arguments: &[&str]) -> Child {
        let name = Path::new(program).file_name().unwrap().to_string_lossy().into_owned();
        let log = self.logs.path().join(format!("{name}-{place}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        self.command(place, program, arguments)
            // Often, so that what agents know of their tables is held to the kernel's while they change.
            .env("SELVEDGE_VERIFY_EVERY", "1s")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Runs a program at a place to its end; what it says.
    pub(crate) fn ask(&self, place: &str, program: &str, arguments: &[&str], input: &str) -> String {
        let piped = self
            .command(place, program, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = piped.unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self, place: &str, program: &str, arguments: &[&str]) -> Command {
        let program = if program.contains('/') { PathBuf::from(program) } else { built(program) };
        let mut command = Command::new(built("selvedge-lab"));
        command.arg("exec").args(self.wire.options()).args(["--lab", &self.name, place, "--"]);
        command.arg(program).args(arguments);
        command
    }

    /// Lines of all logs that say something.
    pub(crate) fn lines_with(&self, words: &str) -> Vec<String> {
        let texts = self.logs().into_iter().map(|(_, text)| text);
        let lines: Vec<String> =
            texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.into_iter().filter(|line| line.contains(words)).collect()
    }

    fn logs(&self) -> Vec<(String, String)> {
        let files = fs::read_dir(self.logs.path()).into_iter().flatten().filter_map(Result::ok);
        let logs = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
        let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        logs.map(|file| (file.file_name().to_string_lossy().into_owned(), text(&file.path()))).collect()
    }

    fn print_logs(&self) {
        for (name, text) in self.logs() {
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("--- {name}\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        let down = Command::new(built("selvedge-lab")).args(["down", &self.name]).output();
        if !down.as_ref().is_ok_and(|down| down.status.success()) {
            eprintln!("selvedge-lab down {}: {down:?}", self.name);
        }
    }
}

/// Asks first, so that the controller can end its etcd; insists later.
pub(crate) fn end(child: &mut Child) {
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
pub(crate) fn built(program: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join(program)
}
