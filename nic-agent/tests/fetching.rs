//! A plan in hundreds of blocks, fetched from a real etcd: all of it once, and then only what is new.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::mem;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use nix::sys::signal::Signal;
use selvedge_proto::keys;
use selvedge_proto::plan::{EncodedPlan, Manifest, encode_block, encode_plan};
use selvedge_topology::identity::Identity;
use selvedge_topology::plan::{Block, BlockPlan, Generation, PlanAddress};
use support::etcd::Etcd;
use support::{Node, plans};

/// More blocks than one request, or all that are under way at once, ask for.
const BLOCKS: u32 = 300;

/// The plan that lets `port` in: policy in one block, and three hundred blocks of addresses that nobody asks about.
fn plan(port: u16) -> BlockPlan {
    let mut own = plans::allowing(port);
    let policy = Block {
        rows: mem::take(&mut own.rows).to_vec(),
        sets: mem::take(&mut own.sets).to_vec(),
        rules: mem::take(&mut own.rules).to_vec(),
        identities: mem::take(&mut own.identities).to_vec(),
        ..Block::default()
    };
    let entry = |number: u32| PlanAddress {
        prefix: IpAddr::from(Ipv4Addr::from(0x0a09_0000 + number)).into(),
        identity: Identity(300),
        class: Identity(300).into(),
    };
    let addresses =
        |block: u32| Block { addresses: (block * 4..block * 4 + 4).map(entry).collect(), ..Block::default() };
    let shared = (0..BLOCKS).map(addresses).chain([policy]).map(Arc::new).collect();
    BlockPlan { own, shared }
}

/// Takes everything away that two plans have in common.
fn take_common(etcd: &Etcd, one: &EncodedPlan, other: &EncodedPlan) -> usize {
    let common: Vec<_> = one.chunks.digests().filter(|digest| other.chunks.contains(*digest)).collect();
    common.iter().for_each(|digest| etcd.delete(&keys::chunk(*digest)));
    common.len()
}

#[test]
fn what_an_agent_has_in_memory_or_on_disk_is_not_fetched_again() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let agent = node.agent(&[]);
    let [first, second, third] = [443, 8080, 9090].map(|port| encode_plan(&plan(port)).unwrap());
    etcd.put_content(&first);
    etcd.publish_target(1, &first);
    node.wait_generation(1);
    assert!(node.reaches(443) && !node.reaches(8080));

    // From memory.
    etcd.put_content(&second);
    assert!(take_common(&etcd, &first, &second) >= BLOCKS as usize);
    etcd.publish_target(2, &second);
    node.wait_generation(2);
    assert!(node.reaches(8080) && !node.reaches(443));

    // From disk.
    agent.end(Signal::SIGTERM);
    etcd.put_content(&third);
    assert!(take_common(&etcd, &second, &third) >= BLOCKS as usize);
    etcd.publish_target(3, &third);
    let agent = node.agent(&[]);
    node.wait_generation(3);
    assert!(node.reaches(9090) && !node.reaches(8080));

    // Nothing stays on disk but what the plan needs.
    let kept = std::fs::read_dir(node.state().join("host1/content")).unwrap().count();
    assert_eq!(kept, third.chunks.len() + 1);
    drop(agent);
}

#[test]
fn a_list_or_a_block_that_holds_something_else_is_refused_and_what_is_in_force_stays() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let _agent = node.agent(&[]);
    let [good, next, other] = [8080, 443, 9090].map(|port| encode_plan(&plan(port)).unwrap());
    etcd.put_content(&good);
    etcd.publish_target(1, &good);
    node.wait_generation(1);

    let last_list = |encoded: &EncodedPlan| {
        Manifest::decode(encoded.digest, &encoded.manifest).unwrap().lists().last().unwrap()
    };
    let policy = |port| encode_block(plan(port).shared.last().unwrap()).unwrap().digests[0];
    let exchanged = [(last_list(&next), last_list(&other)), (policy(443), policy(9090))];
    for (generation, (digest, put)) in (2..).zip(exchanged) {
        etcd.put_content(&next);
        etcd.put(&keys::chunk(digest), other.chunks.get(put).unwrap());
        etcd.publish_target(generation, &next);
        let report = etcd.wait_report("it is refused", |report| {
            report.refusal.as_ref().is_some_and(|refusal| {
                refusal.generation == Generation(generation)
                    && refusal.reason.contains(&format!("chunk {digest} holds something else"))
            })
        });
        assert_eq!(report.in_force, Some(Generation(1)));
        assert!(node.reaches(8080) && !node.reaches(443) && !node.reaches(9090));
    }
    etcd.put_content(&next);
    etcd.publish_target(4, &next);
    node.wait_generation(4);
    assert!(node.reaches(443) && !node.reaches(8080));
}
