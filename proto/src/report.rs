//! What an agent says of itself.

use std::time::SystemTime;

use prost::Message;
use selvedge_topology::failsafe::Service;
use selvedge_topology::model::RuleId;
use selvedge_topology::names::NodeName;
use selvedge_topology::placement::SeenNode;
use selvedge_topology::plan::Generation;

use crate::convert::{DecodeError, at_most, name, prose};
use crate::generation::{millis, time};
use crate::port::{self, PortReport};
use crate::proof::{self, ProofReport};
use crate::{service, wire};

/// Longest text in a report or flow, in bytes.
pub const MAX_TEXT: usize = 1024;
/// Most ports in a report.
pub const MAX_PORTS: usize = 1024;
/// Most reasons in a report.
pub const MAX_REASON_COUNTS: usize = 128;
/// Most rules in a report; an agent with more names those with most packets.
pub const MAX_RULE_COUNTS: usize = 1024;
/// Most services in a report.
pub const MAX_SERVICES: usize = 64;
/// Most generations whose revocations are in a report.
pub const MAX_REVOCATIONS: usize = 16;

/// The value of [`crate::keys::report`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The node.
    pub node: NodeName,
    /// Version of the agent.
    pub agent_version: String,
    /// Version of the contract between its programs and itself.
    pub abi_version: u32,
    /// The generation of its target; none before it has one.
    pub wanted: Option<Generation>,
    /// The generation that its tables hold; none: fail closed.
    pub in_force: Option<Generation>,
    /// Why the wanted generation is not in force, where the agent won't take it.
    pub refusal: Option<Refusal>,
    /// What came of trying the tables in force; none until the agent put some in use since it started.
    pub proof: Option<ProofReport>,
    /// Its ports.
    pub ports: Vec<PortReport>,
    /// Packets by reason.
    pub reasons: Vec<(String, Count)>,
    /// Packets by rule.
    pub rules: Vec<(RuleId, Count)>,
    /// Packets that NICs dropped before the programs in the kernel, by rule.
    pub device_rules: Vec<(RuleId, u64)>,
    /// Connections that stay until they end.
    pub connections: Occupancy,
    /// Those whose opener has not gone on after an answer, which give way to each other.
    pub half_open: Occupancy,
    /// Those of both that drain.
    pub draining: u64,
    /// Connections that the latest generations revoked, by generation.
    pub revocations: Vec<RevocationReport>,
    /// Events that found the ring full, or that could not be sent.
    pub events_lost: u64,
    /// What the node can't live without.
    pub services: Vec<Service>,
    /// When it was written, by the agent's clock.
    pub time: SystemTime,
}

/// How full a table of a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Entries.
    pub entries: u64,
    /// Entries that there is room for; 0 where that is not known.
    pub room: u64,
}

impl Occupancy {
    /// Whether it is so full (four fifths) that somebody should make room before it has to turn away what is new.
    pub fn is_pressing(&self) -> bool {
        self.room > 0 && self.entries >= self.room / 5 * 4
    }
}

impl std::fmt::Display for Occupancy {
    /// `52429 of 65536`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.entries, self.room)
    }
}

/// A generation that an agent won't take, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The generation.
    pub generation: Generation,
    /// Why: one sentence for the user.
    pub reason: String,
}

/// Connections that a generation no longer allows, each counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationReport {
    /// The generation.
    pub generation: Generation,
    /// Ended at once, also after they had been draining.
    pub cut: u64,
    /// Began to go on until they end by themselves.
    pub draining: u64,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

impl Report {
    /// As it lies in etcd.
    pub fn encode(&self) -> Vec<u8> {
        wire::Report::from(self).encode_to_vec()
    }

    /// Reads what lies in etcd.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::Report::decode(bytes)?.try_into()
    }

    /// What the ledger asks of it.
    pub fn seen(&self) -> SeenNode {
        let ports = self.ports.iter().map(|port| (port.name.clone(), port.seen()));
        SeenNode { in_force: self.in_force, ports: ports.collect(), services: self.services.clone() }
    }
}

impl From<&Report> for wire::Report {
    fn from(report: &Report) -> Self {
        let Report {
            node,
            agent_version,
            abi_version,
            wanted,
            in_force,
            refusal,
            proof,
            ports,
            reasons,
            rules,
            device_rules,
            connections,
            half_open,
            draining,
            revocations,
            events_lost,
            services,
            time,
        } = report;
        let number = |generation: &Option<Generation>| generation.map_or(0, |generation| generation.0);
        Self {
            node: node.to_string(),
            agent_version: agent_version.clone(),
            abi_version: *abi_version,
            generation_wanted: number(wanted),
            generation_in_force: number(in_force),
            refusal: refusal.as_ref().map(refusal_to_wire),
            proof: proof.as_ref().map(proof::to_wire),
            ports: ports.iter().map(port::to_wire).collect(),
            reasons: reasons.iter().map(reason_to_wire).collect(),
            rules: rules.iter().map(rule_to_wire).collect(),
            device_rules: device_rules.iter().map(drops_to_wire).collect(),
            connections: Some(occupancy_to_wire(connections)),
            half_open: Some(occupancy_to_wire(half_open)),
            draining: *draining,
            revocations: revocations.iter().map(revocations_to_wire).collect(),
            events_lost: *events_lost,
            services: services.iter().map(service::to_wire).collect(),
            time_ms: millis(*time),
        }
    }
}

