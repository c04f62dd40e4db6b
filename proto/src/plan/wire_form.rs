//! The entries of a plan as messages, both ways, every field by name.

use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::l4::L4Key;
use selvedge_topology::model::RuleId;
use selvedge_topology::plan::{
    Decision, Outcome, PlanAddress, PlanIdentity, PlanInterval, PlanPort, PlanRow, PlanRule, PlanSet,
    PlanWorkload, SetId,
};
use selvedge_topology::timeouts::{Seconds, Timeouts};

use crate::chunks::hash;
use crate::convert::{
    DecodeError, action_from_wire, action_to_wire, address_from_wire, direction_from_wire, direction_to_wire,
    enumerations, labels_from_wire, labels_to_wire, name, optional_name, port_role_from_wire,
    port_role_to_wire, prefix_from_wire, prefix_to_wire, present, prose,
};
use crate::report::MAX_TEXT;
use crate::wire;

/// Most peers or intervals in one message; a run is cut earlier where its content says so.
const MAX_PART: usize = 1024;
/// One element in so many ends a part.
const TARGET_PART: u64 = 256;

enumerations! {
    outcome_to_wire, outcome_from_wire, "outcome", Outcome, Outcome { Denied, Allowed, AllowedStateless, DeniedDraining }
}

pub(super) fn timeouts_to_wire(timeouts: &Timeouts) -> wire::Timeouts {
    let Timeouts { tcp_established, tcp_half_open, tcp_closing, udp, icmp, other, fragment } = *timeouts;
    wire::Timeouts {
        tcp_established: tcp_established.0,
        tcp_half_open: tcp_half_open.0,
        tcp_closing: tcp_closing.0,
        udp: udp.0,
        icmp: icmp.0,
        other: other.0,
        fragment: fragment.0,
    }
}

pub(super) fn timeouts(timeouts: wire::Timeouts) -> Timeouts {
    let wire::Timeouts { tcp_established, tcp_half_open, tcp_closing, udp, icmp, other, fragment } = timeouts;
    Timeouts {
        tcp_established: Seconds(tcp_established),
        tcp_half_open: Seconds(tcp_half_open),
        tcp_closing: Seconds(tcp_closing),
        udp: Seconds(udp),
        icmp: Seconds(icmp),
        other: Seconds(other),
        fragment: Seconds(fragment),
    }
}

pub(super) fn port_to_wire(port: &PlanPort) -> wire::PlanPort {
    let PlanPort { name, role } = port;
    wire::PlanPort { name: name.to_string(), role: port_role_to_wire(*role) }
}

pub(super) fn port(port: wire::PlanPort) -> Result<PlanPort, DecodeError> {
    let wire::PlanPort { name: port_name, role } = port;
    Ok(PlanPort { name: name("port", &port_name)?, role: port_role_from_wire(role)? })
}

pub(super) fn workload_to_wire(workload: &PlanWorkload) -> wire::PlanWorkload {
    let PlanWorkload { name, identity, port, addresses } = workload;
    wire::PlanWorkload {
        name: name.to_string(),
        identity: identity.0,
        port: port.to_string(),
        addresses: addresses.iter().map(|address| crate::convert::address_to_wire(*address)).collect(),
    }
}

pub(super) fn workload(workload: wire::PlanWorkload) -> Result<PlanWorkload, DecodeError> {
    let wire::PlanWorkload { name: workload_name, identity, port, addresses } = workload;
    Ok(PlanWorkload {
        name: name("workload", &workload_name)?,
        identity: Identity(identity),
        port: name("port", &port)?,
        addresses: addresses.iter().map(|address| address_from_wire(address)).collect::<Result<_, _>>()?,
    })
}

pub(super) fn address_to_wire(address: &PlanAddress) -> wire::PlanAddress {
    let PlanAddress { prefix, identity, class } = address;
    wire::PlanAddress { prefix: Some(prefix_to_wire(*prefix)), identity: identity.0, class: class.0 }
}

pub(super) fn address(address: wire::PlanAddress) -> Result<PlanAddress, DecodeError> {
    let wire::PlanAddress { prefix, identity, class } = address;
    let prefix = prefix_from_wire(present("prefix", prefix)?)?;
    Ok(PlanAddress { prefix, identity: Identity(identity), class: Class(class) })
}

/// A row in parts, so that no message outgrows a chunk and an edit changes one part.
pub(super) fn row_to_wire(row: &PlanRow) -> Vec<wire::PlanRow> {
    let PlanRow { subject, direction, default, peers } = row;
    let parts = parts(peers, |(class, _)| u64::from(class.0));
    let part = |(index, peers): (usize, &[(Class, SetId)])| wire::PlanRow {
        subject: subject.0,
        direction: direction_to_wire(*direction),
        default_set: default.0,
        peers: peers.iter().map(|(class, set)| wire::PlanPeer { class: class.0, set: set.0 }).collect(),
        continues: index > 0,
    };
    parts.into_iter().enumerate().map(part).collect()
}

