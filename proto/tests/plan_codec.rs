//! The plan codec against random plans and random damage.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use selvedge_proto::plan::{EncodedPlan, Manifest, PlanDecodeError, PlanError, decode_plan, encode_plan};
use selvedge_proto::{Digest, MAX_CHUNK_BYTES};
use selvedge_topology::demands::{Demand, Demands, Mode};
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::l4::L4Key;
use selvedge_topology::labels::Labels;
use selvedge_topology::model::{Action, Direction, NodeRole, PortRole, RuleId};
use selvedge_topology::plan::{
    Decision, Outcome, Plan, PlanAddress, PlanIdentity, PlanInterval, PlanPort, PlanRow, PlanRule, PlanSet,
    PlanWorkload, SetId,
};
use selvedge_topology::timeouts::{Seconds, Timeouts, UDP};

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
fn plan(u: &mut Unstructured) -> Result<Plan> {
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
        rows: rows(u, &sets, &subjects)?,
        workloads,
        addresses,
        sets,
        rules,
        identities: identities
            .into_iter()
            .map(|number| PlanIdentity {
                identity: Identity(number),
                labels: Labels([("n".parse().unwrap(), number.to_string().parse().unwrap())].into()),
            })
            .collect(),
    })
}

/// Cases of a property of plans, and how many random bytes one is made of.
const CASES: u32 = 200;
const SIZES: RangeInclusive<u32> = 512..=2_048;

