//! What nodes share: read as it is said to be joined, stored once, and bounded.

use std::sync::Arc;

use arbtest::arbitrary::{Result, Unstructured};
use selvedge_proto::plan::{
    MAX_PLAN_BYTES, MAX_PLAN_CHUNKS, Manifest, Pieces, PlanDecodeError, PlanError, check_size, encode_block,
    encode_node, encode_plan,
};
use selvedge_proto::{ChunkError, Chunks, DecodeError, Digest};
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::model::Direction;
use selvedge_topology::plan::{Block, BlockPlan, Plan, PlanAddress, PlanIdentity, PlanRow, SetId};

use super::random::{block_of, small, split};
use super::{CASES, SIZES, each, read_back, refusal_of};

#[test]
fn a_plan_in_blocks_is_read_as_its_parts_together_say() {
    let (mut own_word, mut twice) = (0, 0);
    each(CASES, SIZES, |u| {
        let (plan, blocks) = split(u)?;
        assert_eq!(blocks.join(), plan);
        let encoded = encode_plan(&blocks).unwrap();
        assert_eq!(read_back(&encoded), plan);
        let shared = || blocks.shared.iter().flat_map(|block| &block.addresses);
        own_word += shared().filter(|entry| plan.entry(&entry.prefix) != Some(entry)).count();
        twice += blocks.shared.iter().map(|block| block.rules.len()).sum::<usize>() + blocks.own.rules.len()
            - plan.rules.len();
        Ok(())
    });
    assert!(own_word > 200, "{own_word} times the node's own word counted");
    assert!(twice > 500, "{twice} rules said again");
}

#[test]
fn a_plan_that_is_read_after_others_is_what_it_is_when_it_is_read_alone() {
    let (mut plans, mut refused) = (0, 0);
    each(120, 8 << 10..=64 << 10, |u| {
        let (mut pieces, mut blocks) = (Pieces::default(), split(u)?.1);
        for _ in 0..12 {
            let encoded = encode_plan(&blocks).unwrap();
            let manifest = Manifest::decode(encoded.digest, &encoded.manifest).unwrap();
            let alone = manifest.plan(&encoded.chunks);
            let after = manifest.outline(&encoded.chunks).unwrap().plan_after(&encoded.chunks, &mut pieces);
            assert_eq!(after, alone);
            *if alone.is_ok() { &mut plans } else { &mut refused } += 1;
            change(u, &mut blocks)?;
        }
        Ok(())
    });
    assert!(plans > 100 && refused > 20, "{plans} plans, {refused} refused");
}

/// Makes other parts of a plan: another one's, or some that are gone, new, or say something else.
fn change(u: &mut Unstructured<'_>, blocks: &mut BlockPlan) -> Result<()> {
    let kind = u.int_in_range(0..=12)?;
    let index = u.choose_index(blocks.shared.len().max(1))?;
    let (own, block) = (&mut blocks.own, blocks.shared.get_mut(index).map(Arc::make_mut));
    match (kind, block) {
        (0, _) => *blocks = split(u)?.1,
        (1, Some(_)) => drop(blocks.shared.remove(index)),
        (2, _) => blocks.shared.extend(split(u)?.1.shared.pop()),
        (3, _) => own.addresses.edit().truncate(1),
        (4, Some(block)) => block.addresses.truncate(1),
        (5, Some(block)) => drop(block.rules.pop()),
        (6, Some(block)) => drop(block.sets.pop()),
        (7, Some(block)) => drop(block.rows.pop()),
        (8, Some(block)) => block.rows.iter_mut().take(1).for_each(|row| row.peers.truncate(1)),
        (9, Some(block)) => block.sets.iter_mut().take(1).for_each(|set| set.intervals.truncate(1)),
        (10, Some(block)) => block.addresses.extend(own.addresses.first().cloned()),
        (11, Some(block)) => block.addresses.extend(block.addresses.first().map(as_ipv6)),
        _ => own.workloads.iter_mut().take(1).for_each(|workload| workload.identity = Identity(256)),
    }
    Ok(())
}

