//! A fabric that runs: etcd, the controller, the agents, each in processes of its own.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use selvedge_tests::etcd::{Servers, Shape};
use selvedge_tests::process::Usage;
use selvedge_tests::scale::{Fabric, Size};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::child::{Crews, states};
use crate::scale::clock::Moment;
use crate::scale::crew::Muster;
use crate::scale::ledger::{Ledger, Reached};
use crate::scale::metrics::Metrics;
use crate::scale::operator::{Applied, Operator};
use crate::scale::server::Controller;

/// How long anything may take until it is in force everywhere.
const PATIENCE: Duration = Duration::from_secs(180);

/// Everything that runs. What is further down ends later.
pub(crate) struct World {
    pub(crate) fabric: Fabric,
    pub(crate) operator: Operator,
    pub(crate) ledger: Ledger,
    pub(crate) crew: Crews,
    pub(crate) controller: Controller,
    pub(crate) servers: Servers,
    /// From nothing until the first generation was published, and until it was in force.
    pub(crate) first: [Duration; 2],
    _states: TempDir,
    _folder: TempDir,
}

/// What everybody has taken so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) controller: Usage,
    pub(crate) etcd: Usage,
    pub(crate) agents: Usage,
    pub(crate) metrics: Metrics,
}

impl World {
    /// Starts everything, and waits until the first generation is in force everywhere.
    pub(crate) async fn up(parent: &Path, size: Size, seed: u64, shape: Shape) -> Result<Self> {
        let (folder, states) = (tempfile::tempdir_in(parent)?, states()?);
        let servers = Servers::start_in(shape, parent).await?;
        let controller = Controller::start(folder.path(), &servers.direct())?;
        let mut operator = Operator::connect(&controller.url()).await?;
        let fabric = Fabric::new(size, seed);
        let begun = Moment::now();
        let applied = operator.load(fabric.documents()).await?;
        let (marks, told) = mpsc::unbounded_channel();
        let muster = Muster {
            etcd: servers.endpoints(),
            nodes: 0..size.nodes,
            anchor: controller.anchor(),
            states: states.path().to_owned(),
        };
        let (started, mut ledger) = (Moment::now(), Ledger::new(told));
        let crew = Crews::start(&muster, &marks)?;
        let reached = ledger.reached(&applied.nodes, applied.generation, started, PATIENCE).await?;
        let first = [applied.answered.since(begun), reached.acknowledged.since(started)];
        let (_states, _folder) = (states, folder);
        Ok(Self { fabric, operator, ledger, crew, controller, servers, first, _states, _folder })
    }

    /// Waits until what was applied is in force.
    pub(crate) async fn reached(&mut self, applied: &Applied) -> Result<Reached> {
        let Applied { begun, generation, ref nodes, .. } = *applied;
        self.ledger.reached(nodes, generation, begun, PATIENCE).await
    }

    /// What everybody has taken until now.
    pub(crate) async fn taken(&self) -> Result<Taken> {
        Ok(Taken {
            controller: self.controller.usage()?,
            etcd: self.servers.usage()?,
            agents: self.crew.usage()?,
            metrics: Metrics::of(&self.servers.direct()[0]).await?,
        })
    }
}
