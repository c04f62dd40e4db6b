//! Plans that nobody would write by hand.

use std::net::IpAddr;

use anyhow::Result;
use selvedge_topology::demands::Demands;
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::model::{self, Direction, NodeRole, PortRole, RuleId};
use selvedge_topology::plan::{
    Decision, Outcome, Plan, PlanAddress, PlanInterval, PlanPort, PlanRow, PlanRule, PlanSet, PlanWorkload,
    SetId,
};
use selvedge_topology::timeouts::Timeouts;

const INTERVALS: u32 = 5;

fn list(id: u64) -> PlanSet {
    let interval = |number: u32| {
        let outcome = if number.is_multiple_of(2) { Outcome::Denied } else { Outcome::Allowed };
        let first = if number == 0 {
            L4Key::FIRST
        } else {
            L4Key::new(Protocol::TCP, 1_000 * number as u16 + id as u16)
        };
        PlanInterval { first, decision: Decision { outcome, rule: RuleId(1 + number % 2), logged: false } }
    };
    PlanSet { id: SetId(id), intervals: (0..INTERVALS).map(interval).collect() }
}

/// A plan of so many subjects, which name two in three of so many peers.
pub(crate) fn plan(subjects: u8, peers: u16) -> Result<Plan> {
    let address = |address: IpAddr, identity: Identity| PlanAddress {
        prefix: address.into(),
        identity,
        class: identity.into(),
    };
    let ours: Vec<(IpAddr, Identity)> =
        (0..subjects).map(|n| ([10, 1, 0, n + 1].into(), Identity(256 + u32::from(n)))).collect();
    let theirs: Vec<(IpAddr, Identity)> = (0..peers)
        .map(|n| ([10, 2, (n >> 8) as u8, n as u8].into(), Identity(1_000 + u32::from(n))))
        .collect();
    let mut rows = Vec::new();
    for (_, subject) in &ours {
        for direction in Direction::BOTH {
            let named = theirs.iter().enumerate().filter(|(number, _)| number % 3 > 0);
            let peers = named.map(|(number, (_, peer))| (Class::from(*peer), SetId(number as u64 % 8)));
            rows.push(PlanRow { subject: *subject, direction, default: SetId(0), peers: peers.collect() });
        }
    }
    let mut workloads = Vec::new();
    for (number, (address, identity)) in ours.iter().enumerate() {
        workloads.push(PlanWorkload {
            name: format!("x{number}").parse()?,
            identity: *identity,
            port: "w1".parse()?,
            addresses: [*address].into(),
        });
    }
    let rule = |id| PlanRule {
        id: RuleId(id),
        display: format!("rule {id}"),
        tier: None,
        direction: Direction::Ingress,
        action: model::Action::Allow,
    };
    Ok(Plan {
        demands: Demands::default(),
        node: "bench".parse()?,
        role: NodeRole::Host,
        timeouts: Timeouts::default(),
        ports: vec![
            PlanPort { name: "eth0".parse()?, role: PortRole::Uplink },
            PlanPort { name: "w1".parse()?, role: PortRole::Workload },
        ],
        workloads,
        addresses: ours.iter().chain(&theirs).map(|(ip, identity)| address(*ip, *identity)).collect(),
        rows: rows.into(),
        sets: (0..8).map(list).collect(),
        rules: [rule(1), rule(2)].into(),
        identities: Vec::new().into(),
    })
}

/// A plan of at least `size` addresses and about `size` policy entries: as many addresses more of the peers.
pub(crate) fn large(size: u32) -> Result<Plan> {
    const SUBJECTS: u8 = 20;
    let peers = size / u32::from(SUBJECTS) / 2 * 3 / 2;
    let mut plan = plan(SUBJECTS, peers as u16)?;
    let mut addresses = plan.addresses.edit();
    for number in 0..size {
        let [_, high, middle, low] = number.to_be_bytes();
        let identity = Identity(1_000 + number % peers);
        let prefix = IpAddr::from([11, high, middle, low]).into();
        addresses.push(PlanAddress { prefix, identity, class: identity.into() });
    }
    drop(addresses);
    Ok(plan)
}
