//! Labs for tests: each has a name of its own and is gone when the test is, however it ends.

#![allow(dead_code, unreachable_pub, reason = "every test binary uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A lab's name, and the promise to take it down.
pub struct Lab {
    pub name: String,
}

/// What a command came to.
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Lab {
    /// A name that no other test, and no other run of it, uses.
    pub fn new(what: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { name: format!("test{}-{count}-{what}", std::process::id()) }
    }

    /// A lab of one of the tests' own fabrics.
    pub fn up(what: &str, fabric: &str) -> Self {
        let lab = Self::new(what);
        let done = lab.try_up(&fabric_file(fabric));
        assert_eq!(done.code, Some(0), "up: {}{}", done.out, done.err);
        lab
    }

    pub fn try_up(&self, documents: &Path) -> Done {
        lab(&["up", documents.to_str().unwrap(), "--name", &self.name])
    }

    pub fn down(&self) -> Done {
        lab(&["down", &self.name])
    }

    pub fn exec(&self, target: &str, command: &[&str]) -> Done {
        lab(&[&["exec", "--lab", &self.name, target, "--"], command].concat())
    }

    pub fn probe(&self, more: &[&str]) -> Done {
        lab(&[&["probe", "--lab", &self.name], more].concat())
    }

    /// Whether a message from one place to another comes back.
    pub fn reaches(&self, from: &str, to: &str, address: &str) -> bool {
        let route = ["--from", from, "--to", to, "--address", address, "--port", "4000/udp", "--count", "1"];
        lab(&[&["traffic", "--lab", &self.name], &route[..]].concat()).code == Some(0)
    }

    /// The names of its namespaces that there are.
    pub fn namespaces(&self) -> Vec<String> {
        let prefix = format!("{}-", self.name);
        let entries = std::fs::read_dir("/run/netns").into_iter().flatten().filter_map(Result::ok);
        entries
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|name| name.starts_with(&prefix))
            .collect()
    }

    pub fn directory(&self) -> PathBuf {
        Path::new("/run/selvedge-lab").join(&self.name)
    }

    pub fn namespace_file(&self, target: &str) -> PathBuf {
        Path::new("/run/netns").join(format!("{}-{target}", self.name))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.down();
    }
}

pub fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_selvedge-lab"))
}

/// Runs `selvedge-lab`.
pub fn lab(arguments: &[&str]) -> Done {
    run(program().args(arguments))
}

pub fn run(command: &mut Command) -> Done {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: status.code(), out: text(stdout), err: text(stderr) }
}

pub fn fabric_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fabrics").join(name)
}

pub fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fabrics/demo")
}

/// Waits until `true_now` is, at most 20 seconds.
pub fn eventually(what: &str, mut true_now: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !true_now() {
        assert!(Instant::now() < deadline, "not within 20 seconds: {what}");
        std::thread::yield_now();
    }
}
