//! What is done to agents, and to what they keep on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use selvedge_proto::wire::{NodeState, StatusResponse};
use tokio::time::sleep;

use super::catalogue::KILLS;
use super::scene::{Scene, state};
use super::site::ip;
use crate::live::fabric::AGENTS;
use crate::live::lab::built;

pub(super) async fn kill_agents(scene: &mut Scene<'_>) {
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

pub(super) async fn replace_agent(scene: &mut Scene<'_>) {
    let copy = scene.site.lab.folder().join("selvedge-agent");
    fs::copy(built("selvedge-agent"), &copy).unwrap();
    for node in AGENTS {
        scene.site.stop_agent(node);
        scene.site.start_agent_from(node, &copy);
    }
    scene.change().await;
}

pub(super) async fn start_agent_without_etcd(scene: &mut Scene<'_>) {
    scene.site.cluster.kill_all();
    for node in ["host1", "dpu1"] {
        scene.site.kill_agent(node);
        scene.site.start_agent(node);
    }
    sleep(Duration::from_secs(3)).await;
    scene.site.cluster.start_all(&scene.site.lab);
    scene.change().await;
}

pub(super) async fn cut_agent_off(scene: &mut Scene<'_>) {
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

/// The folder of an agent's state, as the lab chose it.
pub(super) fn state_folder(scene: &Scene<'_>, node: &str) -> PathBuf {
    selvedge_lab::registry::directory(&scene.site.record().lab).join("state").join(node)
}

pub(super) async fn fill_state_disk(scene: &mut Scene<'_>) {
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

pub(super) async fn corrupt_state_file(scene: &mut Scene<'_>) {
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
