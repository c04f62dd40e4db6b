//! A plan, or a block of one, as a run of messages, both ways.

use selvedge_topology::demands::Demand;
use selvedge_topology::plan::{
    Block, Plan, PlanAddress, PlanIdentity, PlanPort, PlanRow, PlanRule, PlanSet, PlanWorkload,
};

use super::demands::{self, Subject};
use super::wire_form;
use crate::convert::{DecodeError, present};
use crate::wire::PlanPart;
use crate::wire::plan_part::Part;

/// The lists of a node's own part of its plan.
pub(super) fn of_plan(plan: &Plan) -> impl Iterator<Item = PlanPart> {
    let Plan { ports, demands, workloads, addresses, rows, sets, rules, identities, .. } = plan;
    let ports = ports.iter().map(wire_form::port_to_wire).map(Part::Port);
    let demands = demands::to_wire(demands).map(Part::Demand);
    let workloads = workloads.iter().map(wire_form::workload_to_wire).map(Part::Workload);
    let lists = lists(addresses, rows, sets, rules, identities);
    ports.chain(demands).chain(workloads).chain(lists).map(whole)
}

/// All of a block.
pub(super) fn of_block(block: &Block) -> impl Iterator<Item = PlanPart> {
    let Block { addresses, rows, sets, rules, identities } = block;
    lists(addresses, rows, sets, rules, identities).map(whole)
}

fn lists<'a>(
    addresses: impl IntoIterator<Item = &'a PlanAddress>,
    rows: impl IntoIterator<Item = &'a PlanRow>,
    sets: impl IntoIterator<Item = &'a PlanSet>,
    rules: impl IntoIterator<Item = &'a PlanRule>,
    identities: impl IntoIterator<Item = &'a PlanIdentity>,
) -> impl Iterator<Item = Part> {
    let addresses = addresses.into_iter().map(wire_form::address_to_wire).map(Part::Address);
    let rows = rows.into_iter().flat_map(wire_form::row_to_wire).map(Part::Row);
    let sets = sets.into_iter().flat_map(wire_form::set_to_wire).map(Part::Set);
    let rules = rules.into_iter().map(wire_form::rule_to_wire).map(Part::Rule);
    let identities = identities.into_iter().map(wire_form::identity_to_wire).map(Part::Identity);
    addresses.chain(rows).chain(sets).chain(rules).chain(identities)
}

fn whole(part: Part) -> PlanPart {
    PlanPart { part: Some(part) }
}

/// What was read so far of a node's own part.
#[derive(Default)]
pub(super) struct Own {
    pub(super) ports: Vec<PlanPort>,
    pub(super) demands: Vec<(Subject, Demand)>,
    pub(super) workloads: Vec<PlanWorkload>,
    pub(super) lists: Block,
}

/// Adds a part of a node's own to what was read.
pub(super) fn take_own(own: &mut Own, part: PlanPart) -> Result<(), DecodeError> {
    match present("part", part.part)? {
        Part::Port(port) => own.ports.push(wire_form::port(port)?),
        Part::Demand(demand) => own.demands.push(demands::from_wire(demand)?),
        Part::Workload(workload) => own.workloads.push(wire_form::workload(workload)?),
        part => take(&mut own.lists, part)?,
    }
    Ok(())
}

/// Adds a part of what nodes share to what was read.
pub(super) fn take_shared(lists: &mut Block, part: PlanPart) -> Result<(), DecodeError> {
    take(lists, present("part", part.part)?)
}

fn take(lists: &mut Block, part: Part) -> Result<(), DecodeError> {
    match part {
        Part::Address(address) => lists.addresses.push(wire_form::address(address)?),
        Part::Row(row) => wire_form::take_row(&mut lists.rows, row)?,
        Part::Set(set) => wire_form::take_set(&mut lists.sets, set)?,
        Part::Rule(rule) => lists.rules.push(wire_form::rule(rule)?),
        Part::Identity(identity) => lists.identities.push(wire_form::identity(identity)?),
        Part::Port(_) => return Err(DecodeError::Shared { field: "a port" }),
        Part::Demand(_) => return Err(DecodeError::Shared { field: "a demand" }),
        Part::Workload(_) => return Err(DecodeError::Shared { field: "a workload" }),
    }
    Ok(())
}
