//! What is done to controllers.

use std::time::Duration;

use nix::sys::signal::Signal;
use selvedge_proto::wire::NodeState;
use tokio::time::sleep;

use super::catalogue::KILLS;
use super::scene::{Scene, every};
use super::site::Seat;

/// How long a leader's lease lasts without it, and a little.
const LEASE: Duration = Duration::from_secs(12);

pub(super) async fn kill_controllers(scene: &mut Scene<'_>) {
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

pub(super) async fn two_controllers(scene: &mut Scene<'_>) {
    let (old, new) = (Seat::First, Seat::Second);
    scene.site.signal_controller(old, Signal::SIGSTOP);
    scene.site.start_controller(new);
    sleep(LEASE).await;
    scene.seat = new;
    scene.change().await;
    let before = scene.site.cluster.targets().await;
    // The old leader wakes, and acts before it has heard that it leads no more.
    scene.site.signal_controller(old, Signal::SIGCONT);
    let set = scene.leave();
    let refused = scene.try_apply(old, set).await;
    assert!(refused.is_err(), "a deposed controller applies: {refused:?}");
    assert_eq!(scene.site.cluster.targets().await, before, "a deposed controller writes");
    scene.converge().await;
    // Back to one, the first.
    scene.site.stop_controller(new);
    scene.site.supervise();
    scene.seat = old;
    scene.change().await;
}

/// As many ports of one node as no program has room for.
const TOO_MANY: usize = 1100;

pub(super) async fn exceed_capacity(scene: &mut Scene<'_>) {
    let set = scene.set();
    let many: String = (0..TOO_MANY).map(|n| format!("        - {{name: v{n}, role: workload}}\n")).collect();
    let mut files = set.files.clone();
    let fabric = files.iter_mut().find(|file| file.text.contains("- name: host1\n")).unwrap();
    let host1 = fabric.text.find("- name: host1\n").unwrap();
    let ports = host1 + fabric.text[host1..].find("ports:\n").unwrap() + "ports:\n".len();
    fabric.text.insert_str(ports, &many);
    let before = scene.site.cluster.targets().await;
    let refused = scene.ask(scene.seat, &files).await.unwrap_err();
    assert!(refused.contains("the plan of node host1 needs 11"), "{refused}");
    assert_eq!(scene.site.cluster.targets().await, before, "nothing is written");
    scene.told("all goes on as it was", |status| every(status, NodeState::InForce)).await;
    scene.change().await;
}