/// Runs `property` on `count` cases, from `sizes.start()` to `sizes.end()` random bytes long: the same ones everywhere, and no
/// fewer on a machine that is busy.
fn each(
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

#[test]
fn a_plan_comes_back_as_it_was_and_equal_plans_are_equal_bytes() {
    let mut with_workloads = 0u32;
    each(CASES, SIZES, |u| {
        let plan = plan(u)?;
        let encoded = encode_plan(&plan).unwrap();
        assert_eq!(encode_plan(&plan.clone()).unwrap(), encoded);
        assert!(
            encoded
                .chunks
                .iter()
                .all(|(digest, chunk)| { chunk.len() <= MAX_CHUNK_BYTES && Digest::of(chunk) == *digest })
        );
        let manifest = Manifest::decode(encoded.digest, &encoded.manifest).unwrap();
        assert!(manifest.chunks().iter().eq(encoded.chunks.keys()));
        assert_eq!(manifest.plan(&encoded.chunks).unwrap(), plan);
        with_workloads += u32::from(!plan.workloads.is_empty());
        Ok(())
    });
    assert!(with_workloads >= CASES / 2, "{with_workloads} of {CASES} with workloads");
}

#[test]
fn damage_is_refused_by_digest_and_never_panics() {
    each(CASES, SIZES, |u| {
        let mut encoded = encode_plan(&plan(u)?).unwrap();
        let count = encoded.chunks.len();
        let (digest, chunk) = encoded.chunks.iter_mut().nth(u.choose_index(count)?).unwrap();
        let (digest, at) = (*digest, u.choose_index(chunk.len())?);
        chunk[at] ^= u.int_in_range(1..=255)?;
        let found = Digest::of(chunk);
        let refused = decode_plan(encoded.digest, &encoded.manifest, &encoded.chunks).unwrap_err();
        let expected = selvedge_proto::ChunkError::Corrupt { digest, found };
        assert!(matches!(refused, PlanDecodeError::Chunk { source, .. } if source == expected));
        Ok(())
    });
}

/// Bytes whose digests are right and whose content is anything: what a hostile writer of etcd can make.
#[test]
fn forged_content_never_panics_and_never_makes_a_plan_that_breaks_its_promises() {
    let (mut refused, mut accepted) = (0u32, 0u32);
    each(CASES, SIZES, |u| {
        let count = u.int_in_range(1..=3)?;
        let damages: [(usize, usize, u8); 3] = u.arbitrary()?; // now: a large plan takes all the bytes there are
        let EncodedPlan { mut manifest, mut chunks, .. } = encode_plan(&plan(u)?).unwrap();
        for (section, at, byte) in damages.into_iter().take(count) {
            let digest = *chunks.keys().nth(section % chunks.len()).unwrap();
            let mut forged = chunks.remove(&digest).unwrap();
            let at = at % forged.len();
            forged[at] = byte;
            let new = Digest::of(&forged);
            replace(&mut manifest, digest.as_bytes(), new.as_bytes());
            chunks.insert(new, forged);
        }
        match decode_plan(Digest::of(&manifest), &manifest, &chunks) {
            Ok(read) => {
                accepted += 1;
                let EncodedPlan { manifest, digest, chunks } = encode_plan(&read).unwrap();
                assert_eq!(decode_plan(digest, &manifest, &chunks), Ok(read));
            }
            Err(_) => refused += 1,
        }
        Ok(())
    });
    assert!(refused >= CASES / 4 && accepted >= 5, "{refused} refused, {accepted} accepted");
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    if let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

#[test]
fn any_bytes_as_a_manifest_are_refused_or_read() {
    each(10_000, 0..=1024, |u| {
        let bytes: Vec<u8> = u.arbitrary()?;
        let _ = Manifest::decode(Digest::of(&bytes), &bytes);
        let _ = selvedge_proto::Target::decode(&bytes);
        let _ = selvedge_proto::Report::decode(&bytes);
        let _ = selvedge_proto::GenerationRecord::decode(&bytes);
        let _ = selvedge_proto::decode_identity(&bytes);
        Ok(())
    });
    let other = Digest::of(b"x");
    let found = Digest::of(b"y");
    assert_eq!(Manifest::decode(other, b"y"), Err(PlanDecodeError::Corrupt { digest: other, found }));
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

fn small() -> Plan {
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
        addresses: vec![PlanAddress {
            prefix: "10.0.0.1/32".parse().unwrap(),
            identity: Identity(256),
            class: Class(256),
        }],
        rows: vec![row(Direction::Ingress), row(Direction::Egress)],
        sets: vec![PlanSet { id: SetId(1), intervals: vec![PlanInterval { first: L4Key::FIRST, decision }] }],
        rules: vec![rule],
        identities: vec![],
    }
}

/// Encodes what is no plan and says how reading it ends.
fn refusal(change: impl FnOnce(&mut Plan)) -> PlanError {
    let mut plan = small();
    change(&mut plan);
    let encoded = encode_plan(&plan).unwrap();
    match decode_plan(encoded.digest, &encoded.manifest, &encoded.chunks) {
        Err(PlanDecodeError::Plan(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_breaks_the_promises_of_a_plan_is_refused_by_name() {
    assert_eq!(
        refusal(|plan| plan.rows[0].default = SetId(2)),
        PlanError::NoSet { subject: Identity(256), direction: Direction::Ingress, set: SetId(2) }
    );
    assert_eq!(
        refusal(|plan| plan.rows[0].peers = vec![(Class(0), SetId(1))]),
        PlanError::ReservedClass { subject: Identity(256), direction: Direction::Ingress }
    );
    assert_eq!(
        refusal(|plan| drop(plan.rows.remove(1))),
        PlanError::NoRow { workload: "web1".parse().unwrap(), direction: Direction::Egress }
    );
    assert_eq!(refusal(|plan| plan.workloads.clear()), PlanError::StrayRow { subject: Identity(256) });
    assert_eq!(refusal(|plan| plan.sets[0].intervals.clear()), PlanError::Incomplete { set: SetId(1) });
    assert_eq!(refusal(|plan| plan.rules.clear()), PlanError::NoRule { set: SetId(1), rule: RuleId(7) });
    assert_eq!(
        refusal(|plan| plan.ports[0].role = PortRole::Management),
        PlanError::ManagementPort { port: "p0".parse().unwrap() }
    );
    assert_eq!(
        refusal(|plan| plan.ports[0].role = PortRole::Fabric),
        PlanError::WorkloadPort { workload: "web1".parse().unwrap(), port: "p0".parse().unwrap() }
    );
    assert_eq!(
        refusal(|plan| plan.timeouts.udp = Seconds(1)),
        PlanError::Timeout { kind: "udp", time: Seconds(1), least: UDP.least, most: UDP.most }
    );
    assert!(matches!(refusal(|plan| plan.addresses.clear()), PlanError::WorkloadAddress { .. }));
    let twin = |name: &str| PlanWorkload { name: name.parse().unwrap(), ..small().workloads.remove(0) };
    assert_eq!(
        refusal(|plan| plan.workloads.push(twin("web2"))),
        PlanError::SharedAddress {
            address: "10.0.0.1".parse().unwrap(),
            workload: "web2".parse().unwrap(),
            other: "web1".parse().unwrap()
        }
    );
    let mapped = PlanAddress {
        prefix: "::ffff:10.0.0.1/128".parse().unwrap(),
        identity: Identity(257),
        class: Class(257),
    };
    assert_eq!(
        refusal(|plan| plan.addresses.push(mapped.clone())),
        PlanError::MappedAddress { prefix: mapped.prefix }
    );
    assert_eq!(
        refusal(|plan| plan.rows.swap(0, 1)),
        PlanError::Order { section: "rows", entry: "256 ingress".into() }
    );
}

/// Agents and controllers of different versions share etcd: what a plan looks like there changes only on purpose,
/// with the format's number.
#[test]
fn the_bytes_of_a_plan_are_pinned() {
    let digest = encode_plan(&small()).unwrap().digest.to_string();
    assert_eq!(digest, "8c217cdbc53944da640245cb47fceb55f008d150278096b5143b49068854e1c8");
}

#[test]
fn nodes_share_the_chunks_of_equal_sections() {
    let one = small();
    let other = Plan { node: "host2".parse().unwrap(), role: NodeRole::Dpu, ..one.clone() };
    let (one, other) = (encode_plan(&one).unwrap(), encode_plan(&other).unwrap());
    assert_ne!(one.digest, other.digest);
    assert_eq!(one.chunks, other.chunks);
}
