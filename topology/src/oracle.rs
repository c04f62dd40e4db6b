//! The oracle: what policy means, in as few words as it can be said. Slow on purpose.
//!
//! For a workload, a direction, a peer and a layer-4 key:
//!
//! 1. Walk the tiers in order. In a tier, take the rules of all policies that select the workload for the
//!    direction and that match peer and key.
//! 2. Any deny: denied. Else any allow: allowed. Else any pass: next tier.
//! 3. Else, if the tier isolates and any of its policies selects the workload for the direction: denied, by
//!    the tier's default. Else: next tier.
//! 4. After the last tier: the fabric's default.
//!
//! Who denies also says what becomes of connections that were established before: a deny rule as its policy says,
//! and cut where several match and one of them cuts; a tier's default drains if all of its policies that select
//! the workload for the direction do; the fabric's default as the fabric says.
//!
//! Everything else that decides (compiled tables, XDP programs, device programs) is checked against this.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::l4::{L4Key, L4Match, Protocol};
use crate::model::{
    Action, Attachment, DefaultAction, Direction, Endpoint, Entity, Established, Isolation, Logging, Model,
    Peer, Place, Policy, PortRole, Rule, RuleId, Tracking, Workload,
};
use crate::names::NodeName;
use crate::plan::Outcome;
use crate::rules::{display, display_fabric_default, display_tier_default};

/// Who has an address, as seen from one node.
#[derive(Clone, Copy, Debug)]
pub enum Who<'m> {
    /// A workload.
    Workload(&'m Workload),
    /// That node itself.
    Host,
    /// Another node.
    RemoteNode,
    /// None of these.
    World,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Party<'m> {
    /// Its address.
    pub address: IpAddr,
    /// Who has it.
    pub who: Who<'m>,
}

impl<'m> Party<'m> {
    /// Who has `address`, as seen from `node`.
    pub fn seen_from(model: &'m Model, node: &NodeName, address: IpAddr) -> Self {
        let who = if let Some(workload) = workload_at(model, address) {
            Who::Workload(workload)
        } else {
            match model.fabric.nodes.values().find(|candidate| candidate.addresses.contains(&address)) {
                Some(owner) if owner.name == *node => Who::Host,
                Some(_) => Who::RemoteNode,
                None => Who::World,
            }
        };
        Self { address, who }
    }
}

/// The network in which an address is for [`may_send`]: 24 bits of IPv4, 64 of IPv6.
pub fn network(address: IpAddr) -> IpNet {
    IpNet::new(address, if address.is_ipv4() { 24 } else { 64 }).unwrap_or(address.into()).trunc()
}

/// Whether what `node` itself sends may come from `address`: its own, that of a workload that it is (attached to an uplink), or one
/// that is nobody's and in no network in which there are workloads. So no node has to know all addresses, and none sends as another end.
pub fn may_send(model: &Model, node: &NodeName, address: IpAddr) -> bool {
    match Party::seen_from(model, node, address).who {
        Who::Host => true,
        Who::RemoteNode => false,
        Who::Workload(workload) => {
            let role = |at: &Endpoint| model.fabric.nodes.get(&at.node)?.ports.get(&at.port).copied();
            matches!(&workload.attachment, Attachment::Managed(at) if at.node == *node && role(at) == Some(PortRole::Uplink))
        }
        Who::World => {
            let mut taken = model.workloads.values().flat_map(|workload| &workload.addresses);
            !taken.any(|taken| network(*taken) == network(address))
        }
    }
}

/// The decision of one workload's policy on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What happens.
    pub outcome: Outcome,
    /// The rule, or default, that decides.
    pub rule: RuleId,
    /// That rule as users see it.
    pub display: String,
    /// Where the documents say it; `None` for a default.
    pub place: Option<Place>,
    /// Whether a rule of those that decide wants it logged.
    pub logged: bool,
}

/// What `subject`'s policy says of a connection with `peer` in `direction`.
pub fn judge(
    model: &Model,
    subject: &Workload,
    direction: Direction,
    peer: &Party<'_>,
    key: L4Key,
) -> Judgement {
    judge_by(model, &selecting(model, subject), subject, direction, peer, key)
}

/// The policies that select `subject`, for many questions about one workload.
pub(crate) fn selecting<'m>(model: &'m Model, subject: &Workload) -> Vec<&'m Policy> {
    model.policies.values().filter(|policy| policy.selector.matches(&subject.labels)).collect()
}

