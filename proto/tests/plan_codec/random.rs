//! Random plans, whole and in blocks, and a small one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arbtest::arbitrary::{Result, Unstructured};
use ipnet::IpNet;
use selvedge_topology::demands::{Demand, Demands, Mode};
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::l4::L4Key;
use selvedge_topology::labels::Labels;
use selvedge_topology::model::{Action, Direction, NodeRole, PortRole, RuleId};
use selvedge_topology::plan::{
    Block, BlockPlan, Decision, Outcome, Plan, PlanAddress, PlanIdentity, PlanInterval, PlanPort, PlanRow,
    PlanRule, PlanSet, PlanWorkload, Runs, SetId,
};
use selvedge_topology::timeouts::{Seconds, Timeouts};

fn address(u: &mut Unstructured) -> Result<IpAddr> {
    let low = u.int_in_range(0..=50_000u32)?;
    Ok(if u.arbitrary()? {
        Ipv4Addr::from(0x0a00_0000 + low).into()
    } else {
        Ipv6Addr::from(0xfd00 << 112 | u128::from(low)).into()
    })
}

fn decision(u: &mut Unstructured, rules: &[PlanRule]) -> Result<Decision> {
    let outcomes = [Outcome::Denied, Outcome::Allowed, Outcome::AllowedStateless, Outcome::DeniedDraining];
    Ok(Decision { outcome: *u.choose(&outcomes)?, rule: u.choose(rules)?.id, logged: u.arbitrary()? })
}

fn rules(u: &mut Unstructured) -> Result<Vec<PlanRule>> {
    let ids: BTreeSet<u32> = (0..u.int_in_range(1..=20)?).map(|_| u.arbitrary()).collect::<Result<_>>()?;
    let rule = |id| PlanRule {
        id: RuleId(id),
        display: format!("policy/ingress/{id:08x}"),
        tier: (id % 3 != 0).then(|| "application".parse().unwrap()),
        direction: if id % 2 == 0 { Direction::Ingress } else { Direction::Egress },
        action: [Action::Allow, Action::Deny, Action::Pass][id as usize % 3],
    };
    Ok(ids.into_iter().map(rule).collect())
}

fn sets(u: &mut Unstructured, rules: &[PlanRule]) -> Result<Vec<PlanSet>> {
    let mut sets = Vec::new();
    let ids: BTreeSet<u64> = (0..u.int_in_range(1..=8)?).map(|_| u.arbitrary()).collect::<Result<_>>()?;
    for id in ids {
        let mut starts: BTreeSet<u32> = BTreeSet::from([0]);
        for _ in 0..u.int_in_range(0..=40)? {
            starts.insert(u.int_in_range(0..=L4Key::LAST.number())?);
        }
        let mut intervals: Vec<PlanInterval> = Vec::new();
        for first in starts {
            let decision = decision(u, rules)?;
            if intervals.last().is_none_or(|last| last.decision != decision) {
                intervals.push(PlanInterval { first: L4Key::from_number(first).unwrap(), decision });
            }
        }
        sets.push(PlanSet { id: SetId(id), intervals });
    }
    Ok(sets)
}

fn rows(u: &mut Unstructured, sets: &[PlanSet], subjects: &BTreeSet<Identity>) -> Result<Vec<PlanRow>> {
    let mut rows = Vec::new();
    for subject in subjects {
        for direction in Direction::BOTH {
            let mut peers = BTreeMap::new();
            for _ in 0..u.int_in_range(0..=600)? {
                peers.insert(Class(u.int_in_range(1..=100_000)?), u.choose(sets)?.id);
            }
            let default = u.choose(sets)?.id;
            rows.push(PlanRow { subject: *subject, direction, default, peers: peers.into_iter().collect() });
        }
    }
    Ok(rows)
}

/// Any plan that keeps the promises of the type.
pub(super) fn plan(u: &mut Unstructured) -> Result<Plan> {
    let rules = rules(u)?;
    let sets = sets(u, &rules)?;
    let mut addresses: BTreeMap<IpAddr, u32> = BTreeMap::new();
    for _ in 0..u.int_in_range(0..=300)? {
        addresses.insert(address(u)?, 256 + u.int_in_range(0..=5)?);
    }
    let local = addresses.iter().take(4).enumerate();
    let workloads: Vec<PlanWorkload> = local
        .map(|(index, (address, identity))| PlanWorkload {
            name: format!("w{index}").parse().unwrap(),
            identity: Identity(*identity),
            port: "p0".parse().unwrap(),
            addresses: [*address].into(),
        })
        .collect();
    let subjects = workloads.iter().map(|workload| workload.identity).collect();
    let identities: BTreeSet<u32> = addresses.values().copied().collect();
    let mut addresses: Vec<PlanAddress> = addresses
        .into_iter()
        .map(|(address, number)| PlanAddress {
            prefix: address.into(),
            identity: Identity(number),
            class: Class(number),
        })
        .collect();
    addresses.sort();
    Ok(Plan {
        demands: demands(u)?,
        node: "host1".parse().unwrap(),
        role: *u.choose(&[NodeRole::Host, NodeRole::Dpu, NodeRole::Switch])?,
        timeouts: Timeouts { udp: Seconds(u.int_in_range(15..=86_400)?), ..Timeouts::default() },
        ports: vec![
            PlanPort { name: "eth0".parse().unwrap(), role: PortRole::Uplink },
            PlanPort { name: "p0".parse().unwrap(), role: PortRole::Workload },
        ],
        rows: rows(u, &sets, &subjects)?.into(),
        workloads,
        addresses: addresses.into(),
        sets: sets.into(),
        rules: rules.into(),
        identities: identities
            .into_iter()
            .map(|number| PlanIdentity {
                identity: Identity(number),
                labels: Labels([("n".parse().unwrap(), number.to_string().parse().unwrap())].into()),
            })
            .collect(),
    })
}

