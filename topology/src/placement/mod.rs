//! The ledger: for every workload and direction, which enforcement points carry its policy, what that costs, and where none
//! does, why.
//!
//! A pure function of the model, its plans, and what nodes report of their ports; [`ledger`] says of every workload, managed or
//! not, both directions, so that nothing is left out in silence.

mod cost;
mod device;
mod obstacle;
mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use selvedge_hw_profiles::Mode;
use serde::Serialize;

pub use cost::{Budget, Cost};
pub use device::{Counting, DeviceCost, DeviceKind, Room, Share, ShedDrops};
pub use obstacle::{Hole, Obstacles, UnmetDemand, obstacles};
pub use seen::{Nic, PortState, SeenNode, SeenPort};

use crate::model::{Attachment, Direction, Endpoint, Model, PortRole, Workload};
use crate::names::{NodeName, PortName, WorkloadName};
use crate::plan::{Generation, Plan};

/// What carries one direction of a workload's policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The workload.
    pub workload: WorkloadName,
    /// Seen from it.
    pub direction: Direction,
    /// Whether its policy is enforced.
    pub standing: Standing,
    /// Where, or where it should be.
    pub points: Vec<Point>,
    /// What it takes of the node's tables.
    pub costs: Vec<Cost>,
}

/// Whether policy is enforced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Standing {
    /// At every point.
    Enforced,
    /// At some points, and at others not, or not whole.
    Gaps,
    /// At none whole.
    Unenforced {
        /// Why.
        reason: String,
    },
    /// The workload's own port is not there, so nothing comes to it or from it.
    Absent {
        /// In words.
        reason: String,
    },
    /// The node enforces another generation.
    Behind {
        /// Which; 0: none.
        in_force: u64,
        /// Ports of its that nothing is known to judge or shut meanwhile.
        open: Vec<PortName>,
    },
    /// The node says nothing.
    Unknown {
        /// Why.
        reason: String,
    },
}

impl Standing {
    /// Its name, as in output.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Gaps => "gaps",
            Self::Unenforced { .. } => "unenforced",
            Self::Absent { .. } => "absent",
            Self::Behind { .. } => "behind",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// What more there is to say of it.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Enforced | Self::Gaps => None,
            Self::Unenforced { reason } | Self::Unknown { reason } | Self::Absent { reason } => {
                Some(reason.clone())
            }
            Self::Behind { in_force, open } => Some(behind(*in_force, open)),
        }
    }
}

fn behind(in_force: u64, open: &[PortName]) -> String {
    let ports = open.iter().map(|port| format!("`{port}`")).collect::<Vec<_>>().join(", ");
    match (in_force, open) {
        (0, []) => "the node has no generation in force; its ports are shut".to_owned(),
        (0, _) => format!("the node has no generation in force, and does not say that {ports} is shut"),
        (_, []) => format!("the node still enforces generation {in_force}"),
        _ => format!("the node still enforces generation {in_force}, and nothing at {ports}"),
    }
}

/// An enforcement point: a node, a port, and where on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// The node.
    pub node: NodeName,
    /// The port.
    pub port: PortName,
    /// Where on it; `None`: nowhere.
    pub hook: Option<Hook>,
    /// What becomes of packets there.
    pub guard: Guard,
    /// Which packets of the workload pass it.
    pub carries: Carries,
    /// Why there and nowhere better, or why nowhere.
    pub reason: String,
    /// Packets that the device forwards past it, in words: where there are any, it carries nothing whole.
    pub past: Vec<String>,
    /// What the program takes of the device, where it is in one. It is one program for all workloads whose packets pass the port.
    pub device: Option<DeviceCost>,
}

/// What becomes of packets at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// They are judged.
    Judged,
    /// Only what a fabric needs to live passes.
    Shut,
    /// They all pass.
    Open,
    /// There is no such interface: none pass.
    Gone,
    /// The node says nothing of it.
    Untold,
}

impl From<PortState> for Guard {
    fn from(state: PortState) -> Self {
        match state {
            PortState::Enforced(_) => Self::Judged,
            PortState::Shut(_) => Self::Shut,
            PortState::Open => Self::Open,
            PortState::Gone => Self::Gone,
        }
    }
}

