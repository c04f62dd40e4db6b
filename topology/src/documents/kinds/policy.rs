//! Policies, and the groups of CIDRs that they name.

use super::super::constraint::Constraint::{AnyOf, Needs, NumberNeeds, OneOf, When};
use super::super::declare::record;
use super::super::decode::List;
use super::super::limits;
use super::super::scalars::{Cidr, Code, Description, LabelMap, MessageType, Port, PortReference};
use crate::l4::{IcmpProtocol, PortProtocol};
use crate::labels::{LabelKey, LabelValue};
use crate::model::{Action, Entity, Established};
use crate::names::{GroupName, RuleName, TierName};

record! {
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
    Icmp(IcmpProtocol),
}
