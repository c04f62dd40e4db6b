//! Flows: one verdict on one packet, as agents tell it and users see it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use selvedge_topology::identity::Identity;
use selvedge_topology::l4::Protocol;
use selvedge_topology::model::RuleId;
use selvedge_topology::names::{NodeName, PortName, WorkloadName};
use selvedge_topology::plan::Generation;

use crate::convert::{
    DecodeError, address_from_wire, address_to_wire, enumerations, name, narrow, optional_name, present,
    prose,
};
use crate::report::MAX_TEXT;
use crate::wire;

/// Most flows in one batch.
pub const MAX_BATCH_FLOWS: usize = 4096;

/// What happened to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It passed.
    Allowed,
    /// Policy denied it.
    Denied,
    /// It passed and is told of, as if it had been denied.
    Audited,
    /// Malformed, unsafe or not understood.
    Dropped,
}

enumerations! {
    verdict_to_wire, verdict_from_wire, "verdict", Verdict, Verdict { Allowed, Denied, Audited, Dropped }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Allowed => "ALLOWED",
            Self::Denied => "DENIED",
            Self::Audited => "AUDITED",
            Self::Dropped => "DROPPED",
        })
    }
}

/// Where a packet was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// XDP in the driver.
    Native,
    /// XDP in the kernel's generic hook.
    Generic,
    /// Elsewhere: where the node sends, or the agent does not know.
    None,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::None => "none",
        })
    }
}

enumerations! {
    mode_to_wire, mode_from_wire, "mode", Mode, Mode { Native, Generic, None }
}

impl TryFrom<i32> for Verdict {
    type Error = DecodeError;
    fn try_from(number: i32) -> Result<Self, DecodeError> {
        verdict_from_wire(number)
    }
}

impl From<Verdict> for wire::Verdict {
    fn from(verdict: Verdict) -> Self {
        Self::try_from(verdict_to_wire(verdict)).unwrap_or_default()
    }
}

/// Why: a stable name in kebab case, at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowReason(Box<str>);

impl FlowReason {
    /// The reason as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FlowReason {
    type Err = DecodeError;
    fn from_str(text: &str) -> Result<Self, DecodeError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !text.is_empty() && text.len() <= 64 && text.bytes().all(plain) {
            return Ok(Self(text.into()));
        }
        Err(DecodeError::Form { field: "reason", text: text.chars().take(64).collect() })
    }
}

impl fmt::Display for FlowReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One verdict on one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// When the program saw the packet.
    pub time: SystemTime,
    /// Where.
    pub node: NodeName,
    /// At which port.
    pub port: PortName,
    /// How the program was attached.
    pub mode: Mode,
    /// What of the packet could be read.
    pub packet: Observed,
    /// Bytes of the frame.
    pub length: u32,
    /// What happened.
    pub verdict: Verdict,
    /// Why.
    pub reason: FlowReason,
    /// The rule that decided, where one did.
    pub rule: Option<FlowRule>,
    /// The generation in force; none: fail closed.
    pub generation: Option<Generation>,
}

/// What of a packet could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// An IP packet.
    Ip {
        /// Who sent it.
        source: FlowEnd,
        /// Whom to.
        destination: FlowEnd,
        /// What is in it.
        transport: Transport,
    },
    /// A frame of another Ethernet type, or without a readable IP header.
    Frame {
        /// The Ethernet type.
        ether_type: u16,
    },
}

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowEnd {
    /// Its address.
    pub address: IpAddr,
    /// Its identity.
    pub identity: Identity,
    /// Its name, where the agent knows one.
    pub workload: Option<WorkloadName>,
}

/// What is in an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, UDP, SCTP.
    Ports {
        /// The protocol.
        protocol: Protocol,
        /// Port of the source.
        source: u16,
        /// Port of the destination.
        destination: u16,
        /// The header's 14th byte; zero unless TCP.
        tcp_flags: u8,
    },
    /// ICMP, ICMPv6.
    Icmp {
        /// Which of the two.
        protocol: Protocol,
        /// The message's type.
        kind: u8,
        /// Its code.
        code: u8,
    },
    /// Anything else.
    Other(Protocol),
}

impl Transport {
    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Ports { protocol, .. } | Self::Icmp { protocol, .. } | Self::Other(protocol) => *protocol,
        }
    }

    /// Ports of source and destination, where there are such.
    pub fn ports(&self) -> Option<(u16, u16)> {
        match self {
            Self::Ports { source, destination, .. } => Some((*source, *destination)),
            Self::Icmp { .. } | Self::Other(_) => None,
        }
    }
}

/// A rule, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRule {
    /// Its number.
    pub id: RuleId,
    /// `policy/ingress/<name or number>`; empty where the agent no longer knows.
    pub display: String,
}