/// The same of an address that is in IPv6 clothes, where it is of IPv4.
fn as_ipv6(entry: &PlanAddress) -> PlanAddress {
    let prefix = match entry.prefix.addr() {
        std::net::IpAddr::V4(v4) => std::net::IpAddr::from(v4.to_ipv6_mapped()).into(),
        std::net::IpAddr::V6(_) => entry.prefix,
    };
    PlanAddress { prefix, ..entry.clone() }
}

/// `10.1.0.0/16`, address by address.
fn addresses(range: std::ops::Range<u32>) -> Vec<PlanAddress> {
    let address = |number: u32| std::net::Ipv4Addr::from(0x0a01_0000 + number);
    let entry = |number| PlanAddress {
        prefix: std::net::IpAddr::from(address(number)).into(),
        identity: Identity(300),
        class: Class(300),
    };
    range.map(entry).collect()
}

/// The node of the small plan among five hundred blocks of some kilobyte.
fn among_many() -> BlockPlan {
    let block =
        |number: u32| Block { addresses: addresses(number * 50..number * 50 + 50), ..Block::default() };
    BlockPlan { own: small(), shared: (0..500).map(block).map(Arc::new).collect() }
}

#[test]
fn where_one_of_many_blocks_changes_a_node_costs_some_three_kilobytes() {
    const CHANGES: usize = 50;
    let mut plan = among_many();
    let names = |plan: &BlockPlan| -> Vec<Vec<Digest>> {
        plan.shared.iter().map(|block| encode_block(block).unwrap().digests).collect()
    };
    let mut blocks = names(&plan);
    let mut before = encode_node(&plan.own, blocks.iter().map(Vec::as_slice)).unwrap();
    assert!(before.manifest.len() < 1 << 10, "a manifest of {} bytes", before.manifest.len());
    let mut written = 0;
    for changed in (0..plan.shared.len()).step_by(plan.shared.len() / CHANGES) {
        Arc::make_mut(&mut plan.shared[changed]).addresses[7].identity = Identity(301);
        let new = encode_block(&plan.shared[changed]).unwrap().digests;
        assert_ne!(new, blocks[changed]);
        blocks[changed] = new;
        let after = encode_node(&plan.own, blocks.iter().map(Vec::as_slice)).unwrap();
        let fresh = after.chunks.iter().filter(|(digest, _)| !before.chunks.contains(*digest));
        written += after.manifest.len() + fresh.map(|(_, chunk)| chunk.len()).sum::<usize>();
        before = after;
    }
    assert_eq!(encode_plan(&plan).unwrap().manifest, before.manifest);
    assert!(written / CHANGES < 3 << 10, "{} bytes for each change", written / CHANGES);
}

#[test]
fn nodes_share_the_chunks_of_equal_blocks() {
    let one = among_many();
    let host2 = Plan { node: "host2".parse().unwrap(), ..one.own.clone() };
    let other = BlockPlan { own: host2, shared: one.shared.clone() };
    let (one, other) = (encode_plan(&one).unwrap(), encode_plan(&other).unwrap());
    assert_ne!(one.digest, other.digest);
    assert_eq!(one.chunks, other.chunks);
}

/// A row that takes several chunks.
fn long_row() -> PlanRow {
    let peers = (1..=30_000).map(|class| (Class(class), SetId(1))).collect();
    PlanRow { peers, ..small().rows[0].clone() }
}

#[test]
fn a_row_in_several_chunks_is_whole_however_many_blocks_have_it() {
    let block = Block { rows: vec![long_row()], ..Block::default() };
    let other = Block { sets: small().sets.to_vec(), ..block.clone() };
    let own = Plan { rows: [small().rows[1].clone()].into(), ..small() };
    let plan =
        BlockPlan { own, shared: [&block, &block, &other].map(|block| Arc::new(block.clone())).into() };
    assert!(encode_block(&block).unwrap().digests.len() > 3);
    let read = read_back(&encode_plan(&plan).unwrap());
    assert_eq!(read.rows.to_vec(), [long_row(), small().rows[1].clone()]);
}

