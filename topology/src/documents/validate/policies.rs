//! Policies: tiers, selectors, peers and ports.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::super::codes::Code;
use super::super::decode::{Field, List, Located};
use super::super::kinds::{
    BlockSpec, EgressRuleSpec, ExpressionSpec, IngressRuleSpec, Kind, MatchProtocol, Operator, PeerSpec,
    PortMatchSpec, SegmentationPolicySpec, SelectorSpec,
};
use super::super::limits;
use super::super::scalars::{Cidr, Code as MessageCode, Description, MessageType, PortReference};
use super::super::sink::Sink;
use super::fabric::Frame;
use super::rest::Groups;
use super::{Named, Names, at_most, unknown};
use crate::l4::{IcmpMatch, L4Match};
use crate::labels::{Requirement, Selector};
use crate::model::{Action, CidrBlock, Entity, Logging, Peer, Policy, Rule, RuleId, Tracking};
use crate::names::{GroupName, PolicyName, RuleName};

/// Reads every policy. What is wrong is reported and left out.
pub(super) fn policies(
    specs: Vec<Named<PolicyName, SegmentationPolicySpec>>,
    frame: Option<Frame<'_>>,
    groups: &Groups<'_>,
    sink: &mut Sink<'_>,
) -> BTreeMap<PolicyName, Policy> {
    at_most(limits::POLICIES, "policies", groups.rest.count(Kind::SegmentationPolicy), &specs, sink);
    let mut names = Names::new("SegmentationPolicy");
    let mut policies = BTreeMap::new();
    for named in specs {
        let new = names.claim(&named.name, sink);
        if let Some(policy) = policy(&named, frame, groups, sink)
            && new
        {
            policies.insert(policy.name.clone(), policy);
        }
    }
    policies
}

fn policy(
    named: &Named<PolicyName, SegmentationPolicySpec>,
    frame: Option<Frame<'_>>,
    groups: &Groups<'_>,
    sink: &mut Sink<'_>,
) -> Option<Policy> {
    let Named { name, description, spec } = named;
    let tier = spec.tier.given().zip(frame).and_then(|(tier, frame)| frame.tier(tier, sink));
    let selector = spec.selector.value().and_then(selector);
    let ingress = rules(&spec.ingress, groups, sink);
    let egress = rules(&spec.egress, groups, sink);
    Some(Policy {
        name: name.value.clone(),
        description: description.clone(),
        tier: tier?,
        selector: selector?,
        established: spec.established.value().copied().unwrap_or_default(),
        established_place: spec.established.given().map(|said| sink.place(said.span)),
        ingress,
        egress,
        place: sink.place(name.span),
    })
}

/// A rule of either direction.
struct RuleParts<'s> {
    name: &'s Field<RuleName>,
    description: &'s Field<Description>,
    action: &'s Field<Action>,
    peers: &'s Field<List<PeerSpec, 1, { limits::PEERS }>>,
    ports: &'s Field<List<PortMatchSpec, 1, { limits::RULE_PORTS }>>,
    log: &'s Field<bool>,
    stateless: &'s Field<bool>,
}

trait RuleSpec {
    fn parts(&self) -> RuleParts<'_>;
}

macro_rules! rule_spec {
    ($($spec:ty),*) => {$(
        impl RuleSpec for $spec {
            fn parts(&self) -> RuleParts<'_> {
                let Self { name, description, action, peers, ports, log, stateless } = self;
                RuleParts { name, description, action, peers, ports, log, stateless }
            }
        }
    )*};
}
rule_spec!(IngressRuleSpec, EgressRuleSpec);