impl From<&Flow> for wire::Flow {
    fn from(flow: &Flow) -> Self {
        let Flow { time, node, port, mode, packet, length, verdict, reason, rule, generation } = flow;
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut flow = Self {
            time_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            node: node.to_string(),
            port: port.to_string(),
            mode: mode_to_wire(*mode),
            verdict: verdict_to_wire(*verdict),
            reason: reason.to_string(),
            rule: rule
                .as_ref()
                .map(|FlowRule { id, display }| wire::FlowRule { id: id.0, display: display.clone() }),
            generation: generation.map_or(0, |generation| generation.0),
            length: *length,
            ..Self::default()
        };
        packet_to_wire(packet, &mut flow);
        flow
    }
}

fn packet_to_wire(packet: &Observed, flow: &mut wire::Flow) {
    let (source, destination, transport) = match packet {
        Observed::Frame { ether_type } => return flow.ether_type = (*ether_type).into(),
        Observed::Ip { source, destination, transport } => (source, destination, transport),
    };
    let (source_port, destination_port) = transport.ports().unwrap_or_default();
    flow.source = Some(end_to_wire(source, source_port));
    flow.destination = Some(end_to_wire(destination, destination_port));
    flow.protocol = transport.protocol().0.into();
    match *transport {
        Transport::Ports { tcp_flags, .. } => flow.tcp_flags = tcp_flags.into(),
        Transport::Icmp { kind, code, .. } => (flow.icmp_type, flow.icmp_code) = (kind.into(), code.into()),
        Transport::Other(_) => {}
    }
}

fn end_to_wire(end: &FlowEnd, port: u16) -> wire::FlowEnd {
    let FlowEnd { address, identity, workload } = end;
    wire::FlowEnd {
        address: address_to_wire(*address),
        port: port.into(),
        identity: identity.0,
        workload: workload.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

impl TryFrom<wire::Flow> for Flow {
    type Error = DecodeError;
    fn try_from(flow: wire::Flow) -> Result<Self, DecodeError> {
        let wire::Flow {
            time_ns,
            node,
            port,
            mode,
            source,
            destination,
            protocol,
            icmp_type,
            icmp_code,
            tcp_flags,
            verdict,
            reason,
            rule,
            generation,
            length,
            ether_type,
        } = flow;
        let packet = match (source, destination) {
            (None, None) => Observed::Frame { ether_type: narrow("Ethernet type", ether_type, u16::MAX)? },
            (source, destination) => {
                let (source, source_port) = end_from_wire(present("source", source)?)?;
                let (destination, destination_port) = end_from_wire(present("destination", destination)?)?;
                let protocol = Protocol(narrow("protocol", protocol, u8::MAX)?);
                let icmp =
                    (narrow("ICMP type", icmp_type, u8::MAX)?, narrow("ICMP code", icmp_code, u8::MAX)?);
                let tcp_flags = narrow("TCP flags", tcp_flags, u8::MAX)?;
                let transport = transport(protocol, (source_port, destination_port), icmp, tcp_flags);
                Observed::Ip { source, destination, transport }
            }
        };
        Ok(Self {
            time: SystemTime::UNIX_EPOCH + Duration::from_nanos(time_ns),
            node: name("node", &node)?,
            port: name("port", &port)?,
            mode: mode_from_wire(mode)?,
            packet,
            length,
            verdict: verdict_from_wire(verdict)?,
            reason: reason.parse()?,
            rule: rule.map(rule_from_wire).transpose()?,
            generation: (generation != 0).then_some(Generation(generation)),
        })
    }
}

fn end_from_wire(end: wire::FlowEnd) -> Result<(FlowEnd, u16), DecodeError> {
    let wire::FlowEnd { address, port, identity, workload } = end;
    let port = narrow("port", port, u16::MAX)?;
    let workload = optional_name("workload", &workload)?;
    Ok((FlowEnd { address: address_from_wire(&address)?, identity: Identity(identity), workload }, port))
}

fn rule_from_wire(rule: wire::FlowRule) -> Result<FlowRule, DecodeError> {
    let wire::FlowRule { id, display } = rule;
    Ok(FlowRule { id: RuleId(id), display: prose("rule display", &display, MAX_TEXT)? })
}

fn transport(protocol: Protocol, ports: (u16, u16), icmp: (u8, u8), tcp_flags: u8) -> Transport {
    let (source, destination) = ports;
    match protocol {
        Protocol::TCP => Transport::Ports { protocol, source, destination, tcp_flags },
        Protocol::UDP | Protocol::SCTP => Transport::Ports { protocol, source, destination, tcp_flags: 0 },
        Protocol::ICMP | Protocol::ICMPV6 => Transport::Icmp { protocol, kind: icmp.0, code: icmp.1 },
        other => Transport::Other(other),
    }
}
