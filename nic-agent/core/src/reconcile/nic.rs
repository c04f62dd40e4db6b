//! Programs in NICs, around a change of policy.
//!
//! A NIC drops before the program in the kernel is asked, so it may drop only what that one would drop: **relaxed** before the
//! switch to what both generations drop, or to nothing; **tightened** after it. A port whose NIC refuses loses no policy by it.

use selvedge_topology::names::PortName;

use super::{Action, Desired, Observed, WantedPorts};
use crate::device::{Choice, Grounds, NicLink, NicProgram};

impl Desired<'_> {
    /// The program that the NIC of `port` is to run.
    fn nic(&self, port: &PortName) -> Option<&NicProgram> {
        match self.nics.get(port)? {
            Choice::Runs(program) => Some(program),
            Choice::Not { .. } | Choice::Unable => None,
        }
    }
}

/// Before the switch. What a NIC runs and goes on to run after it is dropped by both generations already.
pub(super) fn relax(
    desired: Desired<'_>,
    observed: &Observed,
    ports: &WantedPorts,
    actions: &mut Vec<Action>,
) {
    for (port, link) in live(observed, ports) {
        if desired.nic(port).is_some_and(|program| program.name == link.program) {
            continue;
        }
        match relaxed(desired, observed, port, link) {
            Some(program) if program.name == link.program => {}
            Some(program) => actions.extend(load(observed, port, program)),
            None => actions.push(Action::Unload { port: port.clone() }),
        }
    }
}

fn relaxed(desired: Desired<'_>, observed: &Observed, port: &PortName, link: &NicLink) -> Option<NicProgram> {
    let (plan, _) = desired.plan?;
    let grounds =
        Grounds { plan, terms: desired.terms(), machine: &observed.machine, failsafe: desired.failsafe };
    grounds.relaxed(desired.before?, port, &link.program)
}

/// After the switch, or without one.
pub(super) fn tighten(
    desired: Desired<'_>,
    observed: &Observed,
    ports: &WantedPorts,
    actions: &mut Vec<Action>,
) {
    let unloaded = |port: &PortName, actions: &[Action]| {
        actions.iter().any(|action| matches!(action, Action::Unload { port: done } if done == port))
    };
    for (port, link) in &observed.nics {
        let dead = ports.get(port).is_none_or(|wanted| link.index != Some(wanted.index));
        if (dead || desired.nic(port).is_none()) && !unloaded(port, actions) {
            actions.push(Action::Unload { port: port.clone() });
        }
    }
    for port in ports.keys() {
        let Some(program) = desired.nic(port) else { continue };
        let runs = live(observed, ports).any(|(on, link)| on == port && link.program == program.name);
        let held_back = desired.held_back.get(port) == Some(&program.name);
        if !runs && !held_back {
            actions.extend(load(observed, port, program.clone()));
        }
    }
}

/// Links on ports as they are now.
fn live<'a>(
    observed: &'a Observed,
    ports: &'a WantedPorts,
) -> impl Iterator<Item = (&'a PortName, &'a NicLink)> {
    observed.nics.iter().filter(|(port, link)| {
        let on = observed.machine.port(port).map(|interface| interface.index);
        on.is_some() && link.index == on
            || ports.get(*port).is_some_and(|wanted| link.index == Some(wanted.index))
    })
}

fn load(observed: &Observed, port: &PortName, program: NicProgram) -> Option<Action> {
    let index = observed.machine.port(port)?.index;
    Some(Action::Load { port: port.clone(), index, program })
}
