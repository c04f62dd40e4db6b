//! What is demanded of a port's mode and is not so.

use std::collections::BTreeMap;

use selvedge_hw_profiles::{Demand, Mode};
use selvedge_topology::names::PortName;

use super::{Terms, choose};
use crate::device::{Choice, Choices, Grounds};
use crate::machine::Interface;
use crate::reconcile::{Attachment, Exchanges};

/// A demand that a port does not meet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("port {port} {runs}, and {demand} is demanded: {reason}")]
pub struct Unmet {
    /// The port.
    pub port: PortName,
    /// How it runs, or would.
    pub runs: String,
    /// What is demanded.
    pub demand: Demand,
    /// Why it is not so.
    pub reason: String,
}

/// The first port of the plan that does not run as is demanded, or would not, by what its NIC is to run.
pub fn unmet(
    grounds: Grounds<'_>,
    nics: &Choices,
    attachments: &BTreeMap<PortName, Attachment>,
    exchanges: Exchanges<'_>,
) -> Option<Unmet> {
    grounds.plan.ports.iter().find_map(|port| {
        let interface = grounds.machine.port(&port.name)?;
        let attached = attachments.get(&port.name).filter(|found| found.index == Some(interface.index));
        let runs = attached.map(|found| Runs {
            mode: found.mode,
            exchanged: exchanges.due(grounds.terms, &port.name, interface, found).is_some(),
            refused: exchanges.refused.get(&port.name).map(|refused| refused.reason.as_str()),
        });
        of_port(grounds.terms, &port.name, interface, (runs, nics.get(&port.name)))
    })
}

/// How a port runs, whether it is about to run in another mode, and why the kernel would not have that.
struct Runs<'a> {
    mode: Mode,
    exchanged: bool,
    refused: Option<&'a str>,
}

fn of_port(
    terms: Terms<'_>,
    port: &PortName,
    interface: &Interface,
    (runs, nic): (Option<Runs<'_>>, Option<&Choice>),
) -> Option<Unmet> {
    let demand = terms.demand(port, interface);
    let unmet = |runs: String, reason: String| {
        Some(Unmet { port: port.clone(), runs, demand: demand.clone(), reason })
    };
    let choice = choose(terms, port, interface);
    let could = demand.in_kernel().admits(choice.first);
    match runs {
        Some(Runs { mode, exchanged: false, refused }) if !demand.in_kernel().admits(mode) => {
            let stays = "it was attached so before, and would be open while that is changed without tcx (Linux 6.6); `selvedge-agent \
                         detach`, and start the agent again, while nothing depends on it";
            let reason = match refused {
                _ if !could => choice.reason,
                Some(words) => format!("{} refused: {words}", choice.first),
                None => stays.to_owned(),
            };
            unmet(format!("runs {mode}"), reason)
        }
        None if !could => unmet(format!("would run {}", choice.first), choice.reason),
        _ if demand.require == Some(Mode::Offload) => {
            let reason = match nic {
                Some(Choice::Runs(_)) => return None,
                Some(Choice::Not { reason }) => reason.clone(),
                Some(Choice::Unable) | None => terms.no_offload(port, interface),
            };
            unmet("gets no program in its NIC".to_owned(), reason)
        }
        _ => None,
    }
}
