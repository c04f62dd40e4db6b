//! What becomes of established connections when policy no longer allows them, and how many they are.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use selvedge_proto::{Report, RevocationReport, Verdict};
use selvedge_topology::plan::{Generation, Outcome};
use support::etcd::Etcd;
use support::listener::Listener;
use support::{Node, plans};

/// Both ends of a TCP connection from the world to the workload.
struct Connection {
    outside: TcpStream,
    inside: TcpStream,
}

impl Connection {
    fn open(node: &Node) -> Self {
        let target: SocketAddr = "10.1.0.12:8080".parse().unwrap();
        let listener = node.inside.enter(|| TcpListener::bind(target)).unwrap();
        let outside = node.outside.enter(|| TcpStream::connect(target)).unwrap();
        let (inside, _) = listener.accept().unwrap();
        for end in [&outside, &inside] {
            end.set_nodelay(true).unwrap();
            end.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        }
        Self { outside, inside }
    }

    /// Whether a word gets there, and its answer back.
    fn carries(&mut self) -> bool {
        let Self { outside, inside } = self;
        let mut word = [0; 4];
        let mut says = |from: &mut TcpStream, to: &mut TcpStream| {
            from.write_all(b"word").is_ok() && to.read_exact(&mut word).is_ok()
        };
        says(outside, inside) && says(inside, outside)
    }
}

fn revoked(report: &Report, generation: u64) -> Option<RevocationReport> {
    report.revocations.iter().copied().find(|revoked| revoked.generation == Generation(generation))
}

#[test]
fn a_denial_that_drains_lets_established_connections_go_on_and_one_that_cuts_does_not() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let controller = Listener::start(&node.namespace, "127.0.0.1:7471");
    let agent = node.agent(&["--controller", "http://127.0.0.1:7471"]);
    etcd.publish(1, &plans::allowing(8080));
    node.wait_generation(1);
    let (mut one, mut other) = (Connection::open(&node), Connection::open(&node));
    assert!(one.carries() && other.carries());

    etcd.publish(2, &plans::closed(Outcome::DeniedDraining));
    node.wait_generation(2);
    assert!(!node.reaches(8080), "a new connection is denied at once");
    for _ in 0..3 {
        assert!(one.carries() && other.carries());
    }
    let told = etcd.wait_report("two connections drain", |report| {
        revoked(report, 2).is_some_and(|revoked| revoked.draining == 2)
    });
    assert_eq!(revoked(&told, 2), Some(RevocationReport { generation: Generation(2), cut: 0, draining: 2 }));
    agent.wait_log("established connections are no longer allowed generation=2 cut=0 draining=2");
    assert!(
        told.reasons.iter().any(|(reason, count)| reason == "draining" && count.packets >= 12),
        "{told:?}"
    );
    let flow = controller.wait_flow("it begins to drain", |flow| flow.reason.as_str() == "draining");
    assert_eq!((flow.verdict, flow.generation), (Verdict::Allowed, Some(Generation(2))));

    etcd.publish(3, &plans::closed(Outcome::Denied));
    node.wait_generation(3);
    assert!(!one.carries(), "what drained is cut");
    let told =
        etcd.wait_report("it was cut", |report| revoked(report, 3).is_some_and(|revoked| revoked.cut > 0));
    // The other one was silent since, so nobody judged it again.
    assert_eq!(revoked(&told, 3), Some(RevocationReport { generation: Generation(3), cut: 1, draining: 0 }));
    assert_eq!(revoked(&told, 2), Some(RevocationReport { generation: Generation(2), cut: 0, draining: 2 }));
    agent.wait_log("established connections are no longer allowed generation=3 cut=1 draining=0");

    etcd.publish(4, &plans::allowing(8080));
    node.wait_generation(4);
    assert!(other.carries(), "what is allowed again goes on");
    assert!(!one.carries(), "what was cut does not");
}

#[test]
fn draining_connections_outlive_the_agent() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let agent = node.agent(&[]);
    etcd.publish(1, &plans::allowing(8080));
    node.wait_generation(1);
    let mut connection = Connection::open(&node);
    etcd.publish(2, &plans::closed(Outcome::DeniedDraining));
    node.wait_generation(2);
    assert!(connection.carries());
    drop(agent);
    assert!(connection.carries());
    let again = node.agent(&[]);
    let told = etcd.wait_report("the count goes on", |report| {
        revoked(report, 2).is_some_and(|revoked| revoked.draining == 1) && report.draining == 1
    });
    assert_eq!((told.connections.entries, told.half_open.entries), (1, 0));
    assert!(connection.carries());
    assert!(!again.log().contains("no longer allowed"), "what was told before the restart is not told again");
}
