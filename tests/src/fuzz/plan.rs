//! The plan codec: manifests, and plans put together from chunks that nobody vouches for.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use prost::Message;
use selvedge_agent_core::lower::lower;
use selvedge_agent_core::machine::{IfIndex, Interface, Machine};
use selvedge_agent_core::tables::{Slot, SlotTables};
use selvedge_proto::plan::{EncodedPlan, Manifest, decode_plan, encode_plan};
use selvedge_proto::{Chunks, Digest, wire};
use selvedge_topology::compile::compile;
use selvedge_topology::documents::{SourceFile, load};
use selvedge_topology::identity::{Identity, IdentityTable};
use selvedge_topology::plan::{Plan, PlanAddress};
use selvedge_topology::timeouts::Timeouts;

use super::{Bytes, Outcome, run_of};

/// An input: the node's role, for each section a run with the bytes of its one chunk, then a timeout. Digests are made to
/// fit, so that what they protect is reached.
pub(super) fn run(input: &[u8]) -> Outcome {
    let mut bytes = Bytes(input);
    let role = i32::from(bytes.next() % 5);
    let mut chunks = Chunks::new();
    let mut section = || {
        let chunk = bytes.run().to_vec();
        let digest = Digest::of(&chunk);
        if chunk.is_empty() {
            return Vec::new();
        }
        chunks.insert(digest, chunk);
        vec![digest.into()]
    };
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
        format: 3,
        node: "n1".into(),
        role,
        ports: section(),
        workloads: section(),
        addresses: section(),
        rows: section(),
        sets: section(),
        rules: section(),
        identities: section(),
        demands: section(),
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

fn check(plan: &Plan) {
    let EncodedPlan { manifest, digest, chunks } = encode_plan(plan).expect("it was in chunks");
    assert_eq!(decode_plan(digest, &manifest, &chunks).as_ref(), Ok(plan));
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
    plans.iter().cloned().chain(regressions).map(|plan| seed(&encode_plan(&plan).unwrap())).collect()
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
        plan.addresses.push(PlanAddress { prefix, identity: Identity(9), ..address });
        plan.addresses.sort();
    }
    plan
}

fn seed(EncodedPlan { manifest, chunks, .. }: &EncodedPlan) -> Vec<u8> {
    let wire::Manifest { role, ports, workloads, addresses, rows, sets, rules, identities, .. } =
        wire::Manifest::decode(manifest.as_slice()).unwrap();
    let sections = [ports, workloads, addresses, rows, sets, rules, identities];
    let content = |digests: Vec<Vec<u8>>| -> Vec<u8> {
        digests.iter().flat_map(|digest| chunks[&digest.as_slice().try_into().unwrap()].clone()).collect()
    };
    let runs = sections.into_iter().flat_map(|digests| run_of(&content(digests)));
    [role as u8].into_iter().chain(runs).collect()
}

pub(super) fn manifest_seeds() -> Vec<Vec<u8>> {
    plans().iter().map(|plan| encode_plan(plan).unwrap().manifest).collect()
}
