//! Whoever owns etcd: may write anything there, and changes nothing that a node enforces.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use selvedge_proto::plan::{EncodedPlan, encode_plan};
use selvedge_proto::{FabricId, Signature, Target, keys};
use selvedge_topology::names::NodeName;
use selvedge_topology::plan::{Generation, Plan};
use selvedge_trust::{Anchor, SigningKey};
use support::etcd::Etcd;
use support::{Node, plans};

const FABRIC: FabricId = FabricId([7; 16]);

/// A fabric's key, and what nodes are told of it.
struct Keys {
    key: SigningKey,
    directory: tempfile::TempDir,
}

impl Keys {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::create(&directory.path().join("signing.key")).unwrap();
        let anchor = Anchor { fabric: FABRIC, signing_key: key.public() };
        anchor.save(&directory.path().join("fabric.json")).unwrap();
        Self { key, directory }
    }

    fn anchor(&self) -> String {
        self.directory.path().join("fabric.json").display().to_string()
    }

    /// A target as the controller writes it.
    fn target(&self, node: &str, generation: u64, encoded: &EncodedPlan) -> Target {
        self.in_fabric(FABRIC, node, generation, encoded)
    }

    fn in_fabric(&self, fabric: FabricId, node: &str, generation: u64, encoded: &EncodedPlan) -> Target {
        let node: NodeName = node.parse().unwrap();
        let generation = Generation(generation);
        let unsigned = Target { generation, manifest: encoded.digest, signature: None };
        Target { signature: Some(self.key.sign(&unsigned.statement(fabric, &node))), ..unsigned }
    }
}

fn encoded(plan: &Plan) -> EncodedPlan {
    encode_plan(&plan.clone().into()).unwrap()
}

#[test]
fn whoever_owns_etcd_changes_nothing_that_is_enforced_and_every_try_is_reported() {
    let (node, fabric, stranger) = (Node::wired(), Keys::new(), Keys::new());
    let etcd = Etcd::start(&node);
    let agent = node.agent(&["--fabric", &fabric.anchor()]);
    let own: NodeName = "host1".parse().unwrap();
    let publish = |target: &Target| etcd.put(&keys::target(&own), &target.encode());

    // What the fabric says: first one plan, then another.
    let (good, better) = (encoded(&plans::allowing(443)), encoded(&plans::allowing(8080)));
    let (first, second) = (fabric.target("host1", 1, &good), fabric.target("host1", 2, &better));
    etcd.put_content(&good);
    etcd.put_content(&better);
    publish(&first);
    node.wait_generation(1);
    publish(&second);
    node.wait_generation(2);

    // What somebody else wants: 9090 open, in the name of the fabric.
    let bad = encoded(&plans::allowing(9090));
    etcd.put_content(&bad);
    let unsigned = Target { generation: Generation(3), manifest: bad.digest, signature: None };
    let wrong_key = "its signature is not of key";
    let mut damaged = fabric.target("host1", 3, &bad);
    damaged.signature.as_mut().unwrap().0[17] ^= 1;
    let tries: [(&str, Vec<u8>, &str); 10] = [
        ("unsigned", unsigned.encode(), "it is not signed"),
        ("under a key of one's own", stranger.target("host1", 3, &bad).encode(), wrong_key),
        ("for another fabric", fabric.in_fabric(FabricId([8; 16]), "host1", 3, &bad).encode(), wrong_key),
        ("the plan of another node", fabric.target("host2", 3, &bad).encode(), wrong_key),
        ("an old signature on a new plan", Target { manifest: bad.digest, ..second }.encode(), wrong_key),
        (
            "an old plan as a new generation",
            Target { generation: Generation(9), ..first }.encode(),
            wrong_key,
        ),
        ("a damaged signature", damaged.encode(), wrong_key),
        (
            "a signature of nothing",
            Target { signature: Some(Signature([0; 64])), ..second }.encode(),
            wrong_key,
        ),
        ("rubbish", b"\xff\xff\xff".to_vec(), "not a valid message"),
        ("what the fabric once said", first.encode(), "generation 1 is older than generation 2"),
    ];
    for (what, value, words) in tries {
        etcd.put(&keys::target(&own), &value);
        let report = etcd.wait_report(what, |report| {
            report.refusal.as_ref().is_some_and(|refusal| refusal.reason.contains(words))
        });
        assert_eq!(report.in_force, Some(Generation(2)), "{what}");
        assert!(node.reaches(8080) && !node.reaches(9090) && !node.reaches(443), "{what}");
        // The controller writes what is right again, and the node has nothing against it.
        publish(&second);
        etcd.wait_report("all is well again", |report| {
            report.refusal.is_none() && report.wanted == Some(Generation(2))
        });
    }
    drop(agent);
}

