//! xdp-filter of xdp-tools, by its own command; its table is filled directly, because the command takes one address a call.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Ready;
use crate::bpf::{lookup, object_at, program_of_interface, update};
use crate::cases::inside;
use crate::frames::{Family, octets};
use crate::stage::{PORT, Stage};
use crate::tool;
use crate::world::{Policy, World};

const PINS: &str = "/sys/fs/bpf/xdp-filter";
/// "Match as a source", in the low bits of an entry; above them it counts its packets.
const SOURCE: u64 = 1;
const XDP_DROP: u32 = 1;

pub(super) struct Filter {
    program: OwnedFd,
    statistics: OwnedFd,
}

impl Drop for Filter {
    fn drop(&mut self) {
        // It ends with the namespace; its pins only with the process, and the next case loads it anew.
        let _ended = std::fs::remove_dir_all(PINS);
    }
}

pub(super) fn prepare(world: &World, stage: &Stage) -> Result<Filter> {
    let Policy::Blocked(networks) = &world.policy else { bail!("xdp-filter only knows sets of addresses") };
    let load = ["load", "--mode", "native", "--policy", "allow", "--features", "ipv4,ipv6", PORT];
    tool::run(Command::new("xdp-filter").args(load))?;
    let table = match world.family {
        Family::V4 => "filter_ipv4",
        Family::V6 => "filter_ipv6",
    };
    let table = pinned(table)?;
    let value = SOURCE.to_ne_bytes().repeat(cpus()?);
    for network in networks {
        update(table.as_fd(), &octets(inside(network)), &value).context("xdp-filter's table")?;
    }
    Ok(Filter { program: program(stage)?, statistics: pinned("xdp_stats_map")? })
}

fn pinned(name: &str) -> Result<OwnedFd> {
    let path: PathBuf = Path::new(PINS).join(name);
    object_at(&path).with_context(|| path.display().to_string())
}

/// The program that xdp-filter attached to the port.
fn program(stage: &Stage) -> Result<OwnedFd> {
    let links = tool::run(Command::new("ip").args(["-json", "link", "show", "dev", PORT]))?;
    let links: serde_json::Value = serde_json::from_str(&links)?;
    let id = links[0]["xdp"]["prog"]["id"].as_u64();
    let id = id.with_context(|| format!("no program on interface {}", stage.port))?;
    Ok(program_of_interface(u32::try_from(id)?)?)
}

/// CPUs that per-CPU values have a place for.
fn cpus() -> Result<usize> {
    aya::util::nr_cpus().map_err(|(file, error)| anyhow::anyhow!("{file}: {error}"))
}

impl Ready for Filter {
    fn counted(&mut self) -> Result<u64> {
        const RECORD: usize = 16; // packets, bytes
        let mut records = vec![0; RECORD * cpus()?];
        lookup(self.statistics.as_fd(), &XDP_DROP.to_ne_bytes(), &mut records)?;
        let packets = records.chunks_exact(RECORD).filter_map(|record| record.first_chunk());
        Ok(packets.map(|packets| u64::from_ne_bytes(*packets)).sum())
    }

    fn program(&self) -> Option<BorrowedFd<'_>> {
        Some(self.program.as_fd())
    }
}
