//! Somebody else's programs on what a port sends: they stay, and whatever they say, the agent's is asked first.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

#[path = "support/tcx.rs"]
mod tcx;

mod support;

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aya::programs::links::LinkOrder;
use nix::sys::signal::Signal;
use serde_json::Value;
use support::{Namespace, Node, wait};
use tcx::{Foreign, NEXT, PASS, chain};

/// Whether the node reaches its workload, which no generation allows here.
fn speaks(node: &Node) -> bool {
    let target = "10.1.0.12:8080".parse().unwrap();
    node.namespace.enter(|| TcpStream::connect_timeout(&target, Duration::from_millis(500))).is_ok()
}

/// The number of the agent's program on what w1 sends.
fn ours(status: &Value) -> u32 {
    let ports = status["egress"].as_array().unwrap();
    ports.iter().find(|port| port["name"] == "w1").unwrap()["program"].as_u64().unwrap() as u32
}

fn attached(node: &Node) -> Value {
    node.wait_status("both ports have it", |status| {
        status["egress"].as_array().is_some_and(|ports| ports.len() == 2)
    })
}

#[test]
fn whoever_else_judges_what_a_port_sends_stays_and_the_agent_is_asked_first_whatever_the_order_was() {
    let node = Node::wired();
    let _listener = node.inside.enter(|| TcpListener::bind("10.1.0.12:8080")).unwrap();
    let before = Foreign::attach(&node.namespace, "w1", PASS, LinkOrder::first());
    assert!(
        wait(|| speaks(&node).then_some(())).is_some(),
        "before the agent, the node speaks to its workload"
    );

    let agent = node.agent(&["--fail-closed", "eth0", "w1"]);
    let status = attached(&node);
    assert_eq!(chain(&node.namespace, "w1"), [ours(&status), before.id]);
    assert!(!speaks(&node), "it lets pass whatever comes to it, and nothing does");

    // Those that come later: behind, and before.
    let last = Foreign::attach(&node.namespace, "w1", PASS, LinkOrder::last());
    assert_eq!(chain(&node.namespace, "w1"), [ours(&status), before.id, last.id]);
    let first = Foreign::attach(&node.namespace, "w1", PASS, LinkOrder::first());
    agent.wait_log("take the first place on w1 again, tcx-egress, before somebody else's program");
    let order = [ours(&status), first.id, before.id, last.id];
    let settled = || (chain(&node.namespace, "w1") == order).then_some(());
    assert!(wait(settled).is_some(), "{:?}, not {order:?}", chain(&node.namespace, "w1"));
    assert!(!speaks(&node));
    assert!(!node.pin("advancing").exists());

    agent.end(Signal::SIGTERM);
    assert!(!speaks(&node), "it stays first without the agent");
    let kept = node.status().unwrap();
    assert_eq!(ours(&kept), ours(&status), "the same program by another link");
    assert_eq!(node.command("detach", &[]).status.code(), Some(0));
    assert_eq!(chain(&node.namespace, "w1"), [first.id, before.id, last.id]);
    assert!(speaks(&node));
}

#[test]
fn while_it_takes_the_first_place_again_nothing_goes_unjudged() {
    let node = Node::wired();
    let agent = node.agent(&["--fail-closed", "eth0", "w1", "--verify-every", "1s"]);
    let status = attached(&node);
    let heard = socket(&node.inside, "10.1.0.12:9");
    heard.set_nonblocking(true).unwrap();
    let spoken = socket(&node.namespace, "10.1.0.254:9");
    spoken.connect("10.1.0.12:9").unwrap();
    let over = AtomicBool::new(false);
    let (settled, sent) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0_u64;
            while !over.load(Ordering::Relaxed) {
                // What is dropped on its way out is told as an error.
                let _ = spoken.send(b"word");
                sent += 1;
            }
            sent
        });
        let settled = (0..4).all(|_| {
            let first = Foreign::attach(&node.namespace, "w1", NEXT, LinkOrder::first());
            let order = [ours(&status), first.id];
            wait(|| (chain(&node.namespace, "w1") == order).then_some(())).is_some()
        });
        over.store(true, Ordering::Relaxed);
        (settled, sender.join().unwrap())
    });
    assert!(settled, "{:?}\n{}", chain(&node.namespace, "w1"), agent.log());
    assert_eq!(heard.recv(&mut [0; 4]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "of {sent}");
    assert!(sent > 10_000, "only {sent} were sent");
    drop(agent);
}

fn socket(namespace: &Namespace, address: &str) -> UdpSocket {
    namespace.enter(|| UdpSocket::bind(address)).unwrap()
}
