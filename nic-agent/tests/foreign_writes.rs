//! Somebody else writes the agent's maps: it is found and mended at the next verification.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

mod support;

use aya::maps::{Array, Map, MapData};
use selvedge_abi::{ABI_VERSION, Bucket, PolicyBucket, map};
use support::etcd::Etcd;
use support::{Node, plans, wait};
use zerocopy::FromBytes;

/// A pinned map, as whoever is root may open it.
fn stranger<T: TryFrom<Map, Error = aya::maps::MapError>>(node: &Node, name: &str) -> T {
    let data = MapData::from_pin(node.pin(&format!("v{ABI_VERSION}/{name}"))).unwrap();
    T::try_from(Map::from_map_data(data).unwrap()).unwrap()
}

/// The buckets that hold anything.
fn occupied(buckets: &Array<MapData, [u8; 64]>) -> Vec<u32> {
    (0..buckets.len()).filter(|index| buckets.get(index, 0).unwrap() != [0; 64]).collect()
}

/// Policies in a bucket.
fn entries(bucket: [u8; 64]) -> usize {
    let bucket = PolicyBucket::read_from_bytes(&bucket).unwrap();
    (0..PolicyBucket::WAYS).filter(|way| !bucket.is_vacant(*way)).count()
}

#[test]
fn rows_and_addresses_that_somebody_takes_away_are_put_back() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let agent = node.agent(&["--verify-every", "1s"]);
    etcd.publish(1, &plans::allowing(8080));
    let before = node.wait_generation(1);
    assert!(node.reaches(8080));

    // The arrays of buckets are in the agent's own memory, but so is what it believes to be vacant.
    let mut policies: Array<MapData, [u8; 64]> = stranger(&node, map::POLICIES);
    let taken = occupied(&policies);
    let rows = taken.iter().map(|index| entries(policies.get(index, 0).unwrap())).sum::<usize>();
    assert!(rows > 0);
    taken.iter().for_each(|index| policies.set(*index, [0; 64], 0).unwrap());
    agent.wait_log("somebody else changed the tables; what the plan says is put back");
    agent.wait_log(&format!("\"{}\": {rows}", map::POLICIES));
    wait(|| node.reaches(8080).then_some(())).expect("policy is back");
    let after = node.wait_status("as many rows as before", |now| now["policies"] == before["policies"]);
    assert_eq!(after["generation"], 1, "the plan is the same");

    let mut addresses: Array<MapData, [u8; 64]> = stranger(&node, map::IPV4);
    let taken = occupied(&addresses);
    assert!(!taken.is_empty());
    taken.iter().for_each(|index| addresses.set(*index, [0; 64], 0).unwrap());
    agent.wait_log(&format!("\"{}\": ", map::IPV4));
    wait(|| node.reaches(8080).then_some(())).expect("the workload's address is back");
}

#[test]
fn an_agent_that_verifies_and_finds_everything_as_it_left_it_changes_nothing() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let agent = node.agent(&["--verify-every", "1s"]);
    for generation in 1..=4 {
        etcd.publish(generation, &plans::allowing(8080 + generation as u16));
        node.wait_generation(generation);
    }
    let before = node.status();
    // Two verifications at least.
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    assert_eq!(node.status(), before);
    assert!(!agent.log().contains("somebody else"), "{}", agent.log());
}
