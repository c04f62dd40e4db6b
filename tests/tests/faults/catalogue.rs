//! The faults, each as what is done. That nothing forbidden is delivered and nothing allowed is lost meanwhile is judged for
//! all of them alike; what is asserted here is that the fault happened, and that `selvedge status` told the truth.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use selvedge_proto::wire::{NodeState, StatusResponse};
use selvedge_proto::{Digest, Target, keys};
use selvedge_topology::plan::Generation;
use tokio::time::sleep;

use super::cluster::{MEMBERS, connect};
use super::scene::{Scene, state};
use super::site::{Seat, ip};
use crate::live::fabric::AGENTS;
use crate::live::lab::built;

/// How often agents, and controllers, are killed at a random moment.
const KILLS: usize = 10;
/// How long etcd has no quorum.
const NO_QUORUM: Duration = Duration::from_secs(60);
/// How long a leader's lease lasts without it, and a little.
const LEASE: Duration = Duration::from_secs(12);

/// Every fault there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    AgentsKilledInUpdates,
    AgentReplaced,
    AgentStartedWithoutEtcd,
    EtcdLeaderKilled,
    EtcdWithoutQuorum,
    EtcdOutOfSpace,
    EtcdRestored,
    AgentCutOff,
    ControllerKilledInPublishes,
    TwoControllers,
    StateDiskFull,
    StateFileCorrupted,
    HalfWrittenGeneration,
}

impl Fault {
    pub(crate) const ALL: [Self; 13] = [
        Self::AgentsKilledInUpdates,
        Self::AgentReplaced,
        Self::AgentStartedWithoutEtcd,
        Self::EtcdLeaderKilled,
        Self::EtcdWithoutQuorum,
        Self::EtcdOutOfSpace,
        Self::EtcdRestored,
        Self::AgentCutOff,
        Self::ControllerKilledInPublishes,
        Self::TwoControllers,
        Self::StateDiskFull,
        Self::StateFileCorrupted,
        Self::HalfWrittenGeneration,
    ];

    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AgentsKilledInUpdates => "agents killed at random moments of updates",
            Self::AgentReplaced => "agent replaced by another binary",
            Self::AgentStartedWithoutEtcd => "agent started with etcd away",
            Self::EtcdLeaderKilled => "etcd's leader killed",
            Self::EtcdWithoutQuorum => "etcd without quorum for 60 s",
            Self::EtcdOutOfSpace => "etcd out of space",
            Self::EtcdRestored => "etcd restored from an older snapshot",
            Self::AgentCutOff => "agent cut off from etcd",
            Self::ControllerKilledInPublishes => "controller killed at random moments of publishing",
            Self::TwoControllers => "two controllers, each believing that it leads",
            Self::StateDiskFull => "disk full at the agent's state",
            Self::StateFileCorrupted => "state file corrupted",
            Self::HalfWrittenGeneration => "a half-written generation",
        }
    }

    /// Causes it, and ends it.
    pub(crate) async fn strike(self, scene: &mut Scene<'_>) {
        match self {
            Self::AgentsKilledInUpdates => kill_agents(scene).await,
            Self::AgentReplaced => replace_agent(scene).await,
            Self::AgentStartedWithoutEtcd => start_agent_without_etcd(scene).await,
            Self::EtcdLeaderKilled => kill_etcd_leader(scene).await,
            Self::EtcdWithoutQuorum => take_quorum(scene).await,
            Self::EtcdOutOfSpace => fill_etcd(scene).await,
            Self::EtcdRestored => restore_etcd(scene).await,
            Self::AgentCutOff => cut_agent_off(scene).await,
            Self::ControllerKilledInPublishes => kill_controllers(scene).await,
            Self::TwoControllers => two_controllers(scene).await,
            Self::StateDiskFull => fill_state_disk(scene).await,
            Self::StateFileCorrupted => corrupt_state_file(scene).await,
            Self::HalfWrittenGeneration => half_written_generation(scene).await,
        }
    }
}

async fn kill_agents(scene: &mut Scene<'_>) {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..KILLS {
        let node = AGENTS[random.usize(..AGENTS.len())];
        let after = Duration::from_micros(random.u64(..40_000));
        let set = scene.leave();
        scene.try_apply(scene.seat, set).await.unwrap();
        sleep(after).await;
        scene.site.kill_agent(node);
        scene.site.start_agent(node);
        scene.converge().await;
    }
}