#[test]
fn blocks_that_contradict_each_other_are_refused_by_what_they_contradict_each_other_in() {
    let with = |change: fn(&mut Block)| {
        let mut plan = small();
        plan.identities = [PlanIdentity { identity: Identity(256), labels: Default::default() }].into();
        let mut other = block_of(&plan);
        let said = Arc::new(other.clone());
        change(&mut other);
        (plan.rows, plan.sets, plan.rules) = Default::default();
        plan.identities = Default::default();
        match refusal_of(&BlockPlan { own: plan, shared: vec![said, Arc::new(other)] }) {
            PlanError::Order { section, .. } => section,
            other => panic!("{other}"),
        }
    };
    assert_eq!(with(|block| block.rows[0].peers = vec![(Class(300), SetId(1))]), "rows");
    assert_eq!(with(|block| block.sets[0].intervals[0].decision.logged = true), "sets");
    assert_eq!(with(|block| block.rules[0].display = "shop/ingress/https".into()), "rules");
    assert_eq!(with(|block| block.rules[0].direction = Direction::Egress), "rules");
    let labels = |block: &mut Block| {
        let label = ("role".parse().unwrap(), "web".parse().unwrap());
        block.identities[0].labels.0.insert(label.0, label.1);
    };
    assert_eq!(with(labels), "identities");
    let mut plan = among_many();
    plan.shared.push(Arc::new(Block {
        addresses: vec![PlanAddress { identity: Identity(7), ..addresses(77..78)[0].clone() }],
        ..Block::default()
    }));
    let entry = "10.1.0.77/32".into();
    assert_eq!(refusal_of(&plan), PlanError::Order { section: "addresses", entry });
}

/// How reading ends where these chunks are shared.
fn shared(digests: &[Digest], chunks: Chunks) -> PlanDecodeError {
    let encoded = encode_node(&small(), [digests]).unwrap();
    let mut all = encoded.chunks;
    all.append(chunks);
    Manifest::decode(encoded.digest, &encoded.manifest).unwrap().plan(&all).unwrap_err()
}

#[test]
fn what_nodes_can_not_share_and_what_goes_on_with_nothing_is_refused() {
    let own = encode_node(&small(), []).unwrap();
    let digests: Vec<Digest> = own.chunks.digests().collect();
    let source = DecodeError::Shared { field: "a port" };
    let refused = ChunkError::Entry { digest: digests[0], source };
    assert_eq!(shared(&digests, own.chunks), PlanDecodeError::Chunk(refused));

    let row = encode_block(&Block { rows: vec![long_row()], ..Block::default() }).unwrap();
    let source = DecodeError::Missing { field: "the part of a row that another goes on with" };
    let refused = ChunkError::Entry { digest: row.digests[1], source };
    assert_eq!(shared(&row.digests[1..], row.chunks), PlanDecodeError::Chunk(refused));
}

#[test]
fn a_plan_is_bounded_by_its_chunks_and_by_their_bytes_however_often_it_names_them() {
    let named = |number: usize| Digest::of(&number.to_be_bytes());
    let digests: Vec<Digest> = (0..=MAX_PLAN_CHUNKS).map(named).collect();
    let missing = ChunkError::Missing { digest: digests[0] };
    assert_eq!(shared(&digests[..MAX_PLAN_CHUNKS], Chunks::new()), PlanDecodeError::Chunk(missing));
    let refused = shared(&digests, Chunks::new());
    let limit = MAX_PLAN_CHUNKS;
    assert!(
        matches!(refused, PlanDecodeError::Chunk(ChunkError::TooMany { limit: found, .. }) if found == limit)
    );

    let large = encode_block(&Block { addresses: addresses(0..50_000), ..Block::default() }).unwrap();
    let bytes: usize = large.chunks.iter().map(|(_, chunk)| chunk.len()).sum();
    let (often, own) = (large.digests.repeat(MAX_PLAN_BYTES / bytes + 1), encode_node(&small(), []).unwrap());
    let bytes =
        bytes * (MAX_PLAN_BYTES / bytes + 1) + own.chunks.iter().map(|(_, own)| own.len()).sum::<usize>();
    assert_eq!(shared(&often, large.chunks), PlanDecodeError::TooLarge { bytes });
    assert_eq!(check_size(MAX_PLAN_BYTES), Ok(()));
    assert!(check_size(MAX_PLAN_BYTES + 1).is_err());
}
