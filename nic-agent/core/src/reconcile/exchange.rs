//! A port's program in another mode than the one in which it was attached.
//!
//! The kernel refuses a program in the driver and one in its stack on one port, and a link keeps its mode. So the one goes before
//! the other comes, and meanwhile a **stand-in** judges: the same classifier over the same tables, at tcx ingress, before whoever
//! else is there. It comes before the exchange and goes after it, so the port is never open and loses no packet to it; an agent
//! that dies on the way leaves a port that is enforced, and the next one ends what was begun.
//!
//! A better mode is taken when it becomes possible. A lesser one only where the one that runs is demanded away: that it runs shows
//! that it is possible. What the kernel refuses is not asked for again at once; the port goes on in the mode that it had.

use std::collections::BTreeMap;

use selvedge_hw_profiles::ModeChoice;
use selvedge_topology::names::PortName;

use super::{Action, Desired, Hook, Observed, Support};
use crate::machine::{IfIndex, Interface};
use crate::place::{self, Refused, Terms};
use crate::reconcile::Attachment;

/// A link by which a program judges what a port receives while its XDP program is exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// The interface it is on; `None` when that is gone, and the link with it but for its pin.
    pub index: Option<IfIndex>,
}

/// What is known of exchanging programs for ones in other modes.
#[derive(Clone, Copy, Debug)]
pub struct Exchanges<'a> {
    /// Whether the kernel has a place for a stand-in.
    pub support: &'a Support,
    /// Modes that it refused.
    pub refused: &'a BTreeMap<PortName, Refused>,
}

impl Exchanges<'_> {
    /// The modes to try for a program that runs already, where it should run in another.
    pub fn due(
        &self,
        terms: Terms<'_>,
        port: &PortName,
        interface: &Interface,
        runs: &Attachment,
    ) -> Option<ModeChoice> {
        let choice = place::choose(terms, port, interface);
        let demand = terms.demand(port, interface).in_kernel();
        let demanded = !demand.admits(runs.mode) && demand.admits(choice.first);
        let refused = self.refused.get(port).is_some_and(|refused| refused.mode == choice.first);
        let possible = *self.support == Support::Tcx && !refused;
        (possible && (demanded || choice.first > runs.mode)).then_some(choice)
    }
}

/// The port gets its program in another mode, where it should have that; and where it has its program, no stand-in is left.
pub(super) fn exchange(
    desired: Desired<'_>,
    observed: &Observed,
    port: &PortName,
    index: IfIndex,
    actions: &mut Vec<Action>,
) {
    let stand_in = observed.stand_ins.get(port);
    let stands = stand_in.is_some_and(|stand_in| stand_in.index == Some(index));
    if stand_in.is_some() && !stands {
        actions.push(Action::Relieve { port: port.clone() });
    }
    let choice = due(desired, observed, port, index);
    if let Some(choice) = choice.clone() {
        if !stands {
            actions.push(Action::StandIn { port: port.clone(), index });
        }
        actions.push(Action::Detach { hook: Hook::Ingress, port: port.clone() });
        actions.push(Action::Attach { port: port.clone(), index, choice, displace: Vec::new() });
    }
    if stands || choice.is_some() {
        actions.push(Action::Relieve { port: port.clone() });
    }
}

fn due(desired: Desired<'_>, observed: &Observed, port: &PortName, index: IfIndex) -> Option<ModeChoice> {
    let runs = observed.attachments.get(port).filter(|attachment| attachment.index == Some(index))?;
    let exchanges = Exchanges { support: &observed.egress.support, refused: desired.refused_modes };
    exchanges.due(desired.terms(), port, observed.machine.port(port)?, runs)
}
