//! Links that run a program over other tables: those of another ABI version, or ones that have lost their pins.
//!
//! Nothing of those tables is read or written but the generation they hold; connections are in tables that both share. Such a link is
//! left alone until these tables hold that generation, or a later one, and were proven. Then it gets the current program, between two
//! packets. So each port is judged by a whole generation at every moment, whenever an agent dies.

use selvedge_topology::names::PortName;
use selvedge_topology::plan::Generation;

use super::{Action, Desired, Hook, Observed, Program, WantedPorts, egress, exchange};

impl Program {
    /// The generation by which it judges, where that is in other tables.
    fn apart(self) -> Option<Generation> {
        match self {
            Self::Apart(generation) => Some(generation),
            Self::Current | Self::Outdated => None,
        }
    }
}

impl Observed {
    /// The generation that ports are judged by, in these tables or, as long as a link runs over them, in others; 0 while there is none.
    pub fn generation(&self) -> Generation {
        let elsewhere = self.apart().map(|(_, _, generation)| generation).max();
        elsewhere.unwrap_or(Generation(self.tables.config.generation))
    }

    /// Whether `port` is judged by other tables, where it receives or where it sends.
    pub(super) fn is_apart(&self, port: &PortName) -> bool {
        self.apart().any(|(_, other, _)| other == port)
    }

    /// The links that are alive and run over other tables, and the generations in those.
    fn apart(&self) -> impl Iterator<Item = (Hook, &PortName, Generation)> {
        let received =
            self.attachments.iter().map(|(port, it)| (Hook::Ingress, port, it.index, it.program.apart()));
        let sent =
            self.egress.links.iter().map(|(port, it)| (Hook::Egress, port, it.index, it.program.apart()));
        received.chain(sent).filter_map(|(hook, port, index, apart)| {
            index?;
            Some((hook, port, apart?))
        })
    }
}

/// Links get the current program where these tables, which hold the generation `holds` by then, know as much as those do; and their
/// ports what else they lack.
pub(super) fn take_over(
    desired: Desired<'_>,
    observed: &Observed,
    ports: &WantedPorts,
    holds: Generation,
    actions: &mut Vec<Action>,
) {
    if observed.apart().any(|(_, _, generation)| generation > holds) {
        return;
    }
    let refresh =
        |(hook, port, _): (Hook, &PortName, Generation)| Action::Refresh { hook, port: port.clone() };
    actions.extend(observed.apart().map(refresh));
    for (port, wanted) in ports.iter().filter(|(port, _)| observed.is_apart(port)) {
        exchange::exchange(desired, observed, port, wanted.index, actions);
        egress::attach(observed, port, wanted.index, actions);
    }
}
