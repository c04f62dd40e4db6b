//! What an agent says of a program in a NIC.

use selvedge_topology::identity::Identity;
use selvedge_topology::model::RuleId;
use selvedge_topology::placement::{Counting, DeviceCost, DeviceKind, Room, Share, ShedDrops};

use crate::convert::{DecodeError, at_most, present, prose};
use crate::report::MAX_TEXT;
use crate::wire;

/// Most shed drops that are named.
pub const MAX_SHED: usize = 16;

pub(crate) fn to_wire(cost: &DeviceCost) -> wire::DeviceCost {
    let DeviceCost {
        kind,
        instructions,
        maps,
        entries,
        entries_each,
        entry_bytes,
        counting,
        shed,
        shed_more,
        shed_why,
        incomplete,
    } = cost;
    let (counting, unread) = match counting {
        Counting::ByRule => (wire::DeviceCounting::ByRule, String::new()),
        Counting::Nothing => (wire::DeviceCounting::Nothing, String::new()),
        Counting::Unread { reason } => (wire::DeviceCounting::Unread, reason.clone()),
    };
    let kind = match kind {
        DeviceKind::Prefilter => wire::DeviceKind::Prefilter,
        DeviceKind::Complete => wire::DeviceKind::Complete,
    };
    wire::DeviceCost {
        kind: kind.into(),
        instructions: Some(share_to_wire(*instructions)),
        maps: Some(share_to_wire(*maps)),
        entries: Some(share_to_wire(*entries)),
        entries_each: Some(share_to_wire(*entries_each)),
        entry_bytes: Some(share_to_wire(*entry_bytes)),
        shed: shed.iter().map(shed_to_wire).collect(),
        shed_more: *shed_more,
        shed_why: shed_why.clone(),
        counting: counting.into(),
        unread,
        incomplete: incomplete.clone(),
    }
}

pub(crate) fn from_wire(cost: wire::DeviceCost) -> Result<DeviceCost, DecodeError> {
    let wire::DeviceCost {
        kind,
        instructions,
        maps,
        entries,
        entries_each,
        entry_bytes,
        shed,
        shed_more,
        shed_why,
        counting,
        unread,
        incomplete,
    } = cost;
    let unknown = || DecodeError::Unknown { field: "kind of a device program", value: kind.into() };
    let kind = match wire::DeviceKind::try_from(kind).map_err(|_| unknown())? {
        wire::DeviceKind::Prefilter => DeviceKind::Prefilter,
        wire::DeviceKind::Complete => DeviceKind::Complete,
        wire::DeviceKind::Unspecified => return Err(unknown()),
    };
    at_most("shed drops", shed.len(), MAX_SHED)?;
    Ok(DeviceCost {
        kind,
        instructions: share_from_wire(present("instructions", instructions)?)?,
        maps: share_from_wire(present("maps", maps)?)?,
        entries: share_from_wire(present("entries", entries)?)?,
        entries_each: share_from_wire(present("entries_each", entries_each)?)?,
        entry_bytes: share_from_wire(present("entry_bytes", entry_bytes)?)?,
        counting: counting_from_wire(counting, &unread)?,
        shed: shed.into_iter().map(shed_from_wire).collect::<Result<_, _>>()?,
        shed_more,
        shed_why: prose("reason of shedding", &shed_why, MAX_TEXT)?,
        incomplete: prose("reason for a prefilter", &incomplete, MAX_TEXT)?,
    })
}

fn counting_from_wire(counting: i32, unread: &str) -> Result<Counting, DecodeError> {
    let unknown = || DecodeError::Unknown { field: "counting of a device", value: counting.into() };
    match wire::DeviceCounting::try_from(counting).map_err(|_| unknown())? {
        wire::DeviceCounting::ByRule => Ok(Counting::ByRule),
        wire::DeviceCounting::Nothing => Ok(Counting::Nothing),
        wire::DeviceCounting::Unread => {
            Ok(Counting::Unread { reason: prose("reason of unread counters", unread, MAX_TEXT)? })
        }
        wire::DeviceCounting::Unspecified => Err(unknown()),
    }
}

fn share_to_wire(Share { used, room }: Share) -> wire::Share {
    let (room, most) = match room {
        Room::AtMost(most) => (wire::Room::AtMost, most),
        Room::Assumed(most) => (wire::Room::Assumed, most),
        Room::Unlimited => (wire::Room::Unlimited, 0),
    };
    wire::Share { used, room: room.into(), most }
}

fn share_from_wire(share: wire::Share) -> Result<Share, DecodeError> {
    let wire::Share { used, room, most } = share;
    let unknown = || DecodeError::Unknown { field: "room on a device", value: room.into() };
    let room = match wire::Room::try_from(room).map_err(|_| unknown())? {
        wire::Room::AtMost => Room::AtMost(most),
        wire::Room::Assumed => Room::Assumed(most),
        wire::Room::Unlimited if most == 0 => Room::Unlimited,
        wire::Room::Unlimited | wire::Room::Unspecified => return Err(unknown()),
    };
    Ok(Share { used, room })
}

fn shed_to_wire(shed: &ShedDrops) -> wire::ShedDrops {
    let ShedDrops { rule, name, from, to, packets, flows } = shed;
    wire::ShedDrops {
        rule: rule.map_or(0, |rule| rule.0),
        name: name.clone(),
        from: from.map(|identity| identity.0),
        to: to.map(|identity| identity.0),
        packets: *packets,
        flows: *flows,
    }
}

fn shed_from_wire(shed: wire::ShedDrops) -> Result<ShedDrops, DecodeError> {
    let wire::ShedDrops { rule, name, from, to, packets, flows } = shed;
    Ok(ShedDrops {
        rule: (rule != 0).then_some(RuleId(rule)),
        name: prose("name of a rule", &name, MAX_TEXT)?,
        from: from.map(Identity),
        to: to.map(Identity),
        packets,
        flows,
    })
}
