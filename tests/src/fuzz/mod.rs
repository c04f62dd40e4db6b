//! What fuzzers run: functions that take any bytes and panic where a promise does not hold.
//!
//! One list, [`TARGETS`], for both runners: `cargo test` replays every seed and corpus file and tries damaged ones
//! (`tests/tests/fuzz.rs`); `make fuzz TARGET=… SECONDS=…` lets libFuzzer search by coverage (`tests/fuzz`).
#![expect(clippy::unwrap_used, reason = "a panic is how a target says what it found")]

pub mod damage;
mod documents;
mod packets;
mod plan;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};

/// One thing that reads bytes from outside.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder under `tests/corpora`.
    pub name: &'static str,
    /// What it promises.
    pub promise: &'static str,
    /// Runs it on one input; panics where a promise does not hold.
    pub run: fn(&[u8]) -> Outcome,
    /// Inputs made from the project's own cases, so that they follow it.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// How far an input got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was read.
    Accepted,
    /// It was refused.
    Refused,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "packets",
        promise: "every packet ends in one reason, counted once, and changes nothing it may not",
        run: packets::run,
        seeds: packets::seeds,
    },
    Target {
        name: "documents",
        promise: "every finding is inside its file; what loads is read back, compiled and travels unchanged",
        run: documents::run,
        seeds: documents::seeds,
    },
    Target {
        name: "plan",
        promise: "a plan that is accepted is encoded as it was, and can be lowered to tables",
        run: plan::run,
        seeds: plan::seeds,
    },
    Target {
        name: "manifest",
        promise: "decoding undoes encoding",
        run: plan::run_manifest,
        seeds: plan::manifest_seeds,
    },
    Target {
        name: "target",
        promise: "decoding undoes encoding",
        run: wire::target,
        seeds: wire::target_seeds,
    },
    Target {
        name: "report",
        promise: "decoding undoes encoding",
        run: wire::report,
        seeds: wire::report_seeds,
    },
    Target {
        name: "generation",
        promise: "decoding undoes encoding, and its chunks make files and targets",
        run: wire::generation,
        seeds: wire::generation_seeds,
    },
    Target {
        name: "identity",
        promise: "decoding undoes encoding",
        run: wire::identity,
        seeds: wire::identity_seeds,
    },
    Target { name: "flow", promise: "decoding undoes encoding", run: wire::flow, seeds: wire::flow_seeds },
    Target { name: "keys", promise: "parsing undoes formatting", run: wire::keys, seeds: wire::key_seeds },
];

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.iter().find(|target| target.name == name).copied()
    }

    /// Where its inputs lie that a fuzzer found, crashes among them.
    pub fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora").join(self.name)
    }

    /// The files of its folder by name, sorted.
    ///
    /// # Panics
    /// If there is no such folder, or it can't be read.
    pub fn corpus(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.folder()).expect("a target has a folder");
        let paths = entries.map(|entry| entry.expect("a folder can be read").path());
        let mut files: Vec<_> = paths
            .map(|path| (path.display().to_string(), fs::read(&path).expect("a file can be read")))
            .collect();
        files.sort();
        files
    }
}

/// Bytes of an input, in turn; zeroes behind its end.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn next(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.next()) % from.len()]
    }

    /// At most `count` bytes.
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A run of bytes behind its length (16 bits, high byte first), or what there is of it.
    fn run(&mut self) -> &'a [u8] {
        let length = u16::from_be_bytes([self.next(), self.next()]);
        self.take(length.into())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `bytes` as [`Bytes::run`] reads them.
fn run_of(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a run is short");
    [&length.to_be_bytes()[..], bytes].concat()
}
