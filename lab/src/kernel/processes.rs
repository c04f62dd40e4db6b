//! Processes in the namespaces of a lab.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::names::{LabName, NamespaceName};

/// The environment variable by which a process started through the lab, and its children, are known.
pub const MARK: &str = "SELVEDGE_LAB_PROCESS";

/// Who started a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `selvedge-lab exec` of this lab, or a child of what it started.
    Lab,
    /// Someone else.
    Elsewhere,
}

/// A process in a namespace of a lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its command line.
    pub command: String,
    /// Where it is.
    pub namespace: NamespaceName,
    /// Who started it.
    pub origin: Origin,
}

/// All processes in `namespaces` (by inode), but this one.
pub fn inside(lab: &LabName, namespaces: &BTreeMap<u64, NamespaceName>) -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let own = std::process::id() as i32;
    pids.filter(|pid| *pid != own).filter_map(|pid| look(lab, namespaces, pid)).collect()
}

/// `None`: it is elsewhere, or has ended while we looked.
fn look(lab: &LabName, namespaces: &BTreeMap<u64, NamespaceName>, pid: i32) -> Option<Process> {
    let directory = Path::new("/proc").join(pid.to_string());
    let namespace = namespaces.get(&fs::metadata(directory.join("ns/net")).ok()?.ino())?.clone();
    let words = |file| fs::read(directory.join(file)).unwrap_or_default();
    let command = String::from_utf8_lossy(&words("cmdline")).trim_end_matches('\0').replace('\0', " ");
    let mark = format!("{MARK}={lab}");
    let marked = words("environ").split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes());
    let origin = if marked { Origin::Lab } else { Origin::Elsewhere };
    Some(Process { pid, command, namespace, origin })
}

/// Ends processes: asks, waits until `patience` is over, then kills. Returns when they are gone.
pub fn end(processes: &[Process], patience: Duration) {
    let deadline = Instant::now() + patience;
    let watched: Vec<_> = processes.iter().filter_map(|process| Watched::open(process.pid)).collect();
    watched.iter().for_each(|process| process.signal(Signal::TERM));
    for process in &watched {
        if !process.ended_by(deadline) {
            process.signal(Signal::KILL);
            process.ended_by(Instant::now() + patience);
        }
    }
}

/// A process that can't be mistaken for a later one with its number.
struct Watched(OwnedFd);

impl Watched {
    /// `None`: it has ended already.
    fn open(pid: i32) -> Option<Self> {
        pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok().map(Self)
    }

    fn signal(&self, signal: Signal) {
        // ESRCH: it has ended, which is what is wanted. There is no other error for root.
        let _ = pidfd_send_signal(&self.0, signal);
    }

    fn ended_by(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut files = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut files, timeout), Ok(ready) if ready > 0)
    }
}
