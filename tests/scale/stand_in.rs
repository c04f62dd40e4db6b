//! What an agent of a simulated node has instead of the kernel's maps and programs.

use selvedge_agent::datapath::{Counters, Datapath, DatapathError, Effect};
use selvedge_agent::machine::RawInterface;
use selvedge_agent_core::simulate::Simulation;
use selvedge_agent_core::{Action, Choices, IfIndex, Observed, Placement, Proof, Source};
use selvedge_tests::scale::{PORTS, UPLINK};
use selvedge_topology::names::PortName;
use selvedge_topology::plan::Generation;

use super::clock::Moment;

/// Tables and links in memory. There is no program that a slot could be tried with, so every proof holds.
#[derive(Clone)]
pub(crate) struct StandIn {
    node: Simulation,
    /// Whether nobody but the agent can have written since it looked.
    source: Source,
    /// What was put in force last, and when.
    pub(crate) flipped: (Generation, Moment),
}

impl StandIn {
    /// A node with its ports, to which nothing was attached yet.
    pub(crate) fn new() -> Self {
        let mut node = Simulation::default();
        for (port, index) in [UPLINK].iter().chain(&PORTS).zip(10..) {
            let port: PortName = port.parse().expect("a port's name");
            node.add_interface(&port, IfIndex(index));
        }
        Self { node, source: Source::Read, flipped: (Generation(0), Moment::default()) }
    }
}

impl Datapath for StandIn {
    fn observe(&mut self, _: &[RawInterface]) -> Result<Observed, DatapathError> {
        let source = std::mem::replace(&mut self.source, Source::Kept);
        Ok(Observed { source, ..self.node.observe() })
    }

    fn doubt(&mut self) {
        self.source = Source::Read;
    }

    fn is_undisturbed(&mut self) -> Result<bool, DatapathError> {
        Ok(true)
    }

    fn execute(&mut self, action: &Action) -> Result<Effect, DatapathError> {
        self.node.execute(action).unwrap_or_else(|mistake| panic!("{mistake}"));
        Ok(match action {
            Action::Attach { port, choice, .. } => {
                Effect::Placed(port.clone(), Placement::after_attach(choice, &[], choice.first))
            }
            Action::Prove(trial) => Effect::Proved(Proof::Proven(trial.coverage)),
            Action::Load { port, .. } => Effect::Loaded(port.clone(), Ok(()), None),
            Action::Unload { port } => Effect::Unloaded(port.clone(), None),
            Action::Switch(config) => {
                self.flipped = (Generation(config.generation), Moment::now());
                Effect::Done
            }
            _ => Effect::Done,
        })
    }

    fn counters(&mut self, _: &Choices) -> Result<Counters, DatapathError> {
        Ok(Counters::default())
    }
}
