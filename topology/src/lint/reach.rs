//! Peers and ports of rules that can match nothing.

use super::coverage::{contradiction, is_hollow};
use super::selection::Selection;
use super::{Marked, Warnings};
use crate::documents::codes::Code;
use crate::l4::{L4Match, PortProtocol};
use crate::model::{Direction, Entity, Model, Peer, Policy, Rule};
use crate::names::ServiceName;

pub(super) fn rules_that_match_nothing(
    model: &Model,
    selection: &mut Selection<'_>,
    warnings: &mut Warnings,
) {
    for policy in model.policies.values() {
        for direction in Direction::BOTH {
            for rule in policy.rules(direction).unwrap_or_default() {
                peers(rule, model, selection, warnings);
                services(policy, direction, rule, selection, warnings);
            }
        }
    }
}

fn peers(rule: &Rule, model: &Model, selection: &mut Selection<'_>, warnings: &mut Warnings) {
    for peer in &rule.peers {
        let why = match peer {
            Peer::Selector(selector) => contradiction(selector).or_else(|| {
                selection.of(selector).is_empty().then(|| "no workload has such labels".to_owned())
            }),
            Peer::Cidr(block) => is_hollow(block).then(|| "its holes cover the whole block".to_owned()),
            Peer::Group(name) => {
                let mut blocks = model.cidr_groups.get(name).into_iter().flatten();
                blocks.all(is_hollow).then(|| "the group has no address".to_owned())
            }
            Peer::Entity(_) => None,
        };
        if let Some(why) = why {
            let message = || format!("peer `{peer}` of this rule matches nothing: {why}");
            warnings.add(
                Code::NeverMatches,
                Marked::Line(&rule.place),
                message,
                "correct the peer or leave it out",
            );
        }
    }
}

/// Names of services that no destination of the rule has.
fn services(
    policy: &Policy,
    direction: Direction,
    rule: &Rule,
    selection: &mut Selection<'_>,
    warnings: &mut Warnings,
) {
    for ports in &rule.ports {
        let L4Match::Service { protocol, name } = ports else { continue };
        let destinations = destinations(policy, direction, rule, selection);
        if destinations.is_empty() {
            // Said of the policy or the peers already.
            continue;
        }
        let offered = destinations.iter().any(|class| offers(selection, *class, name, *protocol));
        if !offered {
            let message =
                || format!("port `{ports}` of this rule matches nothing: no destination has such a service");
            let help = "give the workloads this service, or write the port's number";
            warnings.add(Code::NeverMatches, Marked::Line(&rule.place), message, help);
        }
    }
}

fn offers(selection: &Selection<'_>, class: usize, name: &ServiceName, protocol: PortProtocol) -> bool {
    selection.classes()[class].services.get(name).is_some_and(|service| service.protocol == protocol)
}

/// The classes that may be the destination: all, where it isn't certain.
fn destinations(
    policy: &Policy,
    direction: Direction,
    rule: &Rule,
    selection: &mut Selection<'_>,
) -> Vec<usize> {
    if direction == Direction::Ingress {
        return selection.of(&policy.selector).to_vec();
    }
    let mut destinations = Vec::new();
    for peer in &rule.peers {
        match peer {
            Peer::Selector(selector) => destinations.extend(selection.of(selector).iter()),
            // Workloads are none of these.
            Peer::Entity(Entity::World | Entity::Host | Entity::RemoteNode) => {}
            Peer::Entity(Entity::Unmanaged | Entity::Any) | Peer::Cidr(_) | Peer::Group(_) => {
                return (0..selection.classes().len()).collect();
            }
        }
    }
    destinations
}