fn rules<R: RuleSpec>(
    specs: &Field<List<R, 0, { limits::RULES }>>,
    groups: &Groups<'_>,
    sink: &mut Sink<'_>,
) -> Option<Vec<Rule>> {
    let specs = specs.value()?;
    let mut names = Names::new("rule");
    let mut said = BTreeMap::new();
    let mut rules = Vec::new();
    for Located { value, span } in &specs.0 {
        let parts = value.parts();
        if let Some(name) = parts.name.given() {
            names.claim(name, sink);
        }
        if let Some(rule) = rule(&parts, groups, sink) {
            let meaning = (rule.action, rule.peers.clone(), rule.ports.clone(), rule.log, rule.tracking);
            if let Some(first) = said.insert(meaning, *span) {
                let message = "this rule says what another rule of the policy says".to_owned();
                let help = format!("the other is at {}; leave one of them out", sink.place(first));
                sink.warning(Code::DuplicateRule, *span, message, help);
            }
            rules.push(Rule { place: sink.place(*span), ..rule });
        }
    }
    Some(rules)
}

fn rule(parts: &RuleParts<'_>, groups: &Groups<'_>, sink: &mut Sink<'_>) -> Option<Rule> {
    let peers = parts.peers.value().into_iter().flat_map(|peers| &peers.0);
    let peers = peers.filter_map(|spec| peer(&spec.value, groups, sink)).collect();
    let ports = parts.ports.value().into_iter().flat_map(|ports| &ports.0);
    let ports = ports.filter_map(|spec| port_match(&spec.value, sink)).collect();
    Some(Rule {
        id: RuleId(0),
        name: parts.name.value().cloned(),
        description: parts.description.value().map(|text| text.0.clone()).unwrap_or_default(),
        action: *parts.action.value()?,
        peers,
        ports,
        log: if parts.log.or(false)? { Logging::Logged } else { Logging::Default },
        tracking: if parts.stateless.or(false)? { Tracking::Stateless } else { Tracking::Stateful },
        place: Default::default(),
    })
}

fn peer(spec: &PeerSpec, groups: &Groups<'_>, sink: &mut Sink<'_>) -> Option<Peer> {
    if let Some(spec) = spec.selector.value() {
        return selector(spec).map(Peer::Selector);
    }
    entity_or_block(&spec.entity, &spec.cidr, &spec.except, &spec.cidr_group, groups, sink)
}

/// A peer that is not told by labels.
pub(crate) fn entity_or_block(
    entity: &Field<Entity>,
    cidr: &Field<Cidr>,
    except: &Field<List<Cidr, 0, { limits::EXCEPTS }>>,
    group: &Field<GroupName>,
    groups: &Groups<'_>,
    sink: &mut Sink<'_>,
) -> Option<Peer> {
    if let Some(entity) = entity.value() {
        return Some(Peer::Entity(*entity));
    }
    if let Some(cidr) = cidr.value() {
        return block(*cidr, except, sink).map(Peer::Cidr);
    }
    let group = group.given()?;
    if !groups.contains(&group.value) {
        unknown("CidrGroup", group.value.as_str(), group.span, groups.names(), sink);
        return None;
    }
    Some(Peer::Group(group.value.clone()))
}

/// A CIDR of a group.
pub(super) fn block_of_group(spec: &BlockSpec, sink: &mut Sink<'_>) -> Option<CidrBlock> {
    match spec {
        BlockSpec::Bare(cidr) => Some(CidrBlock { cidr: cidr.0, except: BTreeSet::new() }),
        BlockSpec::Holed(spec) => block(*spec.cidr.value()?, &spec.except, sink),
    }
}

fn block(
    Cidr(cidr): Cidr,
    holes: &Field<List<Cidr, 0, { limits::EXCEPTS }>>,
    sink: &mut Sink<'_>,
) -> Option<CidrBlock> {
    let mut except = BTreeSet::new();
    for Located { value: Cidr(hole), span } in holes.value().into_iter().flat_map(|holes| &holes.0) {
        if !cidr.contains(hole) {
            let family = |net: &IpNet| if net.addr().is_ipv4() { "IPv4" } else { "IPv6" };
            let message = match (family(&cidr), family(hole)) {
                (of_block, of_hole) if of_block != of_hole => {
                    format!("`{hole}` is {of_hole}, its block `{cidr}` {of_block}")
                }
                _ => format!("`{hole}` is not inside `{cidr}`"),
            };
            sink.error(Code::BadCidr, *span, message, "a hole lies inside its block".to_owned());
        }
        except.insert(*hole);
    }
    Some(CidrBlock { cidr, except })
}

