//! What becomes of established connections when documents no longer allow them, live: a lab, a controller, agents, and real
//! connections through the fabric. Needs root and the built programs.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

mod lab;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use lab::{Fabric, documents};
use selvedge_lab::kernel::namespace::Namespace;
use serde_json::Value;

/// Where the workloads are: `near` is behind the node `bare`, `far` behind `host`.
const NEAR: [&str; 2] = ["10.1.0.2", "fd00:1::2"];
const FAR: [&str; 2] = ["10.2.0.3", "fd00:2::3"];
/// What the changes are about, and what they leave alone.
const CLOSING: u16 = 7100;
const KEPT: u16 = 7200;
/// How long a word may be on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(800);

#[test]
fn documents_that_deny_what_is_established_let_it_drain_or_cut_it_as_they_say_and_status_says_how_many() {
    let fabric = Fabric::up("revoke");
    fabric.apply(&[]);
    let ends = Ends::of(&fabric);
    let [mut tcp, mut udp] = [ends.tcp(0, CLOSING).unwrap(), ends.udp(1, CLOSING)];
    let mut kept = ends.tcp(1, KEPT).unwrap();
    assert!(tcp.carries() && udp.carries() && kept.carries());

    fabric.apply(&[documents("revocations/drain.yaml")]);
    for _ in 0..3 {
        assert!(tcp.carries() && udp.carries() && kept.carries(), "what drains goes on");
    }
    assert!(
        ends.tcp(0, CLOSING).is_err() && ends.tcp(1, CLOSING).is_err(),
        "new connections are denied at once"
    );
    assert!(!ends.udp(0, CLOSING).carries(), "and so are new datagrams");
    // The denial is of far's ingress: its node judges, and the other one's plan is what it was.
    let drained = [("host", Revoked { generation: 2, cut: 0, draining: 2 })];
    told(&fabric, &drained, &[("host", 2), ("bare", 0)]);
    let line = "generation 2 revoked connections: 0 cut, 2 draining";
    let status = fabric.cli(&["status"]).out;
    assert!(status.contains(line), "{status}");
    let begins = flows(&fabric, "draining", 2);
    for protocol in ["TCP", "UDP"] {
        let begins: Vec<_> = begins.iter().filter(|flow| flow["protocol"] == protocol).collect();
        assert_eq!(begins.len(), 1, "that a connection begins to drain is told once: {begins:#?}");
        decided(begins[0], "ALLOWED", 2, "host", "closing/ingress/closed");
    }
    let denied = flows(&fabric, "policy-deny", 3);
    denied.iter().for_each(|flow| decided(flow, "DENIED", 2, "host", "closing/ingress/closed"));

    fabric.apply(&[documents("revocations/cut.yaml")]);
    assert!(!tcp.carries() && !udp.carries(), "what is cut stops");
    assert!(kept.carries());
    assert!(ends.tcp(0, CLOSING).is_err());
    // Now it is near's egress, so the packet that was judged got no further than its node.
    let cut = [("bare", Revoked { generation: 3, cut: 2, draining: 0 }), ("host", Revoked::nothing(3))];
    told(&fabric, &[&cut[..], &drained].concat(), &[("host", 2), ("bare", 0)]);
    let status = fabric.cli(&["status"]).out;
    assert!(status.contains("generation 3 revoked connections: 2 cut, 0 draining"), "{status}");
    let ended = flows(&fabric, "cut-by-generation", 2);
    assert_eq!(ended.len(), 2, "one packet each; the next one is of no connection: {ended:#?}");
    ended.iter().for_each(|flow| decided(flow, "DENIED", 3, "bare", "closing/egress/closed"));

    fabric.apply(&[]);
    assert!(!tcp.carries(), "what was cut stays so");
    assert!(
        kept.carries() && ends.tcp(0, CLOSING).unwrap().carries(),
        "and new connections are as any other"
    );
    assert!(udp.carries(), "which is what datagrams of its opener are");
    let nothing = [("bare", Revoked::nothing(4))];
    told(&fabric, &[&nothing[..], &cut, &drained].concat(), &[("bare", 0)]);
}

/// What a generation did to connections that were there before it.
#[derive(Clone, Copy)]
struct Revoked {
    generation: u64,
    cut: u64,
    draining: u64,
}

impl Revoked {
    fn nothing(generation: u64) -> Self {
        Self { generation, cut: 0, draining: 0 }
    }

    fn as_told(self) -> Value {
        let Self { generation, cut, draining } = self;
        serde_json::json!({ "generation": generation, "cut": cut, "draining": draining })
    }
}

