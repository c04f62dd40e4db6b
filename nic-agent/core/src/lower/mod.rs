//! What the tables must hold for a plan.

mod addresses;
mod device;
mod layout;
mod policies;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use selvedge_abi::{ABI_VERSION, Config, NodeRole, PolicyKey, PortEntry, PortRole, Timeouts};
use selvedge_topology::identity::Identity;
use selvedge_topology::model::{self, Direction, RuleId};
use selvedge_topology::names::{PortName, WorkloadName};
use selvedge_topology::plan::{CapacityError, Generation, Plan, SetId};
use selvedge_topology::timeouts as topology;

pub use device::port_policy;
pub use policies::ROW_DEFAULT;
pub(crate) use policies::policy_key;

use crate::change::Touched;
use crate::machine::{IfIndex, Machine};
use crate::tables::{Slot, SlotTables};

/// A plan that can't be lowered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// Larger than the tables.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// A row names a decision list that the plan has not.
    #[error("the plan's {direction} row of identity {subject} names decision list {:016x}, which it does not hold", set.0)]
    UnknownSet {
        /// The row's subject.
        subject: Identity,
        /// The row's direction.
        direction: Direction,
        /// The list.
        set: SetId,
    },
    /// An identity that the table of policies has no room for.
    #[error("the plan has identity {identity}, and policy tells those below {} apart", PolicyKey::SUBJECTS)]
    LargeIdentity {
        /// The identity.
        identity: Identity,
    },
    /// A decision list that leaves keys undecided, or is out of order.
    #[error("the plan's decision list {:016x} does not decide every key exactly once", set.0)]
    PartialSet {
        /// The list.
        set: SetId,
    },
    /// A workload is behind a port that the plan does not enforce at.
    #[error("the plan puts workload {workload} behind port {port}, which it does not enforce at")]
    UnknownPort {
        /// The workload.
        workload: WorkloadName,
        /// The port.
        port: PortName,
    },
    /// A management port among those to enforce at.
    #[error("the plan would enforce at the management port {port}")]
    ManagementPort {
        /// The port.
        port: PortName,
    },
}

/// Whether `plan` fits the tables and is whole.
pub fn check(plan: &Plan) -> Result<(), LowerError> {
    plan.check_capacity()?;
    policies::check(plan)?;
    for port in &plan.ports {
        port_role(port.role).ok_or_else(|| LowerError::ManagementPort { port: port.name.clone() })?;
    }
    let ports: BTreeSet<&PortName> = plan.ports.iter().map(|port| &port.name).collect();
    match plan.workloads.iter().find(|workload| !ports.contains(&workload.port)) {
        Some(lost) => Err(LowerError::UnknownPort { workload: lost.name.clone(), port: lost.port.clone() }),
        None => Ok(()),
    }
}

/// What `slot` must hold for `plan`. Runs of intervals that `found`, the slot's present content, holds already stay
/// where they are.
pub fn lower(
    plan: &Plan,
    machine: &Machine,
    slot: Slot,
    found: &SlotTables,
) -> Result<SlotTables, LowerError> {
    check(plan)?;
    Ok(lower_touched(plan, machine, slot, found, &Touched::Everything)?.wanted)
}

/// What a slot must hold, beside what it holds: of policies all, of addresses those that were touched.
pub struct Lowered<'f> {
    /// What it holds.
    pub found: Cow<'f, SlotTables>,
    /// What it must hold.
    pub wanted: SlotTables,
}

/// As [`lower`], of a plan that was checked, and as far as `slot` may not hold it yet.
pub fn lower_touched<'f>(
    plan: &Plan,
    machine: &Machine,
    slot: Slot,
    found: &'f SlotTables,
    touched: &Touched,
) -> Result<Lowered<'f>, LowerError> {
    let mut lowered = addresses::lower(plan, machine, slot, found, touched);
    policies::lower(plan, slot, found, &mut lowered.wanted)?;
    Ok(lowered)
}

/// The configuration that puts `slot` in use.
pub fn config(plan: &Plan, generation: Generation, slot: Slot) -> Config {
    Config {
        generation: generation.0,
        slot: slot.number(),
        abi: ABI_VERSION,
        node_role: node_role(plan.role) as u32,
        timeouts: timeouts(&plan.timeouts),
        event_share: 0,
        ports: 0,
    }
}

fn node_role(role: model::NodeRole) -> NodeRole {
    match role {
        model::NodeRole::Host => NodeRole::Host,
        model::NodeRole::Dpu => NodeRole::Dpu,
        model::NodeRole::Switch => NodeRole::Switch,
    }
}

fn timeouts(timeouts: &topology::Timeouts) -> Timeouts {
    let topology::Timeouts { tcp_established, tcp_half_open, tcp_closing, udp, icmp, other, fragment } =
        *timeouts;
    Timeouts {
        tcp_established: tcp_established.0,
        half_open: tcp_half_open.0,
        closing: tcp_closing.0,
        udp: udp.0,
        icmp: icmp.0,
        other: other.0,
        fragment: fragment.0,
    }
}

/// The plan's ports that the machine has, and their entries.
pub fn ports(plan: &Plan, machine: &Machine) -> BTreeMap<PortName, (IfIndex, PortEntry)> {
    let found = plan.ports.iter().filter_map(|port| {
        let index = machine.port(&port.name)?.index;
        Some((port.name.clone(), (index, port_entry(port_role(port.role)?))))
    });
    found.collect()
}

/// The rules that need a counter.
pub fn rules(plan: &Plan) -> BTreeSet<RuleId> {
    plan.rules.iter().map(|rule| rule.id).collect()
}

/// The entry of a port.
pub fn port_entry(role: PortRole) -> PortEntry {
    PortEntry { role: role as u32 }
}

fn port_role(role: model::PortRole) -> Option<PortRole> {
    match role {
        model::PortRole::Uplink => Some(PortRole::Uplink),
        model::PortRole::Workload => Some(PortRole::Workload),
        model::PortRole::Fabric => Some(PortRole::Fabric),
        model::PortRole::Management => None,
    }
}

#[cfg(test)]
mod tests;
