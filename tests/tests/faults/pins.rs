//! What is done to pins: they go, others lie in their place, or they are those of another ABI version.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use selvedge_abi::ABI_VERSION;
use selvedge_lab::registry;
use tokio::time::{Instant, sleep};

use super::agents::state_folder;
use super::scene::Scene;
use super::site::ip;
use crate::live::fabric::AGENTS;

/// How long an agent may take to pin something.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where an agent pins.
pub(super) fn root(scene: &Scene<'_>, node: &str) -> PathBuf {
    registry::bpffs(&scene.site.record().lab).join("selvedge").join(node)
}

/// Where its maps and programs are.
fn set(scene: &Scene<'_>, node: &str) -> PathBuf {
    root(scene, node).join(format!("v{ABI_VERSION}"))
}

/// Makes what a node runs that of another ABI version: programs over tables that are no version's that the next agent knows.
fn estrange(scene: &Scene<'_>, node: &str) -> PathBuf {
    let other = root(scene, node).join("v0");
    fs::rename(set(scene, node), &other).unwrap();
    other
}

pub(super) async fn replace_agent_across_abi_versions(scene: &mut Scene<'_>) {
    let mut others = Vec::new();
    for node in AGENTS {
        scene.site.stop_agent(node);
        others.push(estrange(scene, node));
        scene.site.start_agent(node);
    }
    scene.change().await;
    assert!(others.iter().all(|other| !other.exists()), "what is left of another version: {others:?}");
    // One that knows no plan, and can't ask for one: what runs goes on until it can.
    let host1 = scene.site.place("host1");
    scene.site.stop_agent("host1");
    let other = estrange(scene, "host1");
    fs::remove_file(state_folder(scene, "host1").join("accepted")).unwrap();
    ip(&host1, "link set mgmt0 down");
    scene.site.start_agent("host1");
    sleep(Duration::from_secs(2)).await;
    assert!(other.exists(), "what runs is still of the other version");
    ip(&host1, "link set mgmt0 up");
    scene.change().await;
    assert!(!other.exists());
}

pub(super) async fn remove_pins(scene: &mut Scene<'_>) {
    // All of them, links included, while the agent runs.
    let (pins, maps) = (root(scene, "host2"), set(scene, "host2"));
    let links = pins.join("links");
    let there = fs::read_dir(&links).unwrap().count();
    fs::remove_dir_all(&pins).unwrap();
    put_back(|| {
        links.is_dir() && fs::read_dir(&links).unwrap().count() == there && maps.join("EVENTS").exists()
    })
    .await;
    scene.change().await;
    scene.site.kill_agent("host2");
    scene.site.start_agent("host2");
    // Those of maps and programs, while none does.
    for (node, gone) in [("host1", "CONFIG"), ("dpu1", "")] {
        scene.site.kill_agent(node);
        let gone = set(scene, node).join(gone);
        if gone.is_dir() {
            fs::remove_dir_all(&gone).unwrap();
        } else {
            fs::remove_file(&gone).unwrap();
        }
        scene.site.start_agent(node);
    }
    scene.change().await;
    assert!(!scene.site.lab.lines_with("CONFIG is missing").is_empty(), "the pin was not missed");
}

pub(super) async fn exchange_pins(scene: &mut Scene<'_>) {
    // While the agent runs.
    let maps = set(scene, "host2");
    let before = fs::metadata(maps.join("IPV4")).unwrap().modified().unwrap();
    exchange(&maps, "IPV4", "IPV6");
    exchange(&maps, "CONFIG", "program");
    put_back(|| fs::metadata(maps.join("IPV4")).is_ok_and(|pin| pin.modified().unwrap() != before)).await;
    scene.change().await;
    // While none does.
    for (node, [one, other]) in [("host1", ["CONFIG", "PORTS"]), ("leaf2", ["CONNECTIONS", "program"])] {
        scene.site.kill_agent(node);
        exchange(&set(scene, node), one, other);
        scene.site.start_agent(node);
    }
    scene.change().await;
    assert!(!scene.site.lab.lines_with("CONFIG is PORTS").is_empty(), "the exchange was not noticed");
}

fn exchange(folder: &Path, one: &str, other: &str) {
    let [one, other, aside] = [one, other, "aside"].map(|name| folder.join(name));
    for (from, to) in [(&one, &aside), (&other, &one), (&aside, &other)] {
        fs::rename(from, to).unwrap();
    }
}

/// Waits until something is pinned again.
async fn put_back(is: impl Fn() -> bool) {
    wait(is, "the running agent puts its pins back").await;
}

/// Waits until something is so.
pub(super) async fn wait(is: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "not seen: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
