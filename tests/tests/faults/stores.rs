//! What is done to etcd, and to what is in it.

use std::time::Duration;

use selvedge_proto::wire::{NodeState, StatusResponse};
use selvedge_proto::{Digest, Target, keys};
use selvedge_topology::plan::Generation;
use tokio::time::sleep;

use super::cluster::MEMBERS;
use super::scene::{Scene, every};

/// How long etcd has no quorum.
const NO_QUORUM: Duration = Duration::from_secs(60);

pub(super) async fn kill_etcd_leader(scene: &mut Scene<'_>) {
    for _ in 0..MEMBERS {
        let leader = scene.site.cluster.leader().await;
        scene.leave();
        scene.site.cluster.kill_member(leader);
        scene.converge().await;
        scene.site.cluster.start_member(&scene.site.lab, leader);
    }
}

pub(super) async fn take_quorum(scene: &mut Scene<'_>) {
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

pub(super) async fn fill_etcd(scene: &mut Scene<'_>) {
    scene.site.cluster.fill().await;
    let set = scene.leave();
    let refused = scene.try_apply(scene.seat, set).await.unwrap_err();
    assert!(refused.contains("space"), "{refused}");
    // Agents can't report, and status does not take old reports for new ones.
    scene.told("no node is heard of", |status| every(status, NodeState::Silent)).await;
    scene.site.cluster.make_room().await;
    scene.converge().await;
}

pub(super) async fn restore_etcd(scene: &mut Scene<'_>) {
    scene.site.cluster.kill_all();
    let snapshot = scene.site.cluster.keep();
    scene.site.cluster.start_all(&scene.site.lab);
    scene.change().await;
    scene.change().await;
    let newest = scene.site.cluster.targets().await;
    scene.site.cluster.kill_all();
    scene.site.cluster.restore(snapshot.path());
    scene.site.cluster.start_all(&scene.site.lab);
    scene.site.cluster.leader().await;
    assert_ne!(scene.site.cluster.targets().await, newest, "etcd has forgotten what came after the snapshot");
    scene.change().await;
}

pub(super) async fn half_written_generation(scene: &mut Scene<'_>) {
    let mut etcd = scene.site.cluster.connect(0).await.unwrap();
    let node = "host1".parse().unwrap();
    let key = keys::target(&node);
    let there = etcd.get(key.as_str(), None).await.unwrap();
    let there = Target::decode(there.kvs()[0].value()).unwrap();
    // A target whose content was never written, though the fabric signed it.
    let generation = Generation(there.generation.0 + 1);
    let torn = Target { generation, manifest: Digest::of(b"never written"), signature: None };
    let torn = scene.site.trust.sign(torn, &node);
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
