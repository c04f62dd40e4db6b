//! The kinds of documents: every field, once. Decoding, the JSON Schema and the order of keys in canonical YAML
//! all follow these declarations.

use serde_json::Value as Json;

use super::constraint::Constraint::{AnyOf, Needs, NumberNeeds, OneOf, When};
use super::declare::{choices, record};
use super::decode::{Decode, FieldSpec, List, Presence};
use super::limits;
use super::scalars::{
    Cidr, Code, Description, EndpointText, LabelMap, MessageType, Port, PortReference, Time,
};
use super::schema::Definitions;
use crate::l4::PortProtocol;
use crate::labels::{LabelKey, LabelValue};
use crate::model::{
    Action, AgentPresence, DefaultAction, Enforcement, Entity, Established, Isolation, NodeRole, PortRole,
};
use crate::names::{
    ExternalName, GroupName, NodeName, PortName, ProfileName, RackName, RuleName, ServiceName, TierName,
};
use crate::timeouts;
use selvedge_hw_profiles::Mode;
use std::net::IpAddr;

/// The version of the language.
pub(crate) const API_VERSION: &str = "selvedge/v1";

/// A kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Fabric,
    Workload,
    SegmentationPolicy,
    CidrGroup,
}

/// Every kind, in the order that people read them.
pub(crate) const ALL: [Kind; 4] = [Kind::Fabric, Kind::Workload, Kind::SegmentationPolicy, Kind::CidrGroup];

impl Kind {
    /// The word for it in documents.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Fabric => "Fabric",
            Self::Workload => "Workload",
            Self::SegmentationPolicy => "SegmentationPolicy",
            Self::CidrGroup => "CidrGroup",
        }
    }

    /// The schema of its `spec`.
    pub(crate) fn schema(self, definitions: &mut Definitions) -> Json {
        match self {
            Self::Fabric => FabricSpec::schema(definitions),
            Self::Workload => WorkloadSpec::schema(definitions),
            Self::SegmentationPolicy => SegmentationPolicySpec::schema(definitions),
            Self::CidrGroup => CidrGroupSpec::schema(definitions),
        }
    }
}

const fn envelope(key: &'static str, doc: &'static str, hint: Option<&'static str>) -> FieldSpec {
    FieldSpec { key, presence: Presence::Required, doc, hint }
}

/// The fields of every document.
pub(crate) const ENVELOPE: &[FieldSpec] = &[
    envelope("apiVersion", "The version of the document language.", Some("write `apiVersion: selvedge/v1`")),
    envelope("kind", "What the document describes: Fabric, Workload, SegmentationPolicy or CidrGroup.", None),
    envelope("metadata", "The document's name.", Some("write `metadata: {name: …}`")),
    envelope("spec", "What is described.", Some("write `spec:` and below it the fields of this kind")),
];

/// The fields of every record, in the order people read them.
pub(crate) fn records() -> [&'static [FieldSpec]; 22] {
    [
        ENVELOPE,
        Metadata::FIELDS,
        FabricSpec::FIELDS,
        TierSpec::FIELDS,
        TimeoutsSpec::FIELDS,
        NodeSpec::FIELDS,
        PortSpec::FIELDS,
        HardwareSpec::FIELDS,
        DemandSpec::FIELDS,
        LinkSpec::FIELDS,
        AttachmentSpec::FIELDS,
        ExternalSpec::FIELDS,
        WorkloadSpec::FIELDS,
        ServiceSpec::FIELDS,
        SegmentationPolicySpec::FIELDS,
        SelectorSpec::FIELDS,
        ExpressionSpec::FIELDS,
        IngressRuleSpec::FIELDS,
        EgressRuleSpec::FIELDS,
        PeerSpec::FIELDS,
        PortMatchSpec::FIELDS,
        CidrGroupSpec::FIELDS,
    ]
}

record! {
    /// What a document is called.
    Metadata {
        /// The name, unique among documents of its kind: lower-case letters, digits, `-`, `_`, `.`.
        Required "name" name: super::scalars::Name;
        /// What it is for, in its author's words.
        Optional "description" description: Description;
    }