fn demands(u: &mut Unstructured<'_>) -> Result<Demands> {
    let demand = |u: &mut Unstructured<'_>| {
        let mode =
            |u: &mut Unstructured<'_>| u.choose(&[Mode::Offload, Mode::Native, Mode::Generic]).copied();
        let require = Some(mode(u)?).filter(|mode| *mode != Mode::Generic);
        Ok(Demand { require, at_most: Some(mode(u)?), forbid: [mode(u)?].into() })
    };
    let mut demands = Demands::default();
    if u.arbitrary()? {
        demands.ports.insert("p0".parse().unwrap(), demand(u)?);
        demands.profiles.insert("nfp".parse().unwrap(), demand(u)?);
        demands.profiles.insert("veth".parse().unwrap(), demand(u)?);
    }
    Ok(demands)
}

/// Small numbers, of a seed: the plan uses up the random bytes.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// Copies what is in `own` to some of the blocks, and takes half of that away from it.
    fn scatter<T: Clone>(
        &mut self,
        own: &mut Runs<T>,
        blocks: &mut [Block],
        list: impl Fn(&mut Block) -> &mut Vec<T>,
    ) {
        own.edit().retain(|entry| {
            let copies = self.below(3);
            for _ in 0..copies {
                let index = self.below(blocks.len());
                list(&mut blocks[index]).push(entry.clone());
            }
            copies == 0 || self.below(2) == 0
        });
    }
}

/// Any plan, as it is and in blocks that overlap. Of some addresses, others say something else than the node itself.
pub(super) fn split(u: &mut Unstructured) -> Result<(Plan, BlockPlan)> {
    let mut dice = Dice(u.arbitrary()?);
    let mut blocks = vec![Block::default(); dice.below(6) + 1];
    let plan = plan(u)?;
    let mut own = plan.clone();
    dice.scatter(&mut own.addresses, &mut blocks, |block| &mut block.addresses);
    dice.scatter(&mut own.rows, &mut blocks, |block| &mut block.rows);
    dice.scatter(&mut own.sets, &mut blocks, |block| &mut block.sets);
    dice.scatter(&mut own.rules, &mut blocks, |block| &mut block.rules);
    dice.scatter(&mut own.identities, &mut blocks, |block| &mut block.identities);
    let known: BTreeSet<IpNet> = own.addresses.iter().map(|entry| entry.prefix).collect();
    for entry in blocks.iter_mut().flat_map(|block| &mut block.addresses) {
        if known.contains(&entry.prefix) && dice.below(2) == 0 {
            (entry.identity, entry.class) = (Identity::REMOTE_NODE, Identity::REMOTE_NODE.into());
        }
    }
    Ok((plan, BlockPlan { own, shared: blocks.into_iter().map(Arc::new).collect() }))
}

/// All of a plan that can be shared.
pub(super) fn block_of(plan: &Plan) -> Block {
    let Plan { addresses, rows, sets, rules, identities, .. } = plan;
    Block {
        addresses: addresses.to_vec(),
        rows: rows.to_vec(),
        sets: sets.to_vec(),
        rules: rules.to_vec(),
        identities: identities.to_vec(),
    }
}

/// A plan with one of everything.
pub(super) fn small() -> Plan {
    let rule = PlanRule {
        id: RuleId(7),
        display: "shop/ingress/http".into(),
        tier: None,
        direction: Direction::Ingress,
        action: Action::Allow,
    };
    let decision = Decision { outcome: Outcome::Allowed, rule: RuleId(7), logged: false };
    let row = |direction| PlanRow { subject: Identity(256), direction, default: SetId(1), peers: vec![] };
    Plan {
        demands: Demands::default(),
        node: "host1".parse().unwrap(),
        role: NodeRole::Host,
        timeouts: Timeouts::default(),
        ports: vec![PlanPort { name: "p0".parse().unwrap(), role: PortRole::Workload }],
        workloads: vec![PlanWorkload {
            name: "web1".parse().unwrap(),
            identity: Identity(256),
            port: "p0".parse().unwrap(),
            addresses: ["10.0.0.1".parse().unwrap()].into(),
        }],
        addresses: [PlanAddress {
            prefix: "10.0.0.1/32".parse().unwrap(),
            identity: Identity(256),
            class: Class(256),
        }]
        .into(),
        rows: [row(Direction::Ingress), row(Direction::Egress)].into(),
        sets: [PlanSet { id: SetId(1), intervals: vec![PlanInterval { first: L4Key::FIRST, decision }] }]
            .into(),
        rules: [rule].into(),
        identities: Runs::default(),
    }
}
