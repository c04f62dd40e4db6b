//! The agents of all nodes, in this process.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::join_all;
use selvedge_agent::store::Access;
use selvedge_hw_profiles::Profiles;
use selvedge_tests::scale::node_name;
use selvedge_trust::Anchor;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::agent::{Common, Machine, Mark, run};
use super::stand_in::StandIn;

/// What a crew is of.
#[derive(Clone, Debug)]
pub(crate) struct Muster {
    /// Client URLs of etcd.
    pub(crate) etcd: Vec<String>,
    /// Numbers of their nodes.
    pub(crate) nodes: Range<usize>,
    /// What they trust.
    pub(crate) anchor: PathBuf,
    /// Where they keep their states.
    pub(crate) states: PathBuf,
}

/// Agents that run.
pub(crate) struct Crew {
    common: Arc<Common>,
    stop: watch::Sender<bool>,
    agents: Vec<JoinHandle<Machine>>,
}

impl Crew {
    /// Starts them all at once; each generation that one has in force is told to `marks`.
    pub(crate) fn start(muster: &Muster, marks: mpsc::UnboundedSender<Mark>) -> anyhow::Result<Self> {
        let Muster { etcd, nodes, anchor, states } = muster;
        let (anchor, profiles) = (Anchor::load(anchor)?, Profiles::embedded()?);
        let (access, states) = (Access::plain(etcd.clone()), states.clone());
        let common = Arc::new(Common { access, anchor, profiles, states, marks });
        let machines = nodes.clone().map(|number| {
            Ok(Machine { number, node: node_name(number).parse()?, data_path: StandIn::new() })
        });
        let mut crew = Self { common, stop: watch::Sender::new(false), agents: Vec::new() };
        crew.board(machines.collect::<anyhow::Result<_>>()?);
        Ok(crew)
    }

    fn board(&mut self, machines: Vec<Machine>) {
        let start = |machine| tokio::spawn(run(machine, Arc::clone(&self.common), self.stop.subscribe()));
        self.agents = machines.into_iter().map(start).collect();
    }

    /// Stops every agent, and starts all again at the same moment on the machines as they are.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        let ended = join_all(self.agents.drain(..)).await;
        self.stop = watch::Sender::new(false);
        self.board(ended.into_iter().collect::<Result<_, _>>()?);
        Ok(())
    }
}