    /// The fabric: machines, wires and the frame that policy lives in.
    FabricSpec {
        /// What happens to a connection that no tier decides: `allow` or `deny`.
        Required "defaultAction" default_action: DefaultAction;
        /// What becomes of established connections that `defaultAction` denies from now on: `cut` (by default) or `drain`.
        Optional "established" established: Established;
        /// The tiers of policy, in the order in which they decide. By default emergency, platform, application (which
        /// isolates) and baseline.
        Optional "tiers" tiers: List<TierSpec, 1, { limits::TIERS }>,
            hint "leave `tiers` out for the default: emergency, platform, application, baseline";
        /// How long a silent connection counts, by its kind.
        Optional "timeouts" timeouts: TimeoutsSpec;
        /// The machines: hosts, DPUs and switches.
        Required "nodes" nodes: List<NodeSpec, 1, { limits::FABRIC_NODES }>, hint "name at least one node";
        /// The wires between ports of nodes.
        Optional "links" links: List<LinkSpec, 0, { limits::LINKS }>;
        /// What is demanded of the ports of a kind of device.
        Optional "hardware" hardware: List<HardwareSpec, 0, { limits::HARDWARE }>;
        /// Known places outside the fabric, such as the internet.
        Optional "externals" externals: List<ExternalSpec, 0, { limits::EXTERNALS }>;
    }

    /// A stage of policy.
    TierSpec {
        /// Its name.
        Required "name" name: TierName;
        /// Whether a workload that a policy of this tier selects is denied what the tier does not decide.
        Required "isolation" isolation: Isolation, hint "write `isolation: isolates` or `isolation: open`";
    }

    /// How long a silent connection counts. Each is a time with its unit, such as `90s` or `2h 5m`.
    TimeoutsSpec {
        /// TCP and SCTP whose opener went on after an answer; 3h by default.
        Optional "tcpEstablished" tcp_established: Time<{ timeouts::TCP_ESTABLISHED.least.0 }, { timeouts::TCP_ESTABLISHED.most.0 }>;
        /// TCP and SCTP before their opener goes on after an answer; 1m by default.
        Optional "tcpHalfOpen" tcp_half_open: Time<{ timeouts::TCP_HALF_OPEN.least.0 }, { timeouts::TCP_HALF_OPEN.most.0 }>;
        /// TCP and SCTP after an end said that it is over; 1m by default.
        Optional "tcpClosing" tcp_closing: Time<{ timeouts::TCP_CLOSING.least.0 }, { timeouts::TCP_CLOSING.most.0 }>;
        /// UDP; 1m by default.
        Optional "udp" udp: Time<{ timeouts::UDP.least.0 }, { timeouts::UDP.most.0 }>;
        /// ICMP and ICMPv6 echo; 30s by default.
        Optional "icmp" icmp: Time<{ timeouts::ICMP.least.0 }, { timeouts::ICMP.most.0 }>;
        /// Every other protocol; 1m by default.
        Optional "other" other: Time<{ timeouts::OTHER.least.0 }, { timeouts::OTHER.most.0 }>;
        /// A datagram that comes in fragments, from its first one; 1m by default.
        Optional "fragment" fragment: Time<{ timeouts::FRAGMENT.least.0 }, { timeouts::FRAGMENT.most.0 }>;
    }

    /// A machine.
    NodeSpec {
        /// Its name.
        Required "name" name: NodeName;
        /// What kind of machine it is: host, dpu or switch.
        Required "role" role: NodeRole;
        /// Whether an agent enforces there; `enabled` by default.
        Optional "agent" agent: AgentPresence;
        /// Its rack or other failure domain.
        Optional "rack" rack: RackName;
        /// Its own addresses.
        Optional "addresses" addresses: List<IpAddr, 0, { limits::ADDRESSES }>;
        /// What is demanded of the mode of each of its ports.
        Optional "xdp" xdp: DemandSpec;
        /// Its network interfaces.
        Required "ports" ports: List<PortSpec, 0, { limits::NODE_PORTS }>;
    }

    /// A network interface of a node.
    PortSpec {
        /// The name of the interface, at most 15 bytes.
        Required "name" name: PortName;
        /// What it faces: uplink, workload, fabric or management.
        Required "role" role: PortRole;
        /// What is demanded of its mode, beside what is of its node's ports and of its device's.
        Optional "xdp" xdp: DemandSpec;
    }

    /// What is demanded of the ports of a kind of device.
    HardwareSpec {
        /// The hardware profile that `selvedge hw match` finds for the port.
        Required "profile" profile: ProfileName, hint "`selvedge hw list` lists them";
        /// What is demanded.
        Required "xdp" xdp: DemandSpec;
    }