impl Point {
    /// Why not all that it should carry is judged there; `None`: all is, or none passes.
    pub fn gap(&self) -> Option<String> {
        match (self.guard, &self.past[..]) {
            (Guard::Gone, _) | (Guard::Judged | Guard::Shut, []) => None,
            (Guard::Open | Guard::Untold, []) => Some(self.reason.clone()),
            (_, past) => Some(past.join("; ")),
        }
    }
}

/// Where on a port packets are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// What arrives, in the NIC.
    XdpOffload,
    /// What arrives, in the driver.
    XdpNative,
    /// What arrives, in the stack.
    XdpGeneric,
    /// What the node itself sends.
    TcxEgress,
}

impl From<Mode> for Hook {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Offload => Self::XdpOffload,
            Mode::Native => Self::XdpNative,
            Mode::Generic => Self::XdpGeneric,
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::XdpOffload => "xdp-offload",
            Self::XdpNative => "xdp-native",
            Self::XdpGeneric => "xdp-generic",
            Self::TcxEgress => "tcx-egress",
        })
    }
}

/// Which packets of a workload pass a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carries {
    /// What the workload sends.
    Sent,
    /// What comes to it from other nodes.
    FromTheFabric,
    /// What comes to it from behind a workload port of its node.
    FromNeighbours,
    /// What comes to it from the node itself.
    FromTheNode,
}

impl fmt::Display for Carries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sent => "what it sends",
            Self::FromTheFabric => "from the fabric",
            Self::FromNeighbours => "from neighbours",
            Self::FromTheNode => "from the node",
        })
    }
}

/// The ledger of `model`, whose plans are `plans` and which nodes are to have in force as the generations `wanted`, by what they
/// report: two entries for each workload, by name.
pub fn ledger(
    model: &Model,
    plans: &BTreeMap<NodeName, Plan>,
    wanted: &BTreeMap<NodeName, Generation>,
    seen: &BTreeMap<NodeName, SeenNode>,
) -> Vec<Entry> {
    let entries = model.workloads.values().flat_map(|workload| {
        Direction::BOTH.map(|direction| match &workload.attachment {
            Attachment::Unmanaged(at) => unmanaged(workload, direction, at.as_ref()),
            Attachment::Managed(at) => managed(workload, direction, at, (plans, wanted, seen)),
        })
    });
    entries.collect()
}

fn unmanaged(workload: &Workload, direction: Direction, at: Option<&Endpoint>) -> Entry {
    let reason = match at {
        Some(at) => format!("it is unmanaged: no agent is to enforce for it at {at}"),
        None => "it is unmanaged: no agent is to enforce for it".to_owned(),
    };
    let standing = Standing::Unenforced { reason };
    Entry { workload: workload.name.clone(), direction, standing, points: Vec::new(), costs: Vec::new() }
}

