//! Plans and machines at random, small enough that they often share parts.

use std::ops::RangeInclusive;

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use selvedge_hw_profiles::{Demand, Mode};
use selvedge_topology::demands::Demands;
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::model::{Direction, NodeRole, PortRole};
use selvedge_topology::plan::{Outcome, Plan, PlanAddress, PlanPort, PlanRow, PlanSet, PlanWorkload, SetId};

use super::world::World;
use crate::machine::Machine;
use crate::testing::{self, Sample, name, rule};

const PORTS: [&str; 4] = ["eth0", "w1", "w2", "w3"];

/// Runs `property` on `count` cases, from `sizes.start()` to `sizes.end()` random bytes long: the same ones everywhere, and no
/// fewer on a machine that is busy.
pub(super) fn each(
    count: u32,
    sizes: RangeInclusive<u32>,
    mut property: impl FnMut(&mut Unstructured<'_>) -> Result<()>,
) {
    let (least, most) = sizes.into_inner();
    for number in 1..=count {
        let size = least + (u64::from(most - least) * u64::from(number) / u64::from(count)) as u32;
        let random = number.wrapping_mul(0x9e37_79b9); // not zero, and no two alike: an odd factor
        arbtest(&mut property).seed(u64::from(random) << 32 | u64::from(size));
    }
}

pub(super) fn machine(u: &mut Unstructured<'_>) -> Result<Machine> {
    let present: Vec<&str> = some(u, &PORTS, 7)?;
    Ok(testing::machine(&present))
}

/// Deletes a port, or makes one again, or has it attached in another mode than would be chosen now.
pub(super) fn disturb(u: &mut Unstructured<'_>, world: &mut World) -> Result<()> {
    for (index, port) in (50..).zip(PORTS) {
        match u.int_in_range(0..=7)? {
            0 => world.remove_interface(port),
            1 => {
                world.remove_interface(port);
                world.add_interface(port, index);
            }
            2 => world.overtake(port),
            3 => world.change_mode(port, Mode::Generic),
            _ => {}
        }
    }
    Ok(())
}

/// Each of `all` in `of` eighths of the cases.
fn some<T: Copy>(u: &mut Unstructured<'_>, all: &[T], of: u8) -> Result<Vec<T>> {
    let mut chosen = Vec::new();
    for item in all {
        if u.int_in_range(1..=8)? <= of {
            chosen.push(*item);
        }
    }
    Ok(chosen)
}

pub(super) fn plan(u: &mut Unstructured<'_>) -> Result<Plan> {
    let mut ports = Vec::new();
    for port in some(u, &PORTS, 6)? {
        let role =
            *u.choose(&[PortRole::Uplink, PortRole::Workload, PortRole::Workload, PortRole::Fabric])?;
        ports.push(PlanPort { name: name(port), role });
    }
    let sets = sets(u)?;
    let (mut workloads, mut addresses, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for (number, port) in (1..=3_u32).zip(ports.clone()) {
        let address: std::net::IpAddr = format!("10.1.0.{number}").parse().unwrap();
        let identity = Identity(256 + u.int_in_range(0..=1)?);
        let class = Class(identity.0);
        workloads.push(PlanWorkload {
            name: name(&format!("x{number}")),
            identity,
            port: port.name,
            addresses: [address].into(),
        });
        addresses.push(PlanAddress { prefix: address.into(), identity, class });
    }
    for prefix in some(u, &["10.0.0.0/8", "10.1.0.0/16", "fd00::/16"], 4)? {
        let identity = Identity(u.int_in_range(2..=3)?);
        addresses.push(PlanAddress { prefix: prefix.parse().unwrap(), identity, class: identity.into() });
    }
    addresses.sort();
    for subject in [256, 257].map(Identity) {
        for direction in Direction::BOTH {
            let default = u.choose(&sets)?.id;
            let mut peers = Vec::new();
            for class in some(u, &[2, 256, 257, 0x8000_0000_u32], 3)? {
                peers.push((Class(class), u.choose(&sets)?.id));
            }
            rows.push(PlanRow { subject, direction, default, peers });
        }
    }
    let mut demands = Demands::default();
    for port in some(u, &PORTS, 1)? {
        let generic = Demand { at_most: Some(Mode::Generic), ..Demand::default() };
        demands.ports.insert(name(port), generic);
    }
    let rules = some(u, &[1, 2, 3, 4, 5_u32], 5)?.into_iter().map(rule).collect();
    let role = *u.choose(&[NodeRole::Host, NodeRole::Switch])?;
    Ok(Plan {
        demands,
        role,
        ports,
        workloads,
        addresses: addresses.into(),
        rows: rows.into(),
        sets: sets.into(),
        rules,
        ..Sample::new().plan
    })
}

fn sets(u: &mut Unstructured<'_>) -> Result<Vec<PlanSet>> {
    let mut sets = Vec::new();
    for id in 1..=u.int_in_range(1..=4)? {
        let mut intervals = vec![(0, Outcome::Denied, 1)];
        // About half of them are longer than what an entry holds itself.
        for first in some(u, &[10, 20, 30, 40, 50, 60_u32], 4)? {
            let outcome = *u.choose(&[Outcome::Denied, Outcome::Allowed, Outcome::AllowedStateless])?;
            intervals.push((first, outcome, u.int_in_range(1..=5)?));
        }
        sets.push(PlanSet { id: SetId(id), ..testing::set(id, &intervals) });
    }
    Ok(sets)
}