async fn replace_agent(scene: &mut Scene<'_>) {
    let copy = scene.site.lab.folder().join("selvedge-agent");
    fs::copy(built("selvedge-agent"), &copy).unwrap();
    for node in AGENTS {
        scene.site.stop_agent(node);
        scene.site.start_agent_from(node, &copy);
    }
    scene.change().await;
}

async fn start_agent_without_etcd(scene: &mut Scene<'_>) {
    scene.site.cluster.kill_all();
    for node in ["host1", "dpu1"] {
        scene.site.kill_agent(node);
        scene.site.start_agent(node);
    }
    sleep(Duration::from_secs(3)).await;
    scene.site.cluster.start_all(&scene.site.lab);
    scene.change().await;
}

async fn kill_etcd_leader(scene: &mut Scene<'_>) {
    for _ in 0..MEMBERS {
        let leader = scene.site.cluster.leader().await;
        scene.leave();
        scene.site.cluster.kill_member(leader);
        scene.converge().await;
        scene.site.cluster.start_member(&scene.site.lab, leader);
    }
}

async fn take_quorum(scene: &mut Scene<'_>) {
    scene.site.cluster.kill_member(1);
    scene.site.cluster.kill_member(2);
    let set = scene.leave();
    let refused = scene.try_apply(scene.seat, set).await;
    assert!(refused.is_err(), "nothing is applied without a quorum: {refused:?}");
    // Controllers lose their lease meanwhile, and end; whoever supervises them starts them again and again.
    for _ in 0..NO_QUORUM.as_secs() {
        scene.site.supervise();
        sleep(Duration::from_secs(1)).await;
    }
    scene.site.cluster.start_member(&scene.site.lab, 1);
    scene.site.cluster.start_member(&scene.site.lab, 2);
    scene.converge().await;
}

async fn fill_etcd(scene: &mut Scene<'_>) {
    scene.site.cluster.fill().await;
    let set = scene.leave();
    let refused = scene.try_apply(scene.seat, set).await.unwrap_err();
    assert!(refused.contains("space"), "{refused}");
    // Agents can't report, and status does not take old reports for new ones.
    scene.told("no node is heard of", |status| every(status, NodeState::Silent)).await;
    scene.site.cluster.make_room().await;
    scene.converge().await;
}

async fn restore_etcd(scene: &mut Scene<'_>) {
    scene.site.cluster.kill_all();
    let snapshot = scene.site.cluster.keep();
    scene.site.cluster.start_all(&scene.site.lab);
    scene.change().await;
    scene.change().await;
    let newest = targets().await;
    scene.site.cluster.kill_all();
    scene.site.cluster.restore(snapshot.path());
    scene.site.cluster.start_all(&scene.site.lab);
    scene.site.cluster.leader().await;
    assert_ne!(targets().await, newest, "etcd has forgotten what came after the snapshot");
    scene.change().await;
}

async fn cut_agent_off(scene: &mut Scene<'_>) {
    let host1 = scene.site.place("host1");
    ip(&host1, "link set mgmt0 down");
    let set = scene.leave();
    scene.try_apply(scene.seat, set).await.unwrap();
    let told = |status: &StatusResponse| {
        let others = AGENTS.iter().filter(|node| **node != "host1");
        state(status, "host1") == NodeState::Silent
            && others.into_iter().all(|node| state(status, node) == NodeState::InForce)
    };
    scene.told("host1 is silent and the others are as far as they should be", told).await;
    ip(&host1, "link set mgmt0 up");
    scene.converge().await;
}

async fn kill_controllers(scene: &mut Scene<'_>) {
    let mut random = fastrand::Rng::with_seed(6);
    for _ in 0..KILLS / 2 {
        let after = Duration::from_micros(random.u64(..60_000));
        let set = scene.leave();
        tokio::select! {
            _applied = scene.try_apply(scene.seat, set) => {}
            () = sleep(after) => {}
        }
        scene.site.kill_controller(scene.seat);
        scene.site.start_controller(scene.seat);
        scene.converge().await;
    }
}