type Known<'a> =
    (&'a BTreeMap<NodeName, Plan>, &'a BTreeMap<NodeName, Generation>, &'a BTreeMap<NodeName, SeenNode>);

fn managed(
    workload: &Workload,
    direction: Direction,
    at: &Endpoint,
    (plans, wanted, seen): Known<'_>,
) -> Entry {
    let entry = |standing, points, costs| Entry {
        workload: workload.name.clone(),
        direction,
        standing,
        points,
        costs,
    };
    let Some(plan) = plans.get(&at.node) else {
        let reason = format!("node {} has no agent", at.node);
        return entry(Standing::Unenforced { reason }, Vec::new(), Vec::new());
    };
    let node = seen.get(&at.node);
    let points = points(plan, &at.port, direction, node);
    entry(
        standing(at, wanted.get(&at.node), node, &points),
        points,
        cost::of(plan, &workload.name, direction),
    )
}

/// The points that a workload's packets pass, whatever they do there.
fn points(plan: &Plan, at: &PortName, direction: Direction, seen: Option<&SeenNode>) -> Vec<Point> {
    let is_itself = plan.ports.iter().any(|port| port.name == *at && port.role != PortRole::Workload);
    // Others behind the same port come to it by that port, as far as the node forwards between them at all.
    let is_alone = plan.workloads.iter().filter(|workload| workload.port == *at).count() < 2;
    let arriving = plan.ports.iter().filter_map(|port| {
        let carries = match (direction, port.role) {
            // What the machine itself sends arrives at no port; what comes to it may arrive at any.
            (Direction::Egress, _) if is_itself || port.name != *at => return None,
            (Direction::Egress, _) => Carries::Sent,
            (Direction::Ingress, _) if port.name == *at && !is_itself && is_alone => return None,
            (Direction::Ingress, PortRole::Workload) => Carries::FromNeighbours,
            (Direction::Ingress, _) => Carries::FromTheFabric,
        };
        Some(arriving(plan, &port.name, carries, seen))
    });
    let arriving = arriving.flatten();
    let sent = plan.ports.iter().filter_map(|port| {
        let carries = match direction {
            Direction::Egress if is_itself => Carries::Sent,
            Direction::Ingress if !is_itself && port.name == *at => Carries::FromTheNode,
            _ => return None,
        };
        Some(sent(plan, &port.name, carries, seen))
    });
    arriving.chain(sent).collect()
}

/// The program in the kernel, and before it the one in the NIC where there is one.
fn arriving(
    plan: &Plan,
    port: &PortName,
    carries: Carries,
    seen: Option<&SeenNode>,
) -> impl Iterator<Item = Point> {
    let found = seen.and_then(|node| node.ports.get(port));
    let hook = found.and_then(|port| port.state.mode()).map(Hook::from);
    let guard = found.map_or(Guard::Untold, |port| port.state.into());
    let reason = found.map_or_else(untold, |port| port.reason.clone());
    let (reason, in_nic) = match found.map(|port| &port.nic) {
        Some(Nic::Idle { reason: idle }) => (format!("{reason}; not in the NIC: {idle}"), None),
        Some(Nic::Runs { program }) => (reason, Some(program.clone())),
        Some(Nic::Unable) | None => (reason, None),
    };
    let past = found.map(|port| port.past.clone()).unwrap_or_default();
    let point = |hook, reason, device| Point {
        node: plan.node.clone(),
        port: port.clone(),
        hook,
        guard,
        carries,
        reason,
        past: past.clone(),
        device,
    };
    let in_nic = in_nic.map(|cost| point(Some(Hook::XdpOffload), cost.to_string(), Some(cost)));
    in_nic.into_iter().chain([point(hook, reason, None)]).collect::<Vec<_>>().into_iter()
}

fn sent(plan: &Plan, port: &PortName, carries: Carries, seen: Option<&SeenNode>) -> Point {
    let found = seen.and_then(|node| node.ports.get(port));
    let judged = || "the only place where it can be".to_owned();
    let (hook, guard, reason) = match found.map(|port| (port.state, &port.egress_unenforced)) {
        Some((PortState::Gone, _)) => (None, Guard::Gone, found.map(|port| port.reason.clone())),
        Some((PortState::Shut(_), None)) => (Some(Hook::TcxEgress), Guard::Shut, None),
        Some((_, None)) => (Some(Hook::TcxEgress), Guard::Judged, None),
        Some((_, Some(reason))) => (None, Guard::Open, Some(reason.clone())),
        None => (None, Guard::Untold, Some(untold())),
    };
    let reason = reason.unwrap_or_else(judged);
    let (node, port) = (plan.node.clone(), port.clone());
    Point { node, port, hook, guard, carries, reason, past: Vec::new(), device: None }
}

fn untold() -> String {
    "the node says nothing of this port".to_owned()
}

fn standing(
    at: &Endpoint,
    wanted: Option<&Generation>,
    seen: Option<&SeenNode>,
    points: &[Point],
) -> Standing {
    let Some(seen) = seen else {
        return Standing::Unknown { reason: format!("node {} has not reported", at.node) };
    };
    if wanted.is_none() || seen.in_force.as_ref() != wanted {
        let open = points.iter().filter(|point| matches!(point.guard, Guard::Open | Guard::Untold));
        let open: BTreeSet<PortName> = open.map(|point| point.port.clone()).collect();
        let in_force = seen.in_force.map_or(0, |generation| generation.0);
        return Standing::Behind { in_force, open: open.into_iter().collect() };
    }
    if let Some(own) = seen.ports.get(&at.port).filter(|port| port.state == PortState::Gone) {
        return Standing::Absent { reason: own.reason.clone() };
    }
    let gaps: Vec<String> = points.iter().filter_map(Point::gap).collect();
    match gaps.first() {
        None if points.is_empty() => Standing::Unenforced { reason: untold() },
        None => Standing::Enforced,
        Some(first) if gaps.len() == points.len() => Standing::Unenforced { reason: first.clone() },
        Some(_) => Standing::Gaps,
    }
}