    /// Where the program of a port must, may or must not run: `offload` is in the NIC (before the program in the kernel), `native` in
    /// the driver, `generic` in the stack. No generation is applied where that is known not to be so.
    DemandSpec {
        /// No lesser mode will do: `offload`, or `native`.
        Optional "require" require: Mode;
        /// No better mode is wanted.
        Optional "atMost" at_most: Mode;
        /// None of these.
        Optional "forbid" forbid: List<Mode, 1, 3>;
        where [AnyOf(
            &["require", "atMost", "forbid"],
            "say what is demanded, or leave `xdp` out: the best mode there is, then",
        )]
    }

    /// A wire.
    LinkSpec {
        /// Its two ends, each `node:port`.
        Required "endpoints" endpoints: List<EndpointText, 2, 2>, hint "a wire has two ends: [\"leaf1:swp1\", \"host1:eth0\"]";
    }

    /// A port of a node.
    AttachmentSpec {
        /// The node.
        Required "node" node: NodeName;
        /// Its port.
        Required "port" port: PortName;
    }

    /// A place outside the fabric.
    ExternalSpec {
        /// Its name.
        Required "name" name: ExternalName;
        /// The port of role fabric where it enters.
        Required "attachment" attachment: AttachmentSpec;
        /// Addresses that stand for it.
        Required "addresses" addresses: List<IpAddr, 1, { limits::ADDRESSES }>, hint "give it at least one address";
    }

    /// A named thing with labels and addresses.
    WorkloadSpec {
        /// What selectors see of it; `{}` where there are none.
        Required "labels" labels: LabelMap, hint "write `labels: {}` for a workload without labels";
        /// Its addresses; no two workloads share one.
        Required "addresses" addresses: List<IpAddr, 1, { limits::ADDRESSES }>,
            hint "without an address nothing can be enforced for it";
        /// Where it is: a workload port of a node with an agent, which enforces for it; or an uplink of one that is the
        /// workload itself (bare metal).
        Optional "attachment" attachment: AttachmentSpec;
        /// That nobody enforces for it. Written where that is so, so that nobody believes otherwise.
        Optional "unmanaged" unmanaged: bool;
        /// Whether a generation is refused that is known to leave it unenforced at some port: `required` (by default) or
        /// `optional`.
        Optional "enforcement" enforcement: Enforcement;
        /// Its service ports, which policies can name.
        Optional "services" services: List<ServiceSpec, 0, { limits::SERVICES }>;
        where [AnyOf(
            &["attachment", "unmanaged"],
            "write where it is, or `unmanaged: true` where nobody enforces for it",
        )]
    }

    /// A service port of a workload.
    ServiceSpec {
        /// Its name, unique in the workload.
        Required "name" name: ServiceName;
        /// Its protocol: TCP, UDP or SCTP.
        Required "protocol" protocol: PortProtocol;
        /// Its port.
        Required "port" port: Port;
    }

    /// Allows, denies or passes connections of the workloads it selects.
    SegmentationPolicySpec {
        /// The tier it belongs to.
        Required "tier" tier: TierName;
        /// The workloads it applies to; `{}` for every workload.
        Required "selector" selector: SelectorSpec,
            hint "write `selector: {}` for every workload; nothing omitted ever widens access";
        /// What becomes of established connections that this policy denies from now on: `cut` (by default) or `drain`.
        Optional "established" established: Established;
        /// Rules on connections to them. `[]` isolates without rules.
        Optional "ingress" ingress: List<IngressRuleSpec, 0, { limits::RULES }>;
        /// Rules on connections from them. `[]` isolates without rules.
        Optional "egress" egress: List<EgressRuleSpec, 0, { limits::RULES }>;
        where [AnyOf(
            &["ingress", "egress"],
            "a policy that says nothing of either direction does nothing; `ingress: []` isolates without rules",
        )]
    }

    /// Selects workloads by label: all requirements must hold.
    SelectorSpec {
        /// Labels that must be there with these values.
        Optional "matchLabels" match_labels: LabelMap;
        /// Further requirements.
        Optional "matchExpressions" match_expressions: List<ExpressionSpec, 0, { limits::REQUIREMENTS }>;
    }

