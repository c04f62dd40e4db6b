//! What the engine knows of modes that the kernel refused on ports.

use std::collections::BTreeMap;

use selvedge_agent_core::{Exchanges, Observed, Placement, Refused, place};
use selvedge_hw_profiles::Port;
use selvedge_topology::names::PortName;

use super::Engine;
use crate::datapath::{Datapath, DatapathError};

/// Modes that the kernel refused, by the port.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<PortName, Refusal>);

#[derive(Debug)]
struct Refusal {
    refused: Refused,
    of: Circumstances,
    /// Whether it may be tried again.
    due: bool,
}

/// In which the kernel refused.
#[derive(Debug)]
enum Circumstances {
    /// Those of an agent before this one.
    Forgotten,
    /// Those that were seen of the port.
    Seen(Box<Port>),
}

impl Refusals {
    /// Those that the ledger has from before.
    pub(super) fn of_before(placements: &BTreeMap<PortName, Placement>) -> Self {
        let refused = placements.iter().filter(|(_, placement)| placement.requested > placement.granted);
        let refused = refused
            .map(|(port, placement)| (port.clone(), Refusal::new(placement, Circumstances::Forgotten)));
        Self(refused.collect())
    }

    /// Takes note of how a port was attached.
    pub(super) fn note(&mut self, port: &PortName, placement: &Placement, observed: &Observed) {
        match observed.machine.port(port).filter(|_| placement.requested > placement.granted) {
            None => drop(self.0.remove(port)),
            Some(interface) => {
                let of = Circumstances::Seen(deciding(&interface.seen));
                self.0.insert(port.clone(), Refusal::new(placement, of));
            }
        }
    }

    /// Forgets those of ports that are not what they were: what was refused may be granted now.
    pub(super) fn look(&mut self, observed: &Observed) {
        self.0.retain(|port, refusal| {
            let Some(interface) = observed.machine.port(port) else { return false };
            let now = deciding(&interface.seen);
            match &refusal.of {
                Circumstances::Seen(then) => *then == now,
                Circumstances::Forgotten => {
                    refusal.of = Circumstances::Seen(now);
                    true
                }
            }
        });
    }

    /// What the kernel refused.
    pub(super) fn all(&self) -> BTreeMap<PortName, Refused> {
        self.0.iter().map(|(port, refusal)| (port.clone(), refusal.refused.clone())).collect()
    }

    /// What is not to be tried again yet.
    pub(super) fn not_due(&self) -> BTreeMap<PortName, Refused> {
        let not_due = self.0.iter().filter(|(_, refusal)| !refusal.due);
        not_due.map(|(port, refusal)| (port.clone(), refusal.refused.clone())).collect()
    }
}

impl Refusal {
    fn new(Placement { requested, reason, .. }: &Placement, of: Circumstances) -> Self {
        Self { refused: Refused { mode: *requested, reason: reason.clone() }, of, due: false }
    }
}

/// What of a port may decide whether a mode is granted. Claims are not among it: what a driver does not claim is not asked for, and
/// programs on the other end of a pair change them.
fn deciding(seen: &Port) -> Box<Port> {
    Box::new(Port { xdp_features: None, ..seen.clone() })
}

impl<D: Datapath> Engine<D> {
    /// Whether a port would run in a better mode had the kernel not refused: it may grant it later.
    pub fn waits_for_modes(&self) -> bool {
        let observed = &self.observed;
        let nothing = BTreeMap::new();
        let exchanges = Exchanges { support: &observed.egress.support, refused: &nothing };
        self.refused_modes.0.keys().any(|port| {
            let (interface, runs) = (observed.machine.port(port), observed.attachments.get(port));
            let due = interface.zip(runs).and_then(|(it, runs)| exchanges.due(self.terms(), port, it, runs));
            due.is_some()
        })
    }

    /// Lets the next look try again what the kernel refused.
    pub fn try_modes_again(&mut self) {
        self.refused_modes.0.values_mut().for_each(|refusal| refusal.due = true);
    }

    /// A port that nothing can judge meanwhile keeps its mode, so that policy does not wait for a better one.
    pub(super) fn keep_mode(&mut self, port: &PortName, error: &DatapathError) {
        let observed = &self.observed;
        let Some((interface, runs)) = observed.machine.port(port).zip(observed.attachments.get(port)) else {
            return;
        };
        let mode = place::choose(self.terms(), port, interface).first;
        let refused = Refused { mode, reason: error.to_string() };
        let of = Circumstances::Seen(deciding(&interface.seen));
        tracing::warn!(%port, wanted = %mode, stays = %runs.mode, reason = refused.reason, "keeps its mode");
        self.refused_modes.0.insert(port.clone(), Refusal { refused, of, due: false });
    }

    /// Says of a port that it could run in a better mode and does not, because nothing would judge it meanwhile.
    pub(super) fn stays(&self, port: &PortName) -> Option<String> {
        let interface = self.observed.machine.port(port)?;
        let runs = self.observed.attachments.get(port)?;
        let best = place::choose(self.terms(), port, interface).first;
        let refused = self.refused_modes.0.contains_key(port);
        let selvedge_agent_core::Support::Missing { reason } = &self.observed.egress.support else {
            return None;
        };
        (best > runs.mode && !refused)
            .then(|| format!("{best} is possible by now, and is not taken up, for the port would be open meanwhile: {reason}"))
    }
}
