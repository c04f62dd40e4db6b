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
use serde::Serialize;

use crate::l4::{L4Key, L4Match, Protocol};
use crate::model::{
    Action, Attachment, DefaultAction, Direction, Endpoint, Entity, Established, Isolation, Logging, Model,
    Peer, Place, Policy, PortRole, Rule, RuleId, Tier, Tracking, Workload,
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
    walk(model, selecting, subject, direction, peer, key).judgement
}

/// How a workload's policy came to what it says.
#[derive(Clone, Debug)]
pub struct Walk<'m> {
    /// The tiers in order, as far as they were walked.
    pub stages: Vec<Stage<'m>>,
    /// What it came to.
    pub judgement: Judgement,
}

/// A tier, and what there is in it for a workload, a direction, a peer and a layer-4 key.
#[derive(Clone, Debug)]
pub struct Stage<'m> {
    /// The tier.
    pub tier: &'m Tier,
    /// Its policies that select the workload for the direction.
    pub policies: Vec<&'m Policy>,
    /// The rules of them that match peer and key; of those with one action, the first is the one that counts.
    pub matching: Vec<(&'m Policy, &'m Rule)>,
}

impl<'m> Stage<'m> {
    /// The rule that the tier goes by: a deny, else an allow, else a pass; `None` where none matches.
    pub fn deciding(&self) -> Option<(&'m Policy, &'m Rule)> {
        [Action::Deny, Action::Allow, Action::Pass]
            .into_iter()
            .find_map(|action| self.matching.iter().copied().find(|(_, rule)| rule.action == action))
    }

    /// Whether the tier's default denies where it has no rule to go by.
    pub fn denies_by_default(&self) -> bool {
        self.tier.isolation == Isolation::Isolates && !self.policies.is_empty()
    }

    /// What the tier says; `None`: the next one is asked.
    fn judgement(&self, direction: Direction) -> Option<Judgement> {
        let Self { tier, policies, matching } = self;
        let Some((policy, rule)) = self.deciding() else {
            if !self.denies_by_default() {
                return None;
            }
            let all_drain = policies.iter().all(|policy| policy.established == Established::Drain);
            let established = if all_drain { Established::Drain } else { Established::Cut };
            let display = display_tier_default(&tier.name, direction);
            return Some(by_default(Outcome::denied(established), tier.default_rules.of(direction), display));
        };
        let outcome = match (rule.action, rule.tracking) {
            (Action::Pass, _) => return None,
            (Action::Deny, _) => Outcome::denied(policy.established),
            (Action::Allow, Tracking::Stateful) => Outcome::Allowed,
            (Action::Allow, Tracking::Stateless) => Outcome::AllowedStateless,
        };
        let logged =
            matching.iter().any(|(_, other)| other.action == rule.action && other.log == Logging::Logged);
        let display = display(&policy.name, direction, rule);
        Some(Judgement { outcome, rule: rule.id, display, place: Some(rule.place.clone()), logged })
    }
}

/// The walk behind [`judge`], where `selecting` are all policies that select `subject`.
pub(crate) fn walk<'m>(
    model: &'m Model,
    selecting: &[&'m Policy],
    subject: &Workload,
    direction: Direction,
    peer: &Party<'_>,
    key: L4Key,
) -> Walk<'m> {
    let mut stages = Vec::new();
    for (index, tier) in model.fabric.tiers.iter().enumerate() {
        let in_tier = selecting.iter().copied().filter(|policy| policy.tier == index);
        let policies: Vec<_> = in_tier.filter(|policy| policy.rules(direction).is_some()).collect();
        let mut matching: Vec<(&Policy, &Rule)> = policies
            .iter()
            .flat_map(|policy| policy.rules(direction).into_iter().flatten().map(|rule| (*policy, rule)))
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
        let stage = Stage { tier, policies, matching };
        let judgement = stage.judgement(direction);
        stages.push(stage);
        if let Some(judgement) = judgement {
            return Walk { stages, judgement };
        }
    }
    let outcome = match model.fabric.default_action {
        DefaultAction::Allow => Outcome::Allowed,
        DefaultAction::Deny => Outcome::denied(model.fabric.established),
    };
    let display = display_fabric_default(direction);
    let judgement = by_default(outcome, model.fabric.default_rules.of(direction), display);
    Walk { stages, judgement }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
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
    let says = |side: Option<Side<'_>>| {
        side.map(|Side { subject, direction, peer }| judge(model, subject, direction, &peer, key))
    };
    let [egress, ingress] = sides(model, source, destination).map(says);
    let outcome = fate(egress.iter().chain(&ingress).map(|judgement| judgement.outcome));
    FlowVerdict { outcome, egress, ingress }
}

/// One end of a new connection: whose policy is asked, and about whom.
#[derive(Clone, Copy, Debug)]
pub struct Side<'m> {
    /// The workload that is enforced for.
    pub subject: &'m Workload,
    /// Egress at the source, ingress at the destination.
    pub direction: Direction,
    /// The other end, as seen from the subject's node.
    pub peer: Party<'m>,
}

/// Whose policy decides on a new connection: the source's egress and the destination's ingress, where these are enforced for.
pub fn sides(model: &Model, source: IpAddr, destination: IpAddr) -> [Option<Side<'_>>; 2] {
    let side = |own: IpAddr, other: IpAddr, direction| {
        let (subject, endpoint) = managed_at(model, own)?;
        Some(Side { subject, direction, peer: Party::seen_from(model, &endpoint.node, other) })
    };
    [side(source, destination, Direction::Egress), side(destination, source, Direction::Ingress)]
}

/// What becomes of a new connection about which those ends that are enforced for say `outcomes`.
pub(crate) fn fate(outcomes: impl Iterator<Item = Outcome>) -> FlowOutcome {
    let mut outcomes = outcomes.peekable();
    if outcomes.peek().is_none() {
        FlowOutcome::Unenforced
    } else if outcomes.all(Outcome::is_allowed) {
        FlowOutcome::Allowed
    } else {
        FlowOutcome::Denied
    }
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
