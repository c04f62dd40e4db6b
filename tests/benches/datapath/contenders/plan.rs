//! A world as the plan of its node. From there on everything is the agent's own: lowering, tables, program.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;
use ipnet::IpNet;
use selvedge_topology::demands::Demands;
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::model::{Action, Direction, NodeRole, PortRole, RuleId};
use selvedge_topology::plan::{
    Decision, Outcome, Plan, PlanAddress, PlanInterval, PlanPort, PlanRow, PlanRule, PlanSet, PlanWorkload,
    SetId,
};
use selvedge_topology::timeouts::Timeouts;

use crate::stage::{PORT, SERVICE, WORKLOAD};
use crate::world::{Denials, Policy, World};

const DENY_ALL: SetId = SetId(1);
const SERVICE_ONLY: SetId = SetId(2);
const ALLOW_ALL: SetId = SetId(3);
const DENY: RuleId = RuleId(1);
const ALLOW: RuleId = RuleId(2);

/// The plan of the node that enforces `world`.
pub(super) fn plan(world: &World) -> Result<Plan> {
    let peers = peers(world);
    let mut addresses: BTreeMap<IpNet, Identity> = peers.addresses.into_iter().collect();
    addresses
        .extend(world.subjects.iter().enumerate().map(|(index, address)| (host(*address), subject(index))));
    let entry =
        |(prefix, identity): (IpNet, Identity)| PlanAddress { prefix, identity, class: identity.into() };
    let rows = (0..world.subjects.len()).flat_map(|index| {
        let ingress = PlanRow {
            subject: subject(index),
            direction: Direction::Ingress,
            default: peers.default,
            peers: peers.named.clone(),
        };
        let egress =
            PlanRow { direction: Direction::Egress, default: DENY_ALL, peers: Vec::new(), ..ingress.clone() };
        [ingress, egress]
    });
    Ok(Plan {
        demands: Demands::default(),
        node: "bench".parse()?,
        role: NodeRole::Host,
        timeouts: Timeouts::default(),
        ports: vec![
            PlanPort { name: PORT.parse()?, role: PortRole::Uplink },
            PlanPort { name: WORKLOAD.parse()?, role: PortRole::Workload },
        ],
        workloads: workloads(world)?,
        addresses: addresses.into_iter().map(entry).collect(),
        rows: rows.collect(),
        sets: sets(world.denials == Denials::Logged).into(),
        rules: [(DENY, Action::Deny), (ALLOW, Action::Allow)].map(|(id, action)| rule(id, action)).into(),
        identities: Vec::new().into(),
    })
}

fn subject(index: usize) -> Identity {
    Identity(Identity::FIRST_LABELS.0 + index as u32)
}

fn host(address: IpAddr) -> IpNet {
    address.into()
}

/// The other ends: who has which identity, and what rows say of whom.
struct Peers {
    addresses: Vec<(IpNet, Identity)>,
    named: Vec<(Class, SetId)>,
    default: SetId,
}

fn peers(world: &World) -> Peers {
    let first = Identity::FIRST_LABELS.0 + world.subjects.len() as u32;
    let named = |identities: &[(IpNet, Identity)], set: SetId| {
        let classes: BTreeMap<Class, SetId> =
            identities.iter().map(|(_, identity)| (Class::from(*identity), set)).collect();
        classes.into_iter().collect()
    };
    match &world.policy {
        Policy::Pairs | Policy::Identities => {
            let identity = |index| Identity(first + world.peer_identity(index));
            let addresses: Vec<(IpNet, Identity)> = (world.peers.iter().enumerate())
                .map(|(index, address)| (host(*address), identity(index)))
                .collect();
            Peers { named: named(&addresses, SERVICE_ONLY), addresses, default: DENY_ALL }
        }
        Policy::Blocked(networks) => {
            let identities = (Identity::FIRST_CIDR.0..).map(Identity);
            let addresses: Vec<(IpNet, Identity)> = networks.iter().copied().zip(identities).collect();
            Peers { named: named(&addresses, DENY_ALL), addresses, default: ALLOW_ALL }
        }
    }
}

fn workloads(world: &World) -> Result<Vec<PlanWorkload>> {
    let workload = |(index, address): (usize, &IpAddr)| {
        Ok(PlanWorkload {
            name: format!("w{index:05}").parse()?,
            identity: subject(index),
            port: WORKLOAD.parse()?,
            addresses: [*address].into(),
        })
    };
    world.subjects.iter().enumerate().map(workload).collect()
}

fn sets(logs: bool) -> Vec<PlanSet> {
    let interval = |first, outcome, rule| PlanInterval {
        first,
        decision: Decision { outcome, rule, logged: logs && outcome == Outcome::Denied },
    };
    let denied = |first| interval(first, Outcome::Denied, DENY);
    let service = L4Key::new(Protocol::TCP, SERVICE);
    let after = L4Key::new(Protocol::TCP, SERVICE + 1);
    let service_only = vec![denied(L4Key::FIRST), interval(service, Outcome::Allowed, ALLOW), denied(after)];
    vec![
        PlanSet { id: DENY_ALL, intervals: vec![denied(L4Key::FIRST)] },
        PlanSet { id: SERVICE_ONLY, intervals: service_only },
        PlanSet { id: ALLOW_ALL, intervals: vec![interval(L4Key::FIRST, Outcome::AllowedStateless, ALLOW)] },
    ]
}

fn rule(id: RuleId, action: Action) -> PlanRule {
    let display = format!("bench/ingress/{:08x}", id.0);
    PlanRule { id, display, tier: None, direction: Direction::Ingress, action }
}