    /// A requirement on one label.
    ExpressionSpec {
        /// The label's key.
        Required "key" key: LabelKey;
        /// In, NotIn, Exists or DoesNotExist.
        Required "operator" operator: Operator;
        /// The values for In and NotIn.
        Optional "values" values: List<LabelValue, 1, { limits::VALUES }>, hint "give at least one value";
        where [
            When { field: "operator", values: &["In", "NotIn"], requires: &["values"], forbids: &[] },
            When { field: "operator", values: &["Exists", "DoesNotExist"], requires: &[], forbids: &["values"] },
        ]
    }

    /// A rule on connections to the selected workloads.
    IngressRuleSpec {
        /// Its name, unique in the policy's direction; counters stay with it when the rule is edited.
        Optional "name" name: RuleName;
        /// What it is for, in its author's words.
        Optional "description" description: Description;
        /// What it does: allow, deny, or pass to the next tier.
        Required "action" action: Action;
        /// Where connections come from: any of these.
        Required "from" peers: List<PeerSpec, 1, { limits::PEERS }>,
            hint "a rule without peers matches nobody; write `- entity: any` for everyone, or leave the rule out";
        /// Destination ports: any of these.
        Required "ports" ports: List<PortMatchSpec, 1, { limits::RULE_PORTS }>,
            hint "a rule without ports matches nothing; write `- protocol: any` for everything, or leave the rule out";
        /// Whether every decision makes an event.
        Optional "log" log: bool;
        /// Whether what it allows is judged packet by packet, so that replies need a rule of their own.
        Optional "stateless" stateless: bool;
    }

    /// A rule on connections from the selected workloads.
    EgressRuleSpec {
        /// Its name, unique in the policy's direction; counters stay with it when the rule is edited.
        Optional "name" name: RuleName;
        /// What it is for, in its author's words.
        Optional "description" description: Description;
        /// What it does: allow, deny, or pass to the next tier.
        Required "action" action: Action;
        /// Where connections go to: any of these.
        Required "to" peers: List<PeerSpec, 1, { limits::PEERS }>,
            hint "a rule without peers matches nobody; write `- entity: any` for everyone, or leave the rule out";
        /// Destination ports: any of these.
        Required "ports" ports: List<PortMatchSpec, 1, { limits::RULE_PORTS }>,
            hint "a rule without ports matches nothing; write `- protocol: any` for everything, or leave the rule out";
        /// Whether every decision makes an event.
        Optional "log" log: bool;
        /// Whether what it allows is judged packet by packet, so that replies need a rule of their own.
        Optional "stateless" stateless: bool;
    }

    /// The other end of a connection, in one of four ways.
    PeerSpec {
        /// Workloads by label; `{}` for every workload.
        Optional "selector" selector: SelectorSpec;
        /// A kind of peer: world, host, remote-node, unmanaged or any.
        Optional "entity" entity: Entity;
        /// Addresses, whoever has them.
        Optional "cidr" cidr: Cidr;
        /// Holes in `cidr`.
        Optional "except" except: List<Cidr, 0, { limits::EXCEPTS }>;
        /// Addresses of a CidrGroup.
        Optional "cidrGroup" cidr_group: GroupName;
        where [OneOf(&["selector", "entity", "cidr", "cidrGroup"]), Needs("except", "cidr")]
    }

    /// Layer-4 traffic that a rule matches.
    PortMatchSpec {
        /// TCP, UDP, SCTP, ICMP, ICMPv6 or any.
        Required "protocol" protocol: MatchProtocol, hint "write `protocol: any` for everything";
        /// A port, the name of a service of the destination workload, or any.
        Optional "port" port: PortReference;
        /// The last port of a range that begins with `port`.
        Optional "endPort" end_port: Port;
        /// The type of ICMP messages, or any.
        Optional "type" message_type: MessageType;
        /// Their code, or any.
        Optional "code" code: Code;
        where [
            When { field: "protocol", values: &["TCP", "UDP", "SCTP"], requires: &["port"], forbids: &["type", "code"] },
            When { field: "protocol", values: &["ICMP", "ICMPv6"], requires: &["type"], forbids: &["port", "endPort"] },
            When { field: "protocol", values: &["any"], requires: &[], forbids: &["port", "endPort", "type", "code"] },
            When { field: "type", values: &["any"], requires: &[], forbids: &["code"] },
            NumberNeeds("type", "code", "write `code: 0` or whichever is meant, or `code: any`"),
        ]
    }