#[test]
fn content_is_what_was_signed_or_it_is_refused_and_a_target_that_is_gone_is_missed_by_nobody() {
    let (node, fabric) = (Node::wired(), Keys::new());
    let etcd = Etcd::start(&node);
    let _agent = node.agent(&["--fabric", &fabric.anchor()]);
    let own: NodeName = "host1".parse().unwrap();
    let publish = |target: &Target| etcd.put(&keys::target(&own), &target.encode());
    let good = encoded(&plans::allowing(8080));
    etcd.put_content(&good);
    publish(&fabric.target("host1", 1, &good));
    node.wait_generation(1);

    // The fabric's next generation comes, and its content is exchanged on the way.
    let (next, bad) = (encoded(&plans::allowing(443)), encoded(&plans::allowing(9090)));
    let chunk = |of: &EncodedPlan, beside: &EncodedPlan| {
        let own = of.chunks.iter().find(|(digest, _)| !beside.chunks.contains(*digest)).unwrap();
        (own.0, own.1.to_vec())
    };
    let ((right, content), (_, other)) = (chunk(&next, &bad), chunk(&bad, &next));
    etcd.put_content(&next);
    etcd.put(&keys::chunk(right), &other);
    publish(&fabric.target("host1", 2, &next));
    let refused = |words: &str, generation| {
        let report = etcd.wait_report(words, |report| {
            report.refusal.as_ref().is_some_and(|refusal| {
                refusal.generation == Generation(generation) && refusal.reason.contains(words)
            })
        });
        assert_eq!((report.wanted, report.in_force), (Some(Generation(generation)), Some(Generation(1))));
        assert!(node.reaches(8080) && !node.reaches(9090) && !node.reaches(443));
    };
    refused("holds something else", 2);
    etcd.put(&keys::chunk(right), &content);
    etcd.put(&keys::manifest(next.digest), &bad.manifest);
    publish(&fabric.target("host1", 3, &next));
    refused("holds something else", 3);

    etcd.delete(&keys::target(&own));
    etcd.wait_report("nothing is wanted", |report| report.wanted.is_none());
    assert!(node.reaches(8080) && !node.reaches(9090));
    etcd.put(&keys::manifest(next.digest), &next.manifest);
    publish(&fabric.target("host1", 4, &next));
    node.wait_generation(4);
    assert!(node.reaches(443) && !node.reaches(8080));
}

#[test]
fn a_plan_on_disk_that_the_fabric_did_not_sign_is_left_aside() {
    let (node, fabric) = (Node::wired(), Keys::new());
    let etcd = Etcd::start(&node);
    // Before the node was told whom to trust, somebody had it enforce something.
    let first = node.agent(&[]);
    etcd.publish(7, &plans::allowing(9090));
    node.wait_generation(7);
    first.end(nix::sys::signal::Signal::SIGTERM);
    assert!(node.command("detach", &[]).status.success());

    let agent = node.agent(&["--fabric", &fabric.anchor(), "--fail-closed", "eth0", "w1"]);
    agent.wait_log("is not believed: it is not signed");
    let shut = node
        .wait_status("ports are there", |status| status["ports"].as_array().is_some_and(|it| it.len() == 2));
    assert_eq!(shut["generation"], 0);
    assert!(!node.reaches(9090));
    let good = encoded(&plans::allowing(8080));
    etcd.put_content(&good);
    etcd.put(&keys::target(&"host1".parse().unwrap()), &fabric.target("host1", 1, &good).encode());
    node.wait_generation(1);
    assert!(node.reaches(8080) && !node.reaches(9090));
}
