//! The fabric: machines, wires and the frame that policy lives in.

use std::net::IpAddr;

use selvedge_hw_profiles::Mode;

use super::super::constraint::Constraint::AnyOf;
use super::super::declare::record;
use super::super::decode::List;
use super::super::limits;
use super::super::scalars::{EndpointText, Time};
use crate::claims::{LabelScope, Unlisted};
use crate::labels::LabelValue;
use crate::model::{AgentPresence, DefaultAction, Established, Isolation, NodeRole, PortRole};
use crate::names::{ExternalName, NodeName, OperatorName, PortName, ProfileName, RackName, TierName};
use crate::operators::Role;
use crate::timeouts;

record! {
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
        /// Which labels workloads may claim, and who may set them. Only an admin may change it, and `unlistedLabels`.
        Optional "labels" labels: List<LabelRuleSpec, 0, { limits::LABEL_RULES }>;
        /// Whether workloads may claim labels that `labels` does not list: `allow` (by default) or `refuse`.
        Optional "unlistedLabels" unlisted_labels: Unlisted;
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

    /// What holds for a label of workloads.
    LabelRuleSpec {
        /// The label's key; or a prefix with its `/`, such as `pci.example.com/`, for every key under it.
        Required "key" key: LabelScope;
        /// The values that may be claimed; any, where none are said.
        Optional "values" values: List<LabelValue, 1, { limits::VALUES }>,
            hint "leave `values` out where any may be claimed";
        /// Who may give it to a workload, change it and take it away; whoever may apply, where nobody is said.
        Optional "setBy" set_by: SettersSpec;
    }

    /// Who may set a label: any of these.
    SettersSpec {
        /// Operators of this role: `admin`, or `operator` for whoever may apply.
        Optional "role" role: Role;
        /// Operators by name.
        Optional "operators" operators: List<OperatorName, 1, { limits::SETTERS }>, hint "name at least one operator";
        where [AnyOf(
            &["role", "operators"],
            "say who may set the label, or leave `setBy` out: whoever may apply, then",
        )]
    }
}
