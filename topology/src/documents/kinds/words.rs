//! The words that stand for values.

use selvedge_hw_profiles::Mode;

use super::super::declare::choices;
use super::{MatchProtocol, Operator};
use crate::assertions::Expect;
use crate::claims::Unlisted;
use crate::l4::{IcmpProtocol, PortProtocol};
use crate::model::{
    Action, AgentPresence, DefaultAction, Enforcement, Entity, Established, Isolation, NodeRole, PortRole,
};
use crate::operators::Role;

choices! {
    Expect {
        "allowed" => Expect::Allowed, "Both ends allow them, or nobody enforces for either.";
        "denied" => Expect::Denied, "An end denies them.";
    }
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
    Unlisted {
        "allow" => Unlisted::Allow, "Workloads may claim them with any value.";
        "refuse" => Unlisted::Refuse, "No workload may claim them.";
    }
    Role {
        "operator" => Role::Operator, "Whoever may apply.";
        "admin" => Role::Admin, "Admins only.";
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
        "ICMP" => MatchProtocol::Icmp(IcmpProtocol::V4), "ICMP of IPv4.";
        "ICMPv6" => MatchProtocol::Icmp(IcmpProtocol::V6), "ICMP of IPv6.";
        "any" => MatchProtocol::Any, "Every protocol.";
    }
    Operator {
        "In" => Operator::In, "The label has one of the values.";
        "NotIn" => Operator::NotIn, "The label is absent or has none of the values.";
        "Exists" => Operator::Exists, "The label is there.";
        "DoesNotExist" => Operator::DoesNotExist, "The label is absent.";
    }
}
