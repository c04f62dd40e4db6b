//! A network and mounts of the bench's own, so that nothing of it shows or stays on the machine.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Enters them. Whatever is started after that is there, too.
pub(crate) fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context("as root only")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    ensure!(status.success(), "ip can't bring up loopback");
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "2000 65000")?;
    std::fs::write("/proc/sys/net/core/somaxconn", "65535")?;
    // An agent has two connections, and etcd has all of them.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(())
}

/// How many proxies it takes that no server has more connections of agents than it may have files open: none where etcd itself can
/// have all of them.
pub(crate) fn proxies_for(nodes: usize) -> Result<u8> {
    let (most, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // A quarter is for everything else.
    let most = usize::try_from(most)? / 4 * 3;
    let connections = 2 * nodes;
    Ok(if connections <= most { 0 } else { u8::try_from(connections.div_ceil(most))? })
}