impl TryFrom<wire::Report> for Report {
    type Error = DecodeError;
    fn try_from(report: wire::Report) -> Result<Self, DecodeError> {
        let wire::Report {
            node,
            agent_version,
            abi_version,
            generation_wanted,
            generation_in_force,
            refusal,
            proof,
            ports,
            reasons,
            rules,
            device_rules,
            connections,
            half_open,
            draining,
            revocations,
            events_lost,
            services,
            time_ms,
        } = report;
        at_most("services", services.len(), MAX_SERVICES)?;
        at_most("revocations", revocations.len(), MAX_REVOCATIONS)?;
        at_most("ports", ports.len(), MAX_PORTS)?;
        at_most("reasons", reasons.len(), MAX_REASON_COUNTS)?;
        at_most("rules", rules.len(), MAX_RULE_COUNTS)?;
        at_most("rules of devices", device_rules.len(), MAX_RULE_COUNTS)?;
        let generation = |number: u64| (number != 0).then_some(Generation(number));
        Ok(Self {
            node: name("node", &node)?,
            agent_version: prose("agent version", &agent_version, MAX_TEXT)?,
            abi_version,
            wanted: generation(generation_wanted),
            in_force: generation(generation_in_force),
            refusal: refusal.map(refusal_from_wire).transpose()?,
            proof: proof.map(proof::from_wire).transpose()?,
            ports: ports.into_iter().map(port::from_wire).collect::<Result<_, _>>()?,
            reasons: reasons.into_iter().map(reason_from_wire).collect::<Result<_, _>>()?,
            rules: rules.into_iter().map(rule_from_wire).collect(),
            device_rules: device_rules.into_iter().map(drops_from_wire).collect(),
            connections: occupancy_from_wire(connections),
            half_open: occupancy_from_wire(half_open),
            draining,
            revocations: revocations.into_iter().map(revocations_from_wire).collect(),
            events_lost,
            services: services.into_iter().map(service::from_wire).collect::<Result<_, _>>()?,
            time: time(time_ms)?,
        })
    }
}

fn occupancy_to_wire(occupancy: &Occupancy) -> wire::Occupancy {
    let Occupancy { entries, room } = *occupancy;
    wire::Occupancy { entries, room }
}

fn occupancy_from_wire(occupancy: Option<wire::Occupancy>) -> Occupancy {
    let wire::Occupancy { entries, room } = occupancy.unwrap_or_default();
    Occupancy { entries, room }
}

fn refusal_to_wire(refusal: &Refusal) -> wire::Refusal {
    let Refusal { generation, reason } = refusal;
    wire::Refusal { generation: generation.0, reason: reason.clone() }
}

fn refusal_from_wire(refusal: wire::Refusal) -> Result<Refusal, DecodeError> {
    let wire::Refusal { generation, reason } = refusal;
    Ok(Refusal { generation: Generation(generation), reason: prose("refusal", &reason, MAX_TEXT)? })
}

fn revocations_to_wire(revocations: &RevocationReport) -> wire::Revocations {
    let RevocationReport { generation, cut, draining } = *revocations;
    wire::Revocations { generation: generation.0, cut, draining }
}

fn revocations_from_wire(revocations: wire::Revocations) -> RevocationReport {
    let wire::Revocations { generation, cut, draining } = revocations;
    RevocationReport { generation: Generation(generation), cut, draining }
}

fn reason_to_wire((reason, count): &(String, Count)) -> wire::ReasonCount {
    let Count { packets, bytes } = *count;
    wire::ReasonCount { reason: reason.clone(), packets, bytes }
}

fn reason_from_wire(count: wire::ReasonCount) -> Result<(String, Count), DecodeError> {
    let wire::ReasonCount { reason, packets, bytes } = count;
    Ok((prose("reason", &reason, MAX_TEXT)?, Count { packets, bytes }))
}

fn drops_to_wire((rule, packets): &(RuleId, u64)) -> wire::RuleDrops {
    wire::RuleDrops { rule: rule.0, packets: *packets }
}

fn drops_from_wire(drops: wire::RuleDrops) -> (RuleId, u64) {
    let wire::RuleDrops { rule, packets } = drops;
    (RuleId(rule), packets)
}

fn rule_to_wire((rule, count): &(RuleId, Count)) -> wire::RuleCount {
    let Count { packets, bytes } = *count;
    wire::RuleCount { rule: rule.0, packets, bytes }
}

fn rule_from_wire(count: wire::RuleCount) -> (RuleId, Count) {
    let wire::RuleCount { rule, packets, bytes } = count;
    (RuleId(rule), Count { packets, bytes })
}