/// [`judge`], where `selecting` are all policies that select `subject`.
pub(crate) fn judge_by(
    model: &Model,
    selecting: &[&Policy],
    subject: &Workload,
    direction: Direction,
    peer: &Party<'_>,
    key: L4Key,
) -> Judgement {
    for (index, tier) in model.fabric.tiers.iter().enumerate() {
        let policies: Vec<(&Policy, &[Rule])> = selecting
            .iter()
            .filter(|policy| policy.tier == index)
            .filter_map(|policy| Some((*policy, policy.rules(direction)?)))
            .collect();
        let mut matching: Vec<(&Policy, &Rule)> = policies
            .iter()
            .flat_map(|(policy, rules)| rules.iter().map(move |rule| (*policy, rule)))
            .filter(|(_, rule)| rule.peers.iter().any(|candidate| peer_matches(model, candidate, peer)))
            .filter(|(_, rule)| {
                rule.ports.iter().any(|port| port_matches(port, direction, subject, peer, key))
            })
            .collect();
        // Where several rules would do, a deny that cuts goes before one that drains, and a tracked allow before an
        // untracked one; then name and number decide.
        let drains = |policy: &Policy, rule: &Rule| {
            rule.action == Action::Deny && policy.established == Established::Drain
        };
        matching.sort_by_key(|(policy, rule)| (drains(policy, rule), rule.tracking, &policy.name, rule.id));
        let deciding = [Action::Deny, Action::Allow, Action::Pass]
            .into_iter()
            .find_map(|action| matching.iter().find(|(_, rule)| rule.action == action));
        let Some((policy, rule)) = deciding else {
            if tier.isolation == Isolation::Isolates && !policies.is_empty() {
                let all_drain = policies.iter().all(|(policy, _)| policy.established == Established::Drain);
                let established = if all_drain { Established::Drain } else { Established::Cut };
                let display = display_tier_default(&tier.name, direction);
                return by_default(Outcome::denied(established), tier.default_rules.of(direction), display);
            }
            continue;
        };
        let outcome = match (rule.action, rule.tracking) {
            (Action::Pass, _) => continue,
            (Action::Deny, _) => Outcome::denied(policy.established),
            (Action::Allow, Tracking::Stateful) => Outcome::Allowed,
            (Action::Allow, Tracking::Stateless) => Outcome::AllowedStateless,
        };
        let logged =
            matching.iter().any(|(_, other)| other.action == rule.action && other.log == Logging::Logged);
        let display = display(&policy.name, direction, rule);
        return Judgement { outcome, rule: rule.id, display, place: Some(rule.place.clone()), logged };
    }
    let outcome = match model.fabric.default_action {
        DefaultAction::Allow => Outcome::Allowed,
        DefaultAction::Deny => Outcome::denied(model.fabric.established),
    };
    by_default(outcome, model.fabric.default_rules.of(direction), display_fabric_default(direction))
}

fn by_default(outcome: Outcome, rule: RuleId, display: String) -> Judgement {
    Judgement { outcome, rule, display, place: None, logged: false }
}

fn peer_matches(model: &Model, candidate: &Peer, peer: &Party<'_>) -> bool {
    match candidate {
        Peer::Selector(selector) => {
            matches!(peer.who, Who::Workload(workload) if selector.matches(&workload.labels))
        }
        Peer::Entity(Entity::Any) => true,
        Peer::Entity(Entity::World) => matches!(peer.who, Who::World),
        Peer::Entity(Entity::Host) => matches!(peer.who, Who::Host),
        Peer::Entity(Entity::RemoteNode) => matches!(peer.who, Who::RemoteNode),
        Peer::Entity(Entity::Unmanaged) => {
            matches!(peer.who, Who::Workload(workload) if matches!(workload.attachment, Attachment::Unmanaged(_)))
        }
        // By address alone, whoever has it: nothing narrower can shadow it.
        Peer::Cidr(block) => block.contains(peer.address),
        Peer::Group(name) => model
            .cidr_groups
            .get(name)
            .is_some_and(|blocks| blocks.iter().any(|block| block.contains(peer.address))),
    }
}

fn port_matches(
    port: &L4Match,
    direction: Direction,
    subject: &Workload,
    peer: &Party<'_>,
    key: L4Key,
) -> bool {
    match port {
        L4Match::Any => true,
        L4Match::Ports { protocol, first, last } => {
            key.protocol() == Protocol::from(*protocol) && (*first..=*last).contains(&key.low())
        }
        L4Match::Service { protocol, name } => {
            let destination = match (direction, peer.who) {
                (Direction::Ingress, _) => Some(subject),
                (Direction::Egress, Who::Workload(workload)) => Some(workload),
                (Direction::Egress, _) => None,
            };
            destination.and_then(|workload| workload.services.get(name)).is_some_and(|service| {
                service.protocol == *protocol && key == L4Key::new(service.protocol.into(), service.port)
            })
        }
        L4Match::Icmp { protocol, messages } => {
            let (first, last) = messages.range();
            key.protocol() == Protocol::from(*protocol) && (first..=last).contains(&key.low())
        }
    }
}

/// The fate of a new connection across the whole fabric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowVerdict {
    /// What happens to it.
    pub outcome: FlowOutcome,
    /// What the source's policy says; `None` where nobody enforces for the source.
    pub egress: Option<Judgement>,
    /// What the destination's policy says; `None` where nobody enforces for the destination.
    pub ingress: Option<Judgement>,
}

/// What happens to a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowOutcome {
    /// Every end that is enforced for allows it.
    Allowed,
    /// An end denies it.
    Denied,
    /// Nobody enforces for either end.
    Unenforced,
}

/// The fate of a new connection from `source` to `destination`: allowed if the source's egress allows it (where the
/// source is enforced for) and the destination's ingress does (where the destination is).
pub fn flow(model: &Model, source: IpAddr, destination: IpAddr, key: L4Key) -> FlowVerdict {
    let end = |own: IpAddr, other: IpAddr, direction| {
        let (workload, endpoint) = managed_at(model, own)?;
        Some(judge(model, workload, direction, &Party::seen_from(model, &endpoint.node, other), key))
    };
    let egress = end(source, destination, Direction::Egress);
    let ingress = end(destination, source, Direction::Ingress);
    let mut judged = egress.iter().chain(&ingress).peekable();
    let outcome = if judged.peek().is_none() {
        FlowOutcome::Unenforced
    } else if judged.all(|judgement| judgement.outcome.is_allowed()) {
        FlowOutcome::Allowed
    } else {
        FlowOutcome::Denied
    };
    FlowVerdict { outcome, egress, ingress }
}

fn workload_at(model: &Model, address: IpAddr) -> Option<&Workload> {
    model.workloads.values().find(|workload| workload.addresses.contains(&address))
}

fn managed_at(model: &Model, address: IpAddr) -> Option<(&Workload, &Endpoint)> {
    let workload = workload_at(model, address)?;
    match &workload.attachment {
        Attachment::Managed(endpoint) => Some((workload, endpoint)),
        Attachment::Unmanaged(_) => None,
    }
}