fn row(row: wire::PlanRow) -> Result<PlanRow, DecodeError> {
    let wire::PlanRow { subject, direction, default_set, peers, continues: _ } = row;
    let peer = |wire::PlanPeer { class, set }| (Class(class), SetId(set));
    Ok(PlanRow {
        subject: Identity(subject),
        direction: direction_from_wire(direction)?,
        default: SetId(default_set),
        peers: peers.into_iter().map(peer).collect(),
    })
}

/// Adds a row to those that were read, or its next part to the last of them.
pub(super) fn take_row(rows: &mut Vec<PlanRow>, message: wire::PlanRow) -> Result<(), DecodeError> {
    let continues = message.continues;
    let part = row(message)?;
    if !continues {
        rows.push(part);
        return Ok(());
    }
    let key = |row: &PlanRow| (row.subject, row.direction, row.default);
    let begun = rows.last_mut().filter(|begun| key(begun) == key(&part));
    present("the part of a row that another goes on with", begun)?.peers.extend(part.peers);
    Ok(())
}

/// A decision list in parts, likewise.
pub(super) fn set_to_wire(set: &PlanSet) -> Vec<wire::PlanSet> {
    let PlanSet { id, intervals } = set;
    let parts = parts(intervals, |interval| u64::from(interval.first.number()));
    let part = |(index, part): (usize, &[PlanInterval])| wire::PlanSet {
        id: id.0,
        intervals: part.iter().map(interval_to_wire).collect(),
        continues: index > 0,
    };
    parts.into_iter().enumerate().map(part).collect()
}

fn interval_to_wire(interval: &PlanInterval) -> wire::PlanInterval {
    let PlanInterval { first, decision: Decision { outcome, rule, logged } } = *interval;
    wire::PlanInterval { first: first.number(), outcome: outcome_to_wire(outcome), rule: rule.0, logged }
}

/// Adds a decision list to those that were read, or its next part to the last of them.
pub(super) fn take_set(sets: &mut Vec<PlanSet>, message: wire::PlanSet) -> Result<(), DecodeError> {
    let wire::PlanSet { id, intervals, continues } = message;
    let (id, part) = (SetId(id), intervals.into_iter().map(interval).collect::<Result<_, _>>()?);
    if !continues {
        sets.push(PlanSet { id, intervals: part });
        return Ok(());
    }
    let begun = sets.last_mut().filter(|begun| begun.id == id);
    present("the part of a decision list that another goes on with", begun)?.intervals.extend::<Vec<_>>(part);
    Ok(())
}

fn interval(interval: wire::PlanInterval) -> Result<PlanInterval, DecodeError> {
    let wire::PlanInterval { first, outcome, rule, logged } = interval;
    let too_large = || DecodeError::TooLarge {
        field: "layer-4 key",
        value: first.into(),
        limit: L4Key::LAST.number().into(),
    };
    Ok(PlanInterval {
        first: L4Key::from_number(first).ok_or_else(too_large)?,
        decision: Decision { outcome: outcome_from_wire(outcome)?, rule: RuleId(rule), logged },
    })
}

pub(super) fn rule_to_wire(rule: &PlanRule) -> wire::PlanRule {
    let PlanRule { id, display, tier, direction, action } = rule;
    wire::PlanRule {
        id: id.0,
        display: display.clone(),
        tier: tier.as_ref().map(ToString::to_string).unwrap_or_default(),
        direction: direction_to_wire(*direction),
        action: action_to_wire(*action),
    }
}

pub(super) fn rule(rule: wire::PlanRule) -> Result<PlanRule, DecodeError> {
    let wire::PlanRule { id, display, tier, direction, action } = rule;
    Ok(PlanRule {
        id: RuleId(id),
        display: prose("rule display", &display, MAX_TEXT)?,
        tier: optional_name("tier", &tier)?,
        direction: direction_from_wire(direction)?,
        action: action_from_wire(action)?,
    })
}

pub(super) fn identity_to_wire(identity: &PlanIdentity) -> wire::PlanIdentity {
    let PlanIdentity { identity, labels } = identity;
    wire::PlanIdentity { identity: identity.0, labels: labels_to_wire(labels) }
}

pub(super) fn identity(identity: wire::PlanIdentity) -> Result<PlanIdentity, DecodeError> {
    let wire::PlanIdentity { identity, labels } = identity;
    Ok(PlanIdentity { identity: Identity(identity), labels: labels_from_wire(labels)? })
}

/// Cuts a run behind elements whose key says so, and at [`MAX_PART`]. An empty run is one empty part.
fn parts<T>(run: &[T], key: impl Fn(&T) -> u64) -> Vec<&[T]> {
    let ends = |element: &T| hash(&key(element).to_be_bytes()).is_multiple_of(TARGET_PART);
    let mut parts: Vec<&[T]> = run.split_inclusive(ends).flat_map(|part| part.chunks(MAX_PART)).collect();
    if parts.is_empty() {
        parts.push(run);
    }
    parts
}
