//! `selvedge-lab exec`.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use super::CommandError;
use super::arguments::Exec;
use crate::blueprint::CONTROLLER;
use crate::kernel::namespace::Namespace;
use crate::kernel::processes::MARK;
use crate::names::{LabName, Target};
use crate::registry::{self, Place, Record};

/// Where the controller's etcd listens.
const ETCD_PORT: u16 = 2379;
/// Where the controller's API listens.
const API_PORT: u16 = 7471;

/// Whether controller and agents speak TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Encrypted,
    Insecure,
}

/// Becomes the command; returns only if it can't.
pub(super) fn run(arguments: &Exec) -> Result<ExitCode, CommandError> {
    let record = super::lab(arguments.lab.as_ref())?;
    let place = place(&record, &arguments.target)?;
    let Some((program, rest)) = arguments.command.split_first() else { return Ok(ExitCode::from(2)) };
    Namespace::open(&place.namespace)?.enter()?;
    // The network namespace only: a mount namespace of its own, as `ip netns exec` makes, would hide the bpffs.
    let mut command = Command::new(program);
    command.args(rest).env(MARK, record.lab.as_str());
    let wire = if arguments.insecure { Wire::Insecure } else { Wire::Encrypted };
    command.envs(servers(&place.target, wire)).envs(folders(&record.lab, &place.target));
    let source = command.exec();
    Err(CommandError::Start { program: program.clone(), source })
}

/// Who `selvedge`, `selvedge-controller` and `selvedge-agent` talk to at a place of a lab, so that they need not be told.
pub(super) fn servers(target: &Target, wire: Wire) -> Vec<(&'static str, String)> {
    let etcd = SocketAddr::from((CONTROLLER, ETCD_PORT));
    let api = SocketAddr::from((CONTROLLER, API_PORT));
    let scheme = match wire {
        Wire::Encrypted => "https",
        Wire::Insecure => "http",
    };
    let mut servers = vec![("SELVEDGE_SERVER", format!("{scheme}://{api}"))];
    if wire == Wire::Insecure {
        servers.push(("SELVEDGE_INSECURE", "true".to_owned()));
    }
    match target {
        Target::Controller => servers.extend([
            ("SELVEDGE_LISTEN", api.to_string()),
            ("SELVEDGE_EMBEDDED_ETCD_LISTEN", etcd.to_string()),
        ]),
        Target::Node(node) => servers.extend([
            ("SELVEDGE_NODE", node.to_string()),
            ("SELVEDGE_ETCD", format!("{scheme}://{etcd}")),
            ("SELVEDGE_CONTROLLER", format!("{scheme}://{api}")),
        ]),
        Target::Workload(_) | Target::External(_) | Target::Segment(_) => {}
    }
    servers
}

/// Where they keep things: in the lab's own directory.
fn folders(lab: &LabName, target: &Target) -> Vec<(&'static str, String)> {
    let directory = registry::directory(lab);
    match target {
        Target::Controller => {
            vec![("SELVEDGE_DATA_DIR", directory.join("controller").display().to_string())]
        }
        Target::Node(_) => vec![
            ("SELVEDGE_STATE_DIR", directory.join("state").display().to_string()),
            ("SELVEDGE_BPFFS", registry::bpffs(lab).display().to_string()),
        ],
        Target::Workload(_) | Target::External(_) | Target::Segment(_) => Vec::new(),
    }
}

/// The place that `target` means.
pub(super) fn place<'a>(record: &'a Record, target: &str) -> Result<&'a Place, CommandError> {
    record.place(target).ok_or_else(|| CommandError::UnknownTarget {
        lab: record.lab.clone(),
        target: target.to_owned(),
        known: record.places.iter().map(|place| place.target.to_string()).collect(),
    })
}
