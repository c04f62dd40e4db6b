//! The plan codec against random plans and random damage.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod blocks;
mod random;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use random::{block_of, plan, small, split};
use selvedge_proto::plan::{EncodedPlan, Manifest, PlanDecodeError, PlanError, decode_plan, encode_plan};
use selvedge_proto::{ChunkError, Chunks, Digest, MAX_CHUNK_BYTES};
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::model::{Direction, PortRole, RuleId};
use selvedge_topology::plan::{BlockPlan, Plan, PlanAddress, PlanRow, PlanSet, PlanWorkload, SetId};
use selvedge_topology::timeouts::{Seconds, UDP};

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
        let encoded = encoded(&plan);
        assert_eq!(self::encoded(&plan.clone()), encoded);
        assert!(
            encoded
                .chunks
                .iter()
                .all(|(digest, chunk)| { chunk.len() <= MAX_CHUNK_BYTES && Digest::of(chunk) == digest })
        );
        assert_eq!(read_back(&encoded), plan);
        with_workloads += u32::from(!plan.workloads.is_empty());
        Ok(())
    });
    assert!(with_workloads >= CASES / 2, "{with_workloads} of {CASES} with workloads");
}

/// A plan that shares nothing.
fn encoded(plan: &Plan) -> EncodedPlan {
    encode_plan(&plan.clone().into()).unwrap()
}

/// Reads a plan, and checks that its chunks are those that it leads to, and no others.
fn read_back(encoded: &EncodedPlan) -> Plan {
    let manifest = Manifest::decode(encoded.digest, &encoded.manifest).unwrap();
    let outline = manifest.outline(&encoded.chunks).unwrap();
    let named: BTreeSet<Digest> = manifest.lists().chain(outline.chunks()).collect();
    assert!(named.into_iter().eq(encoded.chunks.digests()));
    manifest.plan(&encoded.chunks).unwrap()
}

#[test]
fn damage_is_refused_by_digest_and_never_panics() {
    each(CASES, SIZES, |u| {
        let EncodedPlan { manifest, digest: of, chunks } = encode_plan(&split(u)?.1).unwrap();
        let (digest, chunk) = chunks.iter().nth(u.choose_index(chunks.len())?).unwrap();
        let mut damaged = chunk.to_vec();
        damaged[u.choose_index(chunk.len())?] ^= u.int_in_range(1..=255)?;
        let found = Digest::of(&damaged);
        let mut held = without(&chunks, digest);
        assert_eq!(held.insert(digest, damaged), Err(ChunkError::Corrupt { digest, found }));
        let missing = PlanDecodeError::Chunk(ChunkError::Missing { digest });
        assert_eq!(decode_plan(of, &manifest, &held), Err(missing));
        Ok(())
    });
}

fn without(chunks: &Chunks, gone: Digest) -> Chunks {
    let mut rest = Chunks::new();
    rest.take_over(chunks.digests().filter(|digest| *digest != gone), chunks);
    rest
}

/// Bytes whose digests are right and whose content is anything: what a hostile writer of etcd can make.
#[test]
fn forged_content_never_panics_and_never_makes_a_plan_that_breaks_its_promises() {
    let (mut refused, mut accepted) = (0u32, 0u32);
    each(CASES, SIZES, |u| {
        let count = u.int_in_range(1..=3)?;
        let damages: [(usize, usize, u8); 3] = u.arbitrary()?; // now: a large plan takes all the bytes there are
        let EncodedPlan { mut manifest, mut chunks, .. } = encode_plan(&split(u)?.1).unwrap();
        for (section, at, byte) in damages.into_iter().take(count) {
            let (digest, content) = chunks.iter().nth(section % chunks.len()).unwrap();
            let mut forged = content.to_vec();
            let at = at % forged.len();
            forged[at] = byte;
            exchange(&mut manifest, &mut chunks, digest, forged);
        }
        match decode_plan(Digest::of(&manifest), &manifest, &chunks) {
            Ok(read) => {
                accepted += 1;
                let EncodedPlan { manifest, digest, chunks } = encoded(&read);
                assert_eq!(decode_plan(digest, &manifest, &chunks), Ok(read));
            }
            Err(_) => refused += 1,
        }
        Ok(())
    });
    assert!(refused >= CASES / 4 && accepted >= 5, "{refused} refused, {accepted} accepted");
}

/// Puts `content` in the place of a chunk, wherever that is named.
fn exchange(manifest: &mut [u8], chunks: &mut Chunks, old: Digest, content: Vec<u8>) {
    let new = Digest::of(&content);
    *chunks = without(chunks, old);
    chunks.insert(new, content).unwrap();
    replace(manifest, old, new);
    for (list, content) in without(chunks, new).iter() {
        let mut content = content.to_vec();
        if replace(&mut content, old, new) {
            exchange(manifest, chunks, list, content);
        }
    }
}

fn replace(bytes: &mut [u8], from: Digest, to: Digest) -> bool {
    let found = bytes.windows(32).position(|window| window == from.as_bytes());
    if let Some(at) = found {
        bytes[at..at + 32].copy_from_slice(to.as_bytes());
    }
    found.is_some()
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

/// Encodes what is no plan and says how reading it ends.
fn refusal(change: impl FnOnce(&mut Plan)) -> PlanError {
    let mut plan = small();
    change(&mut plan);
    refusal_of(&plan.into())
}

fn refusal_of(plan: &BlockPlan) -> PlanError {
    let encoded = encode_plan(plan).unwrap();
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
        refusal(|plan| drop(plan.rows.edit().remove(1))),
        PlanError::NoRow { workload: "web1".parse().unwrap(), direction: Direction::Egress }
    );
    assert_eq!(refusal(|plan| plan.workloads.clear()), PlanError::StrayRow { subject: Identity(256) });
    assert_eq!(refusal(|plan| plan.sets[0].intervals.clear()), PlanError::Incomplete { set: SetId(1) });
    assert_eq!(
        refusal(|plan| plan.rules.edit().clear()),
        PlanError::NoRule { set: SetId(1), rule: RuleId(7) }
    );
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
    assert!(matches!(refusal(|plan| plan.addresses.edit().clear()), PlanError::WorkloadAddress { .. }));
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
        refusal(|plan| plan.addresses.edit().push(mapped.clone())),
        PlanError::MappedAddress { prefix: mapped.prefix }
    );
    assert_eq!(
        refusal(|plan| {
            let default = SetId(2);
            let set = PlanSet { id: default, ..plan.sets[0].clone() };
            plan.sets.edit().push(set);
            let row = PlanRow { default, ..plan.rows[0].clone() };
            plan.rows.edit().push(row);
        }),
        PlanError::Order { section: "rows", entry: "256 ingress".into() }
    );
}

/// Agents and controllers of different versions share etcd: what a plan looks like there changes only on purpose,
/// with the format's number.
#[test]
fn the_bytes_of_a_plan_are_pinned() {
    let plan = BlockPlan { own: small(), shared: vec![Arc::new(block_of(&small()))] };
    let digest = encode_plan(&plan).unwrap().digest.to_string();
    assert_eq!(digest, "b8eceb34b3ad90028754167a5115c92841478a90584916cc367a6470af4c99c3");
}
