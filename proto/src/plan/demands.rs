//! What is demanded of the modes of ports, as messages.

use selvedge_topology::demands::{Demand, Demands, Mode};

use selvedge_topology::names::{PortName, ProfileName};

use crate::convert::{DecodeError, name, present, xdp_mode_from_wire, xdp_mode_to_wire};
use crate::wire::{self, plan_demand::Of};

/// Of whose ports something is demanded.
pub(super) enum Subject {
    Port(PortName),
    Profile(ProfileName),
}

pub(super) fn to_wire(demands: &Demands) -> impl Iterator<Item = wire::PlanDemand> {
    let Demands { ports, profiles } = demands;
    let of_ports = ports.iter().map(|(port, demand)| one(Of::Port(port.to_string()), demand));
    of_ports.chain(profiles.iter().map(|(name, demand)| one(Of::Profile(name.to_string()), demand)))
}

fn one(of: Of, demand: &Demand) -> wire::PlanDemand {
    let Demand { require, at_most, forbid } = demand;
    let optional = |mode: &Option<Mode>| mode.map_or(0, xdp_mode_to_wire);
    wire::PlanDemand {
        of: Some(of),
        require: optional(require),
        at_most: optional(at_most),
        forbid: forbid.iter().map(|mode| xdp_mode_to_wire(*mode)).collect(),
    }
}

pub(super) fn from_wire(demand: wire::PlanDemand) -> Result<(Subject, Demand), DecodeError> {
    let wire::PlanDemand { of, require, at_most, forbid } = demand;
    let subject = match present("whose demand it is", of)? {
        Of::Port(port) => Subject::Port(name("port", &port)?),
        Of::Profile(profile) => Subject::Profile(name("hardware profile", &profile)?),
    };
    let optional = |mode: i32| if mode == 0 { Ok(None) } else { xdp_mode_from_wire(mode).map(Some) };
    let forbid = forbid.into_iter().map(xdp_mode_from_wire).collect::<Result<_, _>>()?;
    Ok((subject, Demand { require: optional(require)?, at_most: optional(at_most)?, forbid }))
}

/// All of one subject together.
pub(super) fn join(parts: Vec<(Subject, Demand)>) -> Demands {
    let mut demands = Demands::default();
    for (subject, demand) in parts {
        let held = match subject {
            Subject::Port(port) => demands.ports.entry(port).or_default(),
            Subject::Profile(profile) => demands.profiles.entry(profile).or_default(),
        };
        *held = held.and(&demand);
    }
    demands
}