/// A selector; `None` where part of it is wrong, which is reported already: half a selector would select more.
pub(crate) fn selector(spec: &SelectorSpec) -> Option<Selector> {
    let mut requirements = BTreeSet::new();
    if let Some(labels) = written(&spec.match_labels)? {
        for (key, label) in &labels.0 {
            requirements.insert(Requirement::In(key.clone(), BTreeSet::from([label.value.value.clone()])));
        }
    }
    if let Some(expressions) = written(&spec.match_expressions)? {
        for expression in &expressions.0 {
            requirements.insert(requirement(&expression.value)?);
        }
    }
    Some(Selector(requirements))
}

/// What is written in a field, `None` inside where nothing is, and `None` where it is wrong.
#[expect(clippy::option_option, reason = "the outer one is for `?`")]
fn written<T>(field: &Field<T>) -> Option<Option<&T>> {
    match field {
        Field::Absent => Some(None),
        Field::Wrong => None,
        Field::Given(located) => Some(Some(&located.value)),
    }
}

fn requirement(spec: &ExpressionSpec) -> Option<Requirement> {
    let key = spec.key.value()?.clone();
    let values = || Some(spec.values.value()?.0.iter().map(|value| value.value.clone()).collect());
    Some(match spec.operator.value()? {
        Operator::In => Requirement::In(key, values()?),
        Operator::NotIn => Requirement::NotIn(key, values()?),
        Operator::Exists => Requirement::Exists(key),
        Operator::DoesNotExist => Requirement::DoesNotExist(key),
    })
}

pub(crate) fn port_match(spec: &PortMatchSpec, sink: &mut Sink<'_>) -> Option<L4Match> {
    match *spec.protocol.value()? {
        MatchProtocol::Any => Some(L4Match::Any),
        MatchProtocol::Icmp(protocol) => Some(L4Match::Icmp { protocol, messages: messages(spec)? }),
        MatchProtocol::Ports(protocol) => {
            let port = spec.port.given()?;
            match (&port.value, spec.end_port.given()) {
                (PortReference::Any, None) => Some(L4Match::Ports { protocol, first: 0, last: u16::MAX }),
                (PortReference::Service(name), None) => {
                    Some(L4Match::Service { protocol, name: name.clone() })
                }
                (PortReference::Number(first), None) => {
                    Some(L4Match::Ports { protocol, first: *first, last: *first })
                }
                (PortReference::Number(first), Some(end)) if end.value.0 < *first => {
                    let message = format!("`endPort` {} is lower than `port` {first}", end.value.0);
                    let help = format!("for this range write `port: {}, endPort: {first}`", end.value.0);
                    sink.error(Code::OutOfRange, end.span, message, help);
                    None
                }
                (PortReference::Number(first), Some(end)) => {
                    Some(L4Match::Ports { protocol, first: *first, last: end.value.0 })
                }
                (PortReference::Any | PortReference::Service(_), Some(end)) => {
                    let help = "give `port` the first number of the range".to_owned();
                    sink.error(
                        Code::ConflictingFields,
                        end.span,
                        "`endPort` needs a `port` that is a number",
                        help,
                    );
                    None
                }
            }
        }
    }
}

fn messages(spec: &PortMatchSpec) -> Option<IcmpMatch> {
    // That `code` is there beside a number, and only there, is declared with the record.
    Some(match (spec.message_type.value()?, spec.code.value()) {
        (MessageType::Any, _) => IcmpMatch::Any,
        (MessageType::Number(kind), Some(MessageCode::Any)) => IcmpMatch::Type(*kind),
        (MessageType::Number(kind), Some(MessageCode::Number(code))) => IcmpMatch::TypeCode(*kind, *code),
        (MessageType::Number(_), None) => return None,
    })
}
