//! The plan codec: manifests, and plans put together from chunks that nobody vouches for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::{fs, mem};

use ipnet::IpNet;
use prost::Message;
use selvedge_agent_core::lower::lower;
use selvedge_agent_core::machine::{IfIndex, Interface, Machine};
use selvedge_agent_core::tables::{Slot, SlotTables};
use selvedge_proto::plan::{
    EncodedBlock, EncodedPlan, Manifest, decode_plan, encode_block, encode_node, encode_plan,
};
use selvedge_proto::{Chunks, Digest, wire};
use selvedge_topology::compile::compile;
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::{Identity, IdentityTable};
use selvedge_topology::plan::{Block, BlockPlan, Plan, PlanAddress};
use selvedge_topology::timeouts::Timeouts;

use super::{Bytes, Outcome, run_of};

/// An input: the node's role; runs with the bytes of a chunk of its own part, of a shared one, and of what follows the name of
/// that one in the list; then a timeout. Digests are made to fit, so that what they protect is reached.
pub(super) fn run(input: &[u8]) -> Outcome {
    let mut bytes = Bytes(input);
    let role = i32::from(bytes.next() % 5);
    let mut chunks = Chunks::new();
    let own = add(&mut chunks, bytes.run());
    let names = add(&mut chunks, bytes.run()).into_iter().flat_map(|digest| {
        let name = wire::ChunkName { digest: digest.into() };
        name.encode_length_delimited_to_vec()
    });
    let list: Vec<u8> = names.chain(bytes.run().iter().copied()).collect();
    let shared = add(&mut chunks, &list);
    let Timeouts { tcp_established, tcp_half_open, tcp_closing, udp, icmp, other, fragment } =
        Timeouts::default();
    let timeouts = wire::Timeouts {
        tcp_established: tcp_established.0,
        tcp_half_open: tcp_half_open.0,
        tcp_closing: tcp_closing.0,
        udp: udp.0,
        icmp: icmp.0,
        other: other.0,
        fragment: fragment.0,
    };
    let manifest = wire::Manifest {
        format: 4,
        node: "n1".into(),
        role,
        own: own.into_iter().map(Vec::from).collect(),
        shared: shared.into_iter().map(Vec::from).collect(),
        // Few of those that a byte can say are too short, or beyond.
        timeouts: Some(wire::Timeouts { udp: 255 - u32::from(bytes.next()), ..timeouts }),
    };
    let manifest = manifest.encode_to_vec();
    match decode_plan(Digest::of(&manifest), &manifest, &chunks) {
        Ok(plan) => {
            check(&plan);
            Outcome::Accepted
        }
        Err(error) => {
            assert!(error.to_string().len() < 4096, "a refusal is bounded: {error}");
            Outcome::Refused
        }
    }
}

/// The digest of `content`, which is added to `chunks`; none, where there is no content.
fn add(chunks: &mut Chunks, content: &[u8]) -> Option<Digest> {
    let digest = Digest::of(content);
    chunks.insert(digest, content.to_vec()).unwrap();
    (!content.is_empty()).then_some(digest)
}

fn check(plan: &Plan) {
    for blocks in [plan.clone().into(), in_blocks(plan)] {
        let EncodedPlan { manifest, digest, chunks } = encode_plan(&blocks).expect("it was in chunks");
        assert_eq!(decode_plan(digest, &manifest, &chunks).as_ref(), Ok(plan));
    }
    let interface = |number| Interface::veth(IfIndex(number));
    let names = plan.ports.iter().map(|port| port.name.to_string());
    let machine = Machine { interfaces: names.zip((1..).map(interface)).collect() };
    let Ok(tables) = lower(plan, &machine, Slot::A, &SlotTables::default()) else { return };
    let written = tables.addresses.len() + tables.prefixes.len();
    assert_eq!(written, plan.addresses.len(), "no two addresses of a plan share an entry of the tables");
    let owned: Vec<IpAddr> =
        plan.workloads.iter().flat_map(|workload| workload.addresses.iter().copied()).collect();
    let owners: BTreeSet<IpAddr> = owned.iter().copied().collect();
    assert_eq!(owned.len(), owners.len(), "no address is behind two workloads: {owned:?}");
}

