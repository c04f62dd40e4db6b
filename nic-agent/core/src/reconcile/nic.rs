//! Programs in NICs, around a change of what the program in the kernel passes.
//!
//! A NIC drops before the program in the kernel is asked, so it may drop only what that one would drop: it is **relaxed** before
//! anything more is passed, be it by a new generation or as a failsafe flow, to what is dropped before and after, or to nothing;
//! and **tightened** when all is as it will be. A port whose NIC refuses loses no policy by it.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_abi::FailsafeKey;
use selvedge_topology::names::PortName;
use selvedge_topology::plan::{Generation, Plan};

use super::{Action, Desired, Observed, WantedPorts};
use crate::device::{Choice, Grounds, NicLink, NicProgram};

impl<'a> Desired<'a> {
    /// The program that the NIC of `port` is to run.
    fn nic(&self, port: &PortName) -> Option<&'a NicProgram> {
        match self.nics.get(port)? {
            Choice::Runs(program) => Some(program),
            Choice::Not { .. } | Choice::Unable => None,
        }
    }

    /// The plan that packets are judged by now, where it is known.
    fn in_force(&self, observed: &Observed) -> Option<&'a Plan> {
        let judging = Generation(observed.tables.config.generation);
        match self.plan {
            Some((plan, generation)) if generation == judging => Some(plan),
            _ => self.before,
        }
    }
}

/// What NICs run, as the list of actions grows.
pub(super) struct Nics<'a> {
    desired: Desired<'a>,
    observed: &'a Observed,
    ports: &'a WantedPorts,
    links: BTreeMap<PortName, NicLink>,
}

impl<'a> Nics<'a> {
    /// As they are before any action.
    pub(super) fn new(desired: Desired<'a>, observed: &'a Observed, ports: &'a WantedPorts) -> Self {
        Self { desired, observed, ports, links: observed.nics.clone() }
    }

    /// Before failsafe flows are passed that were not.
    pub(super) fn relax_for_failsafe(&mut self, actions: &mut Vec<Action>) {
        self.relax(self.desired.in_force(self.observed), actions);
    }

    /// Before the switch.
    pub(super) fn relax_for_switch(&mut self, actions: &mut Vec<Action>) {
        self.relax(self.desired.plan.map(|(plan, _)| plan), actions);
    }

    /// Until `next` judges. What a NIC runs and is to run at the end is dropped before and after already.
    fn relax(&mut self, next: Option<&Plan>, actions: &mut Vec<Action>) {
        let live: Vec<_> = self.links.iter().filter(|(port, link)| self.is_live(port, link)).collect();
        let mut relaxed = Vec::new();
        for (port, link) in live {
            if self.desired.nic(port).is_some_and(|program| program.name == link.program) {
                continue;
            }
            match self.relaxed(next, port) {
                Some(program) if program.name == link.program => {}
                program => relaxed.push((port.clone(), program)),
            }
        }
        for (port, program) in relaxed {
            match program {
                Some(program) => self.load(&port, program, actions),
                None => self.unload(port, actions),
            }
        }
    }

    fn relaxed(&self, next: Option<&Plan>, port: &PortName) -> Option<NicProgram> {
        let Observed { machine, tables, nics, .. } = self.observed;
        let found = &nics.get(port)?.program;
        let (terms, before) = (self.desired.terms(), self.desired.in_force(self.observed)?);
        let now = Grounds { plan: before, terms, machine, failsafe: &tables.failsafe };
        // Entries come before the switch and go after it.
        let all: BTreeSet<FailsafeKey> = tables.failsafe.union(self.desired.failsafe).copied().collect();
        let plans = [before, next?];
        now.gives(port, found).then(|| Grounds { failsafe: &all, ..now }.in_common(plans, port)).flatten()
    }

    /// When the program in the kernel passes no less any more.
    pub(super) fn tighten(&mut self, actions: &mut Vec<Action>) {
        let links = self.links.clone();
        for (port, link) in links {
            let dead = self.ports.get(&port).is_none_or(|wanted| link.index != Some(wanted.index));
            if dead || self.desired.nic(&port).is_none() {
                self.unload(port, actions);
            }
        }
        for port in self.ports.keys() {
            let Some(program) = self.desired.nic(port) else { continue };
            let runs = self.links.get(port).is_some_and(|link| link.program == program.name);
            let held_back = self.desired.held_back.get(port) == Some(&program.name);
            if !runs && !held_back {
                self.load(port, program.clone(), actions);
            }
        }
    }

    /// Whether a link is on its port as that is now.
    fn is_live(&self, port: &PortName, link: &NicLink) -> bool {
        let on = self.observed.machine.port(port).map(|interface| interface.index);
        on.is_some() && link.index == on
    }

    fn load(&mut self, port: &PortName, program: NicProgram, actions: &mut Vec<Action>) {
        let Some(interface) = self.observed.machine.port(port) else { return };
        let (index, name) = (interface.index, program.name.clone());
        self.links.insert(port.clone(), NicLink { index: Some(index), program: name });
        actions.push(Action::Load { port: port.clone(), index, program });
    }

    fn unload(&mut self, port: PortName, actions: &mut Vec<Action>) {
        self.links.remove(&port);
        actions.push(Action::Unload { port });
    }
}
