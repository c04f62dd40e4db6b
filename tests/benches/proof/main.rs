//! How long an agent takes to prove a slot, by the number of classes, and to put a small change of a large plan in force. Needs
//! root; prints tables and writes target/bench/proof.json.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, unshare};
use selvedge_agent::datapath::{Datapath, Effect, KernelDatapath, Pins, Sizes};
use selvedge_agent::machine::RawInterface;
use selvedge_agent_core::{Action, Choices, Desired, ForeignPrograms, IfIndex, Proof, Standing, reconcile};
use selvedge_hw_profiles::units::Bytes;
use selvedge_hw_profiles::{Port, Profiles};
use selvedge_topology::plan::{Generation, Plan};

mod change;
mod plan;

/// Subjects, and peers of each; every list has five intervals, and there are two directions.
const SIZES: [(u8, u16); 4] = [(2, 8), (10, 90), (10, 990), (20, 4_500)];

/// The ends of a new veth pair: an uplink and a workload port.
fn interfaces() -> Result<[RawInterface; 2]> {
    let pair = ["link", "add", "eth0", "type", "veth", "peer", "name", "w1"];
    let status = Command::new("ip").args(pair).status()?;
    anyhow::ensure!(status.success(), "ip can't add a veth pair");
    let interface = |name: &str| -> Result<RawInterface> {
        let index = IfIndex(nix::net::if_::if_nametoindex(name)?);
        Ok(RawInterface {
            name: name.to_owned(),
            index,
            seen: Port::new("veth", Bytes(1500)),
            xdp: Vec::new(),
        })
    };
    Ok([interface("eth0")?, interface("w1")?])
}

/// All that is measured.
#[derive(serde::Serialize)]
struct Results {
    proofs: Vec<Row>,
    changes: Vec<change::Row>,
}

/// What one size came to.
#[derive(serde::Serialize)]
struct Row {
    classes: u64,
    of: u64,
    packets: u64,
    choosing_ms: f64,
    proving_ms: f64,
}

/// Writes the tables of the plan, without attaching anything, and proves them.
fn measure(directory: &Path, interfaces: &[RawInterface], plan: &Plan) -> Result<Row> {
    let mut datapath = KernelDatapath::open(Pins::prepare(directory, &plan.node)?, Sizes::default())?;
    let observed = datapath.observe(interfaces)?;
    let profiles = Profiles::embedded()?;
    let (fail_closed, failsafe) = (BTreeSet::new(), BTreeSet::new());
    let (nics, held_back) = (Choices::default(), BTreeMap::new());
    let desired = Desired {
        plan: Some((plan, Generation(1))),
        fail_closed: &fail_closed,
        failsafe: &failsafe,
        foreign: ForeignPrograms::Refuse,
        profiles: &profiles,
        nics: &nics,
        before: None,
        held_back: &held_back,
        refused_modes: &BTreeMap::new(),
        standing: &Standing::default(),
    };
    let begun = Instant::now();
    let actions = reconcile(desired, &observed)?;
    let choosing = begun.elapsed();
    for action in &actions {
        let begun = Instant::now();
        match action {
            Action::Attach { .. } => {}
            Action::Prove(_) => {
                let Effect::Proved(Proof::Proven(coverage)) = datapath.execute(action)? else {
                    bail!("this kernel can't prove a slot")
                };
                let ms = |time: Duration| time.as_secs_f64() * 1e3;
                return Ok(Row {
                    classes: coverage.classes,
                    of: coverage.of,
                    packets: coverage.packets,
                    choosing_ms: ms(choosing),
                    proving_ms: ms(begun.elapsed()),
                });
            }
            action => drop(datapath.execute(action)?),
        }
    }
    bail!("nothing was to be proven")
}

fn main() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context("as root only")?;
    let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
    nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    let interfaces = interfaces()?;
    println!("{:>9} {:>9} {:>9} {:>15} {:>14}", "classes", "of", "packets", "lower+choose ms", "prove ms");
    let mut rows = Vec::new();
    for (subjects, peers) in SIZES {
        let directory = tempfile::tempdir()?;
        let row = measure(directory.path(), &interfaces, &plan::plan(subjects, peers)?);
        nix::mount::umount(directory.path())?;
        let row = row?;
        let Row { classes, of, packets, choosing_ms, proving_ms } = &row;
        println!("{classes:>9} {of:>9} {packets:>9} {choosing_ms:>15.1} {proving_ms:>14.1}");
        rows.push(row);
    }
    let results = Results { proofs: rows, changes: change::all(&interfaces)? };
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    std::fs::create_dir_all(&out)?;
    std::fs::write(out.join("proof.json"), serde_json::to_string_pretty(&results)?)?;
    Ok(())
}