/// An input: a manifest's bytes.
pub(super) fn run_manifest(input: &[u8]) -> Outcome {
    let Ok(manifest) = Manifest::decode(Digest::of(input), input) else { return Outcome::Refused };
    let encoded = manifest.encode();
    assert_eq!(Manifest::decode(Digest::of(&encoded), &encoded), Ok(manifest));
    assert!(encoded.len() <= input.len() + 16, "{} bytes from {}", encoded.len(), input.len());
    Outcome::Accepted
}

/// The plans of the demo's nodes.
fn plans() -> Vec<Plan> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/fabrics/demo");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.map(|path| SourceFile {
        name: path.display().to_string(),
        text: fs::read_to_string(&path).unwrap(),
    });
    let model = load(&files.collect::<Vec<_>>()).model.expect("the demo is valid");
    let mut identities = IdentityTable::default();
    identities.allocate(&model).unwrap();
    compile(&model, &identities).unwrap().into_values().collect()
}

/// The plans of the demo's nodes, and what the checks once let through.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let plans = plans();
    let regressions =
        plans.iter().flat_map(|plan| [with_a_shared_address(plan), with_a_mapped_address(plan)]);
    let all: Vec<Plan> = plans.iter().cloned().chain(regressions).collect();
    let shared = all.iter().map(in_blocks);
    shared.chain(all.iter().cloned().map(BlockPlan::from)).map(|plan| seed(&plan)).collect()
}

/// A plan that shares all that can be shared.
fn in_blocks(plan: &Plan) -> BlockPlan {
    let mut own = plan.clone();
    let block = Block {
        addresses: mem::take(&mut own.addresses).to_vec(),
        rows: mem::take(&mut own.rows).to_vec(),
        sets: mem::take(&mut own.sets).to_vec(),
        rules: mem::take(&mut own.rules).to_vec(),
        identities: mem::take(&mut own.identities).to_vec(),
    };
    BlockPlan { own, shared: vec![Arc::new(block)] }
}

/// Two workloads with one address: only the later one's port could send from it.
fn with_a_shared_address(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    if let Some(mut twin) = plan.workloads.last().cloned() {
        twin.name = "zz-twin".parse().unwrap();
        plan.workloads.push(twin);
    }
    plan
}

/// An IPv4 address that is in the plan once more, in IPv6 clothes: the tables have one entry for both.
fn with_a_mapped_address(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    let v4 = plan.addresses.iter().find_map(|address| match address.prefix {
        IpNet::V4(prefix) if prefix.prefix_len() == 32 => Some((prefix.network(), address.clone())),
        _ => None,
    });
    if let Some((v4, address)) = v4 {
        let prefix = IpNet::from(IpAddr::from(v4.to_ipv6_mapped()));
        plan.addresses.edit().push(PlanAddress { prefix, identity: Identity(9), ..address });
        plan.addresses.edit().sort();
    }
    plan
}

fn seed(plan: &BlockPlan) -> Vec<u8> {
    let EncodedPlan { manifest, digest, chunks } = encode_node(&plan.own, []).unwrap();
    let role = wire::Manifest::decode(manifest.as_slice()).unwrap().role;
    let names = Manifest::decode(digest, &manifest).unwrap();
    let own = names.own().flat_map(|digest| chunks.get(digest).unwrap().to_vec()).collect::<Vec<_>>();
    let blocks = plan.shared.iter().map(|block| encode_block(block).unwrap());
    let shared = blocks.flat_map(|EncodedBlock { digests, chunks }| {
        digests.into_iter().flat_map(|digest| chunks.get(digest).unwrap().to_vec()).collect::<Vec<_>>()
    });
    [vec![role as u8], run_of(&own), run_of(&shared.collect::<Vec<_>>()), run_of(&[])].concat()
}

pub(super) fn manifest_seeds() -> Vec<Vec<u8>> {
    plans().iter().map(|plan| encode_plan(&in_blocks(plan)).unwrap().manifest).collect()
}
