//! The validated model: what the documents say, checked, with nothing left to look up or to doubt.
//!
//! Only [`crate::documents`] makes a [`Model`]. Every type is `non_exhaustive`, so other crates can read
//! one and can't put a doubtful one together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

mod policy;

pub use policy::{
    Action, CidrBlock, Direction, Entity, Logging, Peer, Place, Policy, Rule, RuleId, Tracking,
};

use crate::claims::LabelRules;
use crate::demands::Demand;
use crate::l4::PortProtocol;
use crate::labels::Labels;
use crate::names::{
    ExternalName, FabricName, GroupName, NodeName, PolicyName, PortName, ProfileName, RackName, ServiceName,
    TierName, WorkloadName,
};
use crate::timeouts::Timeouts;

/// Everything the documents say.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Model {
    /// The one fabric.
    pub fabric: Fabric,
    /// Workloads by name.
    pub workloads: BTreeMap<WorkloadName, Workload>,
    /// Policies by name.
    pub policies: BTreeMap<PolicyName, Policy>,
    /// CIDR groups by name.
    pub cidr_groups: BTreeMap<GroupName, BTreeSet<CidrBlock>>,
}

/// The fabric: machines, wires and the frame that policy lives in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fabric {
    /// Its name.
    pub name: FabricName,
    /// Nodes by name.
    pub nodes: BTreeMap<NodeName, Node>,
    /// Wires between ports.
    pub links: BTreeSet<Link>,
    /// Known places outside the fabric.
    pub externals: BTreeMap<ExternalName, External>,
    /// Tiers in the order they are walked.
    pub tiers: Vec<Tier>,
    /// What happens to a connection that no tier decides.
    pub default_action: DefaultAction,
    /// The numbers under which that default is counted.
    pub default_rules: DefaultRules,
    /// What becomes of established connections that this default denies from now on.
    pub established: Established,
    /// Where the document says so; `None` where it is the default.
    pub established_place: Option<Place>,
    /// How long silent connections count.
    pub timeouts: Timeouts,
    /// What is demanded of the ports of kinds of devices.
    pub hardware: BTreeMap<ProfileName, Demand>,
    /// Which labels workloads may claim, and who may set them.
    pub label_rules: LabelRules,
}

/// A machine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// What kind of machine.
    pub role: NodeRole,
    /// Whether an agent enforces there.
    pub agent: AgentPresence,
    /// The failure domain, where the document names one.
    pub rack: Option<RackName>,
    /// Its own addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Its ports by name.
    pub ports: BTreeMap<PortName, PortRole>,
    /// What is demanded of the mode of those of which anything is.
    pub demands: BTreeMap<PortName, Demand>,
}

/// What kind of machine a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeRole {
    /// A server.
    Host,
    /// A BlueField-class DPU.
    Dpu,
    /// A switch; its agent, if any, runs on the switch CPU.
    Switch,
}

/// Whether a node has an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentPresence {
    /// An agent runs there and enforces.
    Enabled,
    /// It only forwards.
    None,
}

/// What a port faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortRole {
    /// Faces the fabric.
    Uplink,
    /// Faces workloads.
    Workload,
    /// Switch to anything.
    Fabric,
    /// Out of band; never enforced.
    Management,
}

macro_rules! display_as_in_documents {
    ($($type:ident { $($variant:ident => $text:literal),* $(,)? })*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $text),* })
            }
        }
    )*};
}
display_as_in_documents! {
    NodeRole { Host => "host", Dpu => "dpu", Switch => "switch" }
    PortRole { Uplink => "uplink", Workload => "workload", Fabric => "fabric", Management => "management" }
    Isolation { Isolates => "isolates", Open => "open" }
    DefaultAction { Allow => "allow", Deny => "deny" }
    Established { Cut => "cut", Drain => "drain" }
    Action { Allow => "allow", Deny => "deny", Pass => "pass" }
    Direction { Ingress => "ingress", Egress => "egress" }
    Entity { World => "world", Host => "host", RemoteNode => "remote-node", Unmanaged => "unmanaged", Any => "any" }
}

/// A port of a node. Written `node:port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The node.
    pub node: NodeName,
    /// Its port.
    pub port: PortName,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.node, self.port))
    }
}

/// A wire; `a` is the lower end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Link {
    /// One end.
    pub a: Endpoint,
    /// The other.
    pub b: Endpoint,
}

/// Something outside the fabric: no workload, no label. Policy sees its addresses as world (or by CIDR).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct External {
    /// Its name.
    pub name: ExternalName,
    /// Where it enters the fabric: a port of role fabric.
    pub attachment: Endpoint,
    /// Addresses that stand for it in the lab.
    pub addresses: BTreeSet<IpAddr>,
}

/// A stage of policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tier {
    /// Its name.
    pub name: TierName,
    /// Whether selecting a workload in this tier denies what the tier does not decide.
    pub isolation: Isolation,
    /// The numbers under which its default deny is counted.
    pub default_rules: DefaultRules,
}

/// The numbers of a default, one for each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultRules {
    /// For ingress.
    pub ingress: RuleId,
    /// For egress.
    pub egress: RuleId,
}

impl DefaultRules {
    /// The number for `direction`.
    pub fn of(&self, direction: Direction) -> RuleId {
        match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        }
    }
}

/// Whether a tier isolates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// A workload selected for a direction is denied what no rule of the tier decides.
    Isolates,
    /// What no rule decides goes to the next tier.
    Open,
}

/// What the fabric does with what no tier decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultAction {
    /// Allowed.
    Allow,
    /// Denied.
    Deny,
}

/// What becomes of established connections that a new generation denies. New ones are denied either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Established {
    /// They end with their next packet.
    #[default]
    Cut,
    /// They go on until they end by themselves or fall silent.
    Drain,
}

/// A named thing with labels and addresses.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Workload {
    /// Its name.
    pub name: WorkloadName,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses, at least one; no two workloads share one.
    pub addresses: BTreeSet<IpAddr>,
    /// Where it is.
    pub attachment: Attachment,
    /// Whether a generation may leave it unenforced.
    pub enforcement: Enforcement,
    /// Its service ports by name.
    pub services: BTreeMap<ServiceName, Service>,
    /// Where the document names it.
    pub place: Place,
}

/// Whether a generation may be applied that is known to leave a managed workload unenforced, in part or whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enforcement {
    /// Not unless whoever applies it says so.
    #[default]
    Required,
    /// It may; the ledger shows the gaps.
    Optional,
}

/// Where a workload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// Behind a workload port of a node with an agent, which enforces for it; or, at an uplink, that node itself.
    Managed(Endpoint),
    /// Nobody enforces for it; the place is known or not.
    Unmanaged(Option<Endpoint>),
}

/// A service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Service {
    /// Its protocol.
    pub protocol: PortProtocol,
    /// Its port.
    pub port: u16,
}