async fn two_controllers(scene: &mut Scene<'_>) {
    let (old, new) = (Seat::First, Seat::Second);
    scene.site.signal_controller(old, Signal::SIGSTOP);
    scene.site.start_controller(new);
    sleep(LEASE).await;
    scene.seat = new;
    scene.change().await;
    let before = targets().await;
    // The old leader wakes, and acts before it has heard that it leads no more.
    scene.site.signal_controller(old, Signal::SIGCONT);
    let set = scene.leave();
    let refused = scene.try_apply(old, set).await;
    assert!(refused.is_err(), "a deposed controller applies: {refused:?}");
    assert_eq!(targets().await, before, "a deposed controller writes");
    scene.converge().await;
    // Back to one, the first.
    scene.site.stop_controller(new);
    scene.site.supervise();
    scene.seat = old;
    scene.change().await;
}

async fn targets() -> Vec<(Vec<u8>, Vec<u8>)> {
    let options = etcd_client::GetOptions::new().with_prefix();
    let mut all = connect(0).await.unwrap().get(keys::TARGETS, Some(options)).await.unwrap();
    all.take_kvs().into_iter().map(etcd_client::KeyValue::into_key_value).collect()
}

/// The folder of an agent's state, as the lab chose it.
fn state_folder(scene: &Scene<'_>, node: &str) -> std::path::PathBuf {
    selvedge_lab::registry::directory(&scene.site.record().lab).join("state").join(node)
}

async fn fill_state_disk(scene: &mut Scene<'_>) {
    let folder = state_folder(scene, "host2");
    let disk = Disk::mount(&folder);
    fs::write(folder.join("rubbish"), vec![0; 2 * Disk::BYTES]).unwrap_err();
    scene.change().await;
    scene.change().await;
    let said = scene.site.lab.lines_with("the state on disk is behind");
    assert!(!said.is_empty(), "the disk was not full");
    drop(disk);
    scene.change().await;
}

/// A small file system over a folder.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    const BYTES: usize = 1 << 20;

    fn mount(folder: &'a Path) -> Self {
        let options = format!("size={}", Self::BYTES);
        let none: Option<&str> = None;
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(none, folder, Some("tmpfs"), flags, Some(options.as_str())).unwrap();
        // What the agent expects to find.
        fs::create_dir(folder.join("content")).unwrap();
        Self(folder)
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        nix::mount::umount2(self.0, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

async fn corrupt_state_file(scene: &mut Scene<'_>) {
    let node = "host1";
    scene.site.kill_agent(node);
    let accepted = state_folder(scene, node).join("accepted");
    let mut text = fs::read(&accepted).unwrap();
    text.iter_mut().step_by(3).for_each(|byte| *byte = byte.wrapping_add(1));
    fs::write(&accepted, text).unwrap();
    // And etcd is away, so that nothing but the maps says what is in force.
    scene.site.cluster.kill_all();
    scene.site.start_agent(node);
    sleep(Duration::from_secs(2)).await;
    scene.site.cluster.start_all(&scene.site.lab);
    scene.change().await;
}

async fn half_written_generation(scene: &mut Scene<'_>) {
    let mut etcd = connect(0).await.unwrap();
    let node = "host1".parse().unwrap();
    let key = keys::target(&node);
    let there = etcd.get(key.as_str(), None).await.unwrap();
    let there = Target::decode(there.kvs()[0].value()).unwrap();
    // A target whose content was never written.
    let generation = Generation(there.generation.0 + 1);
    let torn = Target { generation, manifest: Digest::of(b"never written"), signature: None };
    etcd.put(key, torn.encode(), None).await.unwrap();
    let refused = |status: &StatusResponse| {
        let node = status.nodes.iter().find(|node| node.node == "host1");
        let refusal = node.and_then(|node| node.report.as_ref()?.refusal.as_ref());
        refusal.is_some_and(|refusal| refusal.reason.contains("is not in etcd"))
    };
    scene.told("host1 refuses what is not whole", refused).await;
    // The controller finds out, and writes what is right.
    scene.told("all is well again", |status| every(status, NodeState::InForce)).await;
    scene.change().await;
}

fn every(status: &StatusResponse, wanted: NodeState) -> bool {
    AGENTS.iter().all(|node| state(status, node) == wanted)
}