/// Waits until `selvedge status -o json` says exactly this of each node: what generations revoked, and how many drain now.
fn told(fabric: &Fabric, revoked: &[(&str, Revoked)], draining: &[(&str, u64)]) {
    fabric.eventually("told", || {
        let text = fabric.cli(&["status", "-o", "json"]).out;
        let status: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let node = |name: &str| status["nodes"].as_array()?.iter().find(|node| node["name"] == name);
        let agrees = |name: &str, revoked: Revoked| {
            node(name)?["revocations"].as_array()?.iter().find(|told| **told == revoked.as_told())
        };
        let right = revoked.iter().all(|(name, revoked)| agrees(name, *revoked).is_some())
            && draining.iter().all(|(name, count)| node(name).is_some_and(|node| node["draining"] == *count));
        if right { Ok(()) } else { Err(text) }
    });
}

/// The flows that ended so, as soon as there are `least` of them.
fn flows(fabric: &Fabric, reason: &str, least: usize) -> Vec<Value> {
    fabric.eventually(reason, || {
        let text = fabric.cli(&["observe", "--last", "1000", "--workload", "far", "-o", "json"]).out;
        let lines = text.lines().map(|line| serde_json::from_str(line).map_err(|_| text.clone()));
        let mut flows: Vec<Value> = lines.collect::<Result<_, _>>()?;
        flows.retain(|flow| flow["reason"] == reason);
        if flows.len() >= least { Ok(flows) } else { Err(text) }
    })
}

fn decided(flow: &Value, verdict: &str, generation: u64, node: &str, rule: &str) {
    let is = (&flow["verdict"], &flow["generation"], &flow["node"], &flow["rule"]["name"]);
    assert!(is.0 == verdict && is.1 == generation && is.2 == node && is.3 == rule, "{flow:#}");
}

/// The two workloads that talk.
struct Ends {
    near: Namespace,
    far: Namespace,
}

impl Ends {
    fn of(fabric: &Fabric) -> Self {
        let record = fabric.record();
        let namespace = |name| Namespace::open(&record.place(name).unwrap().namespace).unwrap();
        Self { near: namespace("near"), far: namespace("far") }
    }

    /// A TCP connection from near to this port of far.
    fn tcp(&self, family: usize, port: u16) -> io::Result<Connection> {
        let target = SocketAddr::new(FAR[family].parse().unwrap(), port);
        let listener = self.far.run(|| TcpListener::bind(target)).unwrap()?;
        let near = self.near.run(|| TcpStream::connect_timeout(&target, ON_ITS_WAY)).unwrap()?;
        let (far, _) = listener.accept()?;
        for end in [&near, &far] {
            end.set_nodelay(true)?;
            end.set_read_timeout(Some(ON_ITS_WAY))?;
        }
        Ok(Connection { near: End::Tcp(near), far: End::Tcp(far) })
    }

    /// A flow of datagrams from near to this port of far, between sockets that hear nobody else.
    fn udp(&self, family: usize, port: u16) -> Connection {
        let socket = |namespace: &Namespace, address: &str| {
            let address = SocketAddr::new(address.parse().unwrap(), port);
            let socket = namespace.run(|| UdpSocket::bind(address)).unwrap().unwrap();
            socket.set_read_timeout(Some(ON_ITS_WAY)).unwrap();
            socket
        };
        let (near, far) = (socket(&self.near, NEAR[family]), socket(&self.far, FAR[family]));
        near.connect(far.local_addr().unwrap()).unwrap();
        far.connect(near.local_addr().unwrap()).unwrap();
        Connection { near: End::Udp(near), far: End::Udp(far) }
    }
}

/// Both ends of a connection.
struct Connection {
    near: End,
    far: End,
}

enum End {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Connection {
    /// Whether a word gets there, and its answer back.
    fn carries(&mut self) -> bool {
        let Self { near, far } = self;
        let says = |from: &mut End, to: &mut End| from.say().and_then(|()| to.hear()).is_ok();
        says(near, far) && says(far, near)
    }
}

impl End {
    fn say(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(b"word"),
            Self::Udp(socket) => socket.send(b"word").map(drop),
        }
    }

    fn hear(&mut self) -> io::Result<()> {
        let mut word = [0; 4];
        match self {
            Self::Tcp(stream) => stream.read_exact(&mut word),
            Self::Udp(socket) => socket.recv(&mut word).map(drop),
        }
    }
}
