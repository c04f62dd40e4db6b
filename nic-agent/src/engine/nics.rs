//! What the engine knows of NICs: what each is to run, and what each refused.

use std::collections::BTreeMap;

use selvedge_agent_core::device::cost;
use selvedge_agent_core::place::Terms;
use selvedge_agent_core::{Choice, Choices, Grounds, Interface, LowerError, ProgramName};
use selvedge_codegen::Hits;
use selvedge_proto::MAX_SHED;
use selvedge_topology::names::PortName;
use selvedge_topology::placement::{Counting, DeviceCost, Nic};
use selvedge_topology::plan::Generation;

use super::Engine;
use super::report::cut;
use crate::datapath::{Datapath, NicRefusal};

/// A program that a NIC refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    program: ProgramName,
    reason: String,
    /// Whether it may be tried again.
    due: bool,
}

impl<D: Datapath> Engine<D> {
    /// What becomes of the NICs of the accepted plan's ports.
    pub(super) fn choose_nics(&self) -> Result<Choices, LowerError> {
        self.choices_by(self.worth.hits())
    }

    /// What they would be, were programs made by `hits`.
    pub(super) fn choices_by(&self, hits: Option<&Hits>) -> Result<Choices, LowerError> {
        let Some(plan) = self.plan() else { return Ok(Choices::new()) };
        let terms = Terms { profiles: &self.settings.profiles, demands: Some(&plan.demands) };
        let (machine, failsafe) = (&self.observed.machine, &self.failsafe);
        Grounds { plan, terms, machine, failsafe }.choices(hits)
    }

    /// Whether a NIC refused what it is to run: it may take it later.
    pub fn waits_for_nics(&self) -> bool {
        self.refused_by_nics.iter().any(|(port, refused)| self.is_wanted(port, &refused.program))
    }

    /// Lets the next look try again what NICs refused.
    pub fn try_nics_again(&mut self) {
        self.refused_by_nics.values_mut().for_each(|refused| refused.due = true);
    }

    /// What is not to be tried again yet.
    pub(super) fn held_back(&self) -> BTreeMap<PortName, ProgramName> {
        let waiting = self.refused_by_nics.iter().filter(|(_, refused)| !refused.due);
        waiting.map(|(port, refused)| (port.clone(), refused.program.clone())).collect()
    }

    pub(super) fn loaded(&mut self, port: PortName, loaded: Result<(), NicRefusal>) {
        match loaded {
            Ok(()) => drop(self.refused_by_nics.remove(&port)),
            Err(refusal) => {
                let Some(Choice::Runs(program)) = self.nics.get(&port) else { return };
                let refused =
                    Refused { program: program.name.clone(), reason: refusal.to_string(), due: false };
                let known =
                    self.refused_by_nics.get(&port).is_some_and(|known| known.reason == refused.reason);
                if !known {
                    tracing::warn!(%port, reason = refused.reason, "the program in the kernel judges all of it");
                }
                self.refused_by_nics.insert(port, refused);
            }
        }
    }

    /// Keeps the plan in force at hand while another takes its place.
    pub(super) fn leave_behind(&mut self) {
        let in_force = Generation(self.observed.tables.config.generation);
        if let Some(accepted) = self.accepted.take_if(|accepted| accepted.target.generation == in_force) {
            self.before = Some((in_force, accepted.plan));
        }
    }

    /// What a report says of a port's NIC.
    pub(super) fn nic(&self, port: &PortName, interface: &Interface) -> Nic {
        let program = match self.nics.get(port) {
            None | Some(Choice::Unable) => return Nic::Unable,
            Some(Choice::Not { reason }) => return Nic::Idle { reason: cut(reason.clone()) },
            Some(Choice::Runs(program)) => program,
        };
        let link = self.observed.nics.get(port).filter(|link| link.index == Some(interface.index));
        let known = self.plan().zip(self.terms().offload(interface));
        if let Some((plan, limits)) = known.filter(|_| link.is_some_and(|link| link.program == program.name))
        {
            let cost = cost(program, limits, plan, MAX_SHED);
            let (incomplete, shed_why) = (cut(cost.incomplete), cut(cost.shed_why));
            let counting = match self.devices.unread(port) {
                Some(reason) => Counting::Unread { reason: cut(reason.clone()) },
                None => cost.counting,
            };
            return Nic::Runs { program: DeviceCost { counting, incomplete, shed_why, ..cost } };
        }
        let refused = self.refused_by_nics.get(port).filter(|refused| refused.program == program.name);
        let reason = refused.map_or_else(|| "not loaded yet".to_owned(), |refused| refused.reason.clone());
        Nic::Idle { reason: cut(reason) }
    }

    fn is_wanted(&self, port: &PortName, name: &ProgramName) -> bool {
        matches!(self.nics.get(port), Some(Choice::Runs(program)) if program.name == *name)
    }
}
