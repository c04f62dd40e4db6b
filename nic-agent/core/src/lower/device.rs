//! What a device program of a port is made from: the same plan as the tables, so that both decide alike.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_abi::{AddressEntry, FailsafeKey};
use selvedge_codegen::{List, PortPolicy, Prefix, Row, Subject};
use selvedge_topology::model::Direction;
use selvedge_topology::names::PortName;
use selvedge_topology::plan::{Plan, PlanAddress, PlanRow, SetId};

use super::addresses::{ELSEWHERE, local};
use super::policies::interval;
use super::{LowerError, check, node_role, port_role};
use crate::machine::Machine;

/// What decides on packets that the plan's port `name` receives; `None` where the plan or the machine has no such port.
///
/// # Errors
/// Where the plan could not be lowered to tables either.
pub fn port_policy(
    plan: &Plan,
    machine: &Machine,
    name: &PortName,
    failsafe: &BTreeSet<FailsafeKey>,
) -> Result<Option<PortPolicy>, LowerError> {
    check(plan)?;
    let planned = plan.ports.iter().find(|port| port.name == *name).and_then(|port| port_role(port.role));
    let (Some(port), Some(interface)) = (planned, machine.port(name)) else {
        return Ok(None);
    };
    Ok(Some(PortPolicy {
        port,
        ifindex: interface.index.0,
        node: node_role(plan.role),
        addresses: addresses(plan, machine),
        subjects: subjects(plan)?,
        failsafe: failsafe.clone(),
        rules: plan.rules.iter().map(|rule| (rule.id.0, rule.display.clone())).collect(),
    }))
}

fn addresses(plan: &Plan, machine: &Machine) -> BTreeMap<Prefix, AddressEntry> {
    let local = local(plan, machine);
    let entries = plan.addresses.iter().filter_map(|PlanAddress { prefix, identity, class }| {
        let is_host = super::addresses::is_host(prefix);
        let index = local.get(&prefix.network()).filter(|_| is_host).copied().unwrap_or(ELSEWHERE);
        let entry = AddressEntry { identity: identity.0, class: class.0, ifindex: index.0 };
        Some((Prefix::new(prefix.network(), prefix.prefix_len())?, entry))
    });
    entries.collect()
}

fn subjects(plan: &Plan) -> Result<BTreeMap<u32, Subject>, LowerError> {
    let lists: BTreeMap<SetId, List> =
        plan.sets.iter().map(|set| (set.id, set.intervals.iter().map(interval).collect())).collect();
    let mut subjects: BTreeMap<u32, Subject> = BTreeMap::new();
    for PlanRow { subject, direction, default, peers } in &plan.rows {
        let list = |set: SetId| {
            let unknown = LowerError::UnknownSet { subject: *subject, direction: *direction, set };
            lists.get(&set).cloned().ok_or(unknown)
        };
        let peers = peers.iter().map(|(class, set)| Ok((class.0, list(*set)?)));
        let row = Row { default: Some(list(*default)?), peers: peers.collect::<Result<_, LowerError>>()? };
        let subject = subjects.entry(subject.0).or_default();
        match direction {
            Direction::Ingress => subject.ingress = row,
            Direction::Egress => subject.egress = row,
        }
    }
    Ok(subjects)
}
