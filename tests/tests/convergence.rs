//! A small fabric, run as `make bench-convergence` runs large ones: every kind of change reaches every node it concerns, and
//! touches no more than those. Counts, never times.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[path = "../scale/mod.rs"]
mod scale;

use std::collections::BTreeSet;

use scale::agent::PATIENCE;
use scale::crew::{Crew, Muster};
use scale::ledger::Ledger;
use scale::operator::{Applied, Operator};
use scale::server::Controller;
use scale::written::{self, Written};
use selvedge_tests::etcd::{Servers, Shape};
use selvedge_tests::scale::{Churn, Edit, FEW, Fabric, Kind, Size};
use tokio::sync::mpsc;

const SIZE: Size = Size { nodes: 44, workloads: 240, identities: 32, policies: 80 };

/// Everything that runs.
struct World {
    fabric: Fabric,
    operator: Operator,
    ledger: Ledger,
    crew: Crew,
    controller: Controller,
    servers: Servers,
    folder: tempfile::TempDir,
}

impl World {
    async fn up(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let servers = Servers::start(Shape::Single).await.unwrap();
        let controller = Controller::start(folder.path(), &servers.endpoints()).unwrap();
        let mut operator = Operator::connect(&controller.url()).await.unwrap();
        let fabric = Fabric::new(SIZE, seed);
        let first = operator.load(fabric.documents()).await.unwrap();
        assert_eq!(first.nodes.len(), SIZE.nodes);
        let (marks, told) = mpsc::unbounded_channel();
        let muster = Muster {
            etcd: servers.endpoints(),
            nodes: 0..SIZE.nodes,
            anchor: controller.anchor(),
            states: folder.path().to_owned(),
        };
        let crew = Crew::start(&muster, marks).unwrap();
        let mut world =
            Self { fabric, operator, ledger: Ledger::new(told), crew, controller, servers, folder };
        world.reached(&first).await;
        world
    }

    async fn reached(&mut self, applied: &Applied) {
        let Applied { begun, generation, ref nodes, .. } = *applied;
        self.ledger.reached(nodes, generation, begun, PATIENCE).await.unwrap();
    }

    /// Makes an edit, waits until it is in force, and says what was written for it.
    async fn apply(&mut self, edit: Edit) -> (Applied, Written) {
        let mut client = self.servers.client().await;
        let before = written::revision(&mut client).await.unwrap();
        let applied = self.operator.apply(edit).await.unwrap();
        self.reached(&applied).await;
        (applied, written::since(&mut client, before).await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_change_reaches_the_nodes_that_it_concerns_and_writes_to_no_others() {
    let mut world = World::up(1).await;
    for kind in Kind::ALL {
        let before = world.fabric.clone();
        let edit = world.fabric.change(kind);
        let telling = edit.application.map(|it| &before.telling(it) | &world.fabric.telling(it));
        let (applied, written) = world.apply(edit).await;
        assert_eq!(written.of("target").keys, applied.nodes.len(), "{kind:?}: {written:?}");
        match (kind, telling) {
            (Kind::PolicyEverywhere, _) => assert_eq!(applied.nodes, world.fabric.occupied()),
            (Kind::PolicyOnFew, _) => assert_eq!(applied.nodes.len(), FEW),
            (_, Some(telling)) => {
                assert!(!applied.nodes.is_empty(), "{kind:?}");
                assert!(applied.nodes.is_subset(&telling), "{kind:?}: {:?}, {telling:?}", applied.nodes);
                assert!(telling.len() < SIZE.nodes, "{kind:?}: that is everybody");
            }
            (_, None) => panic!("{kind:?} is about no workload"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_and_the_controller_come_back_and_go_on_while_workloads_come_and_go() {
    let mut world = World::up(2).await;
    let mut churn = Churn::default();
    for _ in 0..3 {
        let edit = churn.next(&mut world.fabric, 10);
        world.apply(edit).await;
    }
    world.ledger.clear();
    world.crew.restart().await.unwrap();
    let all: BTreeSet<usize> = (0..SIZE.nodes).collect();
    let first = selvedge_topology::plan::Generation(1);
    let begun = scale::clock::Moment::now();
    world.ledger.reached(&all, first, begun, PATIENCE).await.unwrap();
    world.controller.restart().unwrap();
    world.operator.reconnect().await.unwrap();
    let edit = world.fabric.change(Kind::PolicyEverywhere);
    let (applied, _) = world.apply(edit).await;
    assert_eq!(applied.nodes, world.fabric.occupied());
    assert!(world.folder.path().exists());
}