    /// A named set of CIDRs.
    CidrGroupSpec {
        /// The CIDRs, each a text or a map with holes.
        Required "cidrs" cidrs: List<BlockSpec, 0, { limits::CIDRS }>;
    }

    /// A CIDR with holes.
    HoledCidrSpec {
        /// The block, such as 10.0.0.0/8.
        Required "cidr" cidr: Cidr;
        /// Holes in it.
        Optional "except" except: List<Cidr, 0, { limits::EXCEPTS }>;
    }
}

/// A CIDR of a group: bare, or with holes.
#[derive(Debug)]
pub(crate) enum BlockSpec {
    Bare(Cidr),
    Holed(HoledCidrSpec),
}

/// What a requirement asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// The protocol of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MatchProtocol {
    Any,
    Ports(PortProtocol),
    Icmp(crate::l4::IcmpProtocol),
}

choices! {
    DefaultAction {
        "allow" => DefaultAction::Allow, "Allowed.";
        "deny" => DefaultAction::Deny, "Denied.";
    }
    Established {
        "cut" => Established::Cut, "They end with their next packet.";
        "drain" => Established::Drain, "They go on until they end by themselves or fall silent.";
    }
    Isolation {
        "open" => Isolation::Open, "What no rule of the tier decides goes to the next tier.";
        "isolates" => Isolation::Isolates, "A selected workload is denied what no rule of the tier decides.";
    }
    NodeRole {
        "host" => NodeRole::Host, "A server.";
        "dpu" => NodeRole::Dpu, "A DPU in front of a server.";
        "switch" => NodeRole::Switch, "A switch; an agent runs on its CPU.";
    }
    AgentPresence {
        "enabled" => AgentPresence::Enabled, "An agent enforces there.";
        "none" => AgentPresence::None, "It only forwards.";
    }
    Mode {
        "offload" => Mode::Offload, "In the NIC.";
        "native" => Mode::Native, "In the driver.";
        "generic" => Mode::Generic, "In the kernel's stack.";
    }
    Enforcement {
        "required" => Enforcement::Required, "No generation that leaves it unenforced is applied, unless the command allows it.";
        "optional" => Enforcement::Optional, "It may be unenforced where nothing can enforce; `selvedge placement` says so.";
    }
    PortRole {
        "uplink" => PortRole::Uplink, "Faces the fabric.";
        "workload" => PortRole::Workload, "Faces workloads.";
        "fabric" => PortRole::Fabric, "A switch's port, to anything.";
        "management" => PortRole::Management, "Out of band; never enforced.";
    }
    Action {
        "allow" => Action::Allow, "Allows, unless a rule of the tier denies.";
        "deny" => Action::Deny, "Denies.";
        "pass" => Action::Pass, "Leaves it to the next tier.";
    }
    Entity {
        "world" => Entity::World, "Addresses of no workload and no node.";
        "host" => Entity::Host, "The node that enforces for the workload.";
        "remote-node" => Entity::RemoteNode, "Every other node.";
        "unmanaged" => Entity::Unmanaged, "Workloads that no node enforces for.";
        "any" => Entity::Any, "Everyone.";
    }
    PortProtocol {
        "TCP" => PortProtocol::Tcp, "TCP.";
        "UDP" => PortProtocol::Udp, "UDP.";
        "SCTP" => PortProtocol::Sctp, "SCTP.";
    }
    MatchProtocol {
        "TCP" => MatchProtocol::Ports(PortProtocol::Tcp), "TCP.";
        "UDP" => MatchProtocol::Ports(PortProtocol::Udp), "UDP.";
        "SCTP" => MatchProtocol::Ports(PortProtocol::Sctp), "SCTP.";
        "ICMP" => MatchProtocol::Icmp(crate::l4::IcmpProtocol::V4), "ICMP of IPv4.";
        "ICMPv6" => MatchProtocol::Icmp(crate::l4::IcmpProtocol::V6), "ICMP of IPv6.";
        "any" => MatchProtocol::Any, "Every protocol.";
    }
    Operator {
        "In" => Operator::In, "The label has one of the values.";
        "NotIn" => Operator::NotIn, "The label is absent or has none of the values.";
        "Exists" => Operator::Exists, "The label is there.";
        "DoesNotExist" => Operator::DoesNotExist, "The label is absent.";
    }
}
