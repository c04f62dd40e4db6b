//! The fabric under test: a lab, a controller with its etcd, and an agent on every node, all from the binaries that were built.

use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant};

use selvedge_lab::registry::Record;
use selvedge_proto::MAX_MESSAGE_BYTES;
use selvedge_proto::wire::fabric_client::FabricClient;
use selvedge_proto::wire::{self, ApplyOutcome, NodeState};
use tonic::transport::{Channel, Endpoint};

use super::lab::{Lab, Wire, end};
use super::sets::Set;

/// The nodes of the demo that have an agent.
pub(crate) const AGENTS: [&str; 4] = ["host1", "host2", "dpu1", "leaf2"];
/// Where the lab's controller listens.
const API: &str = "http://172.31.0.1:7471";
/// No single step takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A fabric that is gone when this is, however that comes.
pub(crate) struct Fabric {
    controller: Option<Child>,
    agents: BTreeMap<&'static str, Child>,
    lab: Lab,
}

impl Fabric {
    /// Builds the lab and starts everything.
    pub(crate) fn up(what: &str) -> Self {
        let mut fabric =
            Self { controller: None, agents: BTreeMap::new(), lab: Lab::up(what, Wire::Insecure) };
        fabric.controller = Some(fabric.lab.exec("controller", "selvedge-controller", &[]));
        for node in AGENTS {
            fabric.start_agent(node);
        }
        fabric
    }

    /// The lab's places.
    pub(crate) fn record(&self) -> Record {
        self.lab.record()
    }

    /// Starts the agent of a node that has none.
    pub(crate) fn start_agent(&mut self, node: &'static str) {
        let agent = self.lab.exec(node, "selvedge-agent", &["run"]);
        assert!(self.agents.insert(node, agent).is_none(), "{node} has an agent");
    }

    /// Kills the agent of a node without a word, and waits until it is dead.
    pub(crate) fn kill_agent(&mut self, node: &'static str) {
        let mut agent = self.agents.remove(node).unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// What agents said of tables that are not as they left them.
    pub(crate) fn surprises(&self) -> Vec<String> {
        self.lab.lines_with("somebody else changed the tables")
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        for agent in self.agents.values_mut() {
            let _ended = agent.kill().and_then(|()| agent.wait());
        }
        if let Some(controller) = &mut self.controller {
            end(controller);
        }
    }
}

/// The controller's API; to be used inside its namespace.
pub(crate) struct Api(FabricClient<Channel>);

impl Api {
    /// Connects, as soon as the controller answers.
    pub(crate) async fn connect() -> Self {
        let deadline = Instant::now() + PATIENCE;
        let endpoint = Endpoint::from_static(API).connect_timeout(Duration::from_secs(1)).timeout(PATIENCE);
        loop {
            match endpoint.connect().await {
                Ok(channel) => {
                    let client = FabricClient::new(channel);
                    return Self(client.max_decoding_message_size(MAX_MESSAGE_BYTES));
                }
                Err(error) => assert!(Instant::now() < deadline, "the controller does not answer: {error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Applies a set; the generation that it became.
    pub(crate) async fn apply(&mut self, set: &Set) -> u64 {
        let file = |file: &selvedge_topology::documents::SourceFile| wire::SourceFile {
            name: file.name.clone(),
            text: file.text.clone(),
            line: 1,
        };
        let request =
            wire::ApplyRequest { files: set.files.iter().map(file).collect(), ..Default::default() };
        let answer = self.0.apply(request).await.unwrap().into_inner();
        assert_eq!(answer.outcome(), ApplyOutcome::Applied, "{:#?}", answer.diagnostics);
        answer.generation
    }

    /// Waits until a generation is in force on every node.
    pub(crate) async fn in_force(&mut self, generation: u64) {
        let wait_ms = PATIENCE.as_millis() as u64 - 1000;
        let status = self.0.status(wire::StatusRequest { generation, wait_ms }).await.unwrap().into_inner();
        let behind: Vec<_> = status.nodes.iter().filter(|node| node.state() != NodeState::InForce).collect();
        assert!(behind.is_empty() && status.generation == generation, "not in force: {behind:#?}");
        assert_eq!(status.nodes.len(), AGENTS.len());
    }
}
