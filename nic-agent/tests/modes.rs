//! Ports that change between native and generic while packets come: nothing that policy denies gets through, and nearly nothing that
//! it allows is lost.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic as its test may")]

mod support;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use selvedge_hw_profiles::{Demand, Mode};
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::placement::PortState;
use selvedge_topology::plan::Plan;
use support::etcd::Etcd;
use support::{Node, PATIENCE, plans, wait};

const ALLOWED: u16 = 8080;
const DENIED: u16 = 9090;
/// Between two packets of a kind.
const EVERY: Duration = Duration::from_micros(500);
const TRY: &str = "let the stand-in judge what eth0 receives";

fn plan() -> Plan {
    plans::allowing_only(L4Key::new(Protocol::UDP, ALLOWED))
}

/// The same, where eth0 may not run natively.
fn without_native() -> Plan {
    let mut plan = plan();
    let demand = Demand { forbid: [Mode::Native].into(), ..Demand::default() };
    plan.demands.ports.insert("eth0".parse().unwrap(), demand);
    plan
}

/// What was sent from the world to the workload, and what came.
#[derive(Debug)]
struct Traffic {
    sent: u32,
    allowed: BTreeSet<u32>,
    denied: usize,
}

impl Traffic {
    /// How many of those that policy allows did not come.
    fn lost(&self) -> usize {
        self.sent as usize - self.allowed.len()
    }
}

/// Sends what policy allows and what it denies, a packet of each by turns, for as long as `work` takes.
fn meanwhile<T>(node: &Node, work: impl FnOnce() -> T) -> (Traffic, T) {
    let heard = |port| {
        let socket = node.inside.enter(|| UdpSocket::bind(("10.1.0.12", port))).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        socket
    };
    let (allowed, denied) = (heard(ALLOWED), heard(DENIED));
    let speaker = node.outside.enter(|| UdpSocket::bind("192.0.2.1:7")).unwrap();
    let over = AtomicBool::new(false);
    let receive = |socket: &UdpSocket| {
        let (mut numbers, mut bytes) = (Vec::new(), [0; 4]);
        loop {
            match socket.recv(&mut bytes) {
                Ok(_) => numbers.push(u32::from_be_bytes(bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock && over.load(Ordering::Relaxed) => break,
                Err(_) => {}
            }
        }
        numbers
    };
    thread::scope(|scope| {
        let receivers = [&allowed, &denied].map(|socket| scope.spawn(move || receive(socket)));
        let sender = scope.spawn(|| {
            let mut sent = 0_u32;
            while !over.load(Ordering::Relaxed) {
                for port in [ALLOWED, DENIED] {
                    speaker.send_to(&sent.to_be_bytes(), ("10.1.0.12", port)).unwrap();
                }
                sent += 1;
                thread::sleep(EVERY);
            }
            sent
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        let sent = sender.join().unwrap();
        let [allowed, denied] = receivers.map(|receiver| receiver.join().unwrap());
        (Traffic { sent, allowed: allowed.into_iter().collect(), denied: denied.len() }, done)
    })
}

/// The mode in which eth0 runs, with nothing standing in.
fn mode(node: &Node) -> Option<String> {
    let status = node.status()?;
    let settled = status["stand_ins"].as_array()?.is_empty();
    let port = status["ports"].as_array()?.iter().find(|port| port["name"] == "eth0")?;
    settled.then(|| port["mode"].as_str().map(ToOwned::to_owned))?
}

fn wait_mode(node: &Node, wanted: &str) {
    let found = wait(|| mode(node).filter(|mode| mode == wanted));
    assert!(found.is_some(), "{:?}, not {wanted}", node.status());
}

/// Whether what is allowed comes through: neighbours are known then.
fn warm_up(node: &Node) {
    let came = wait(|| (meanwhile(node, || thread::sleep(EVERY * 20)).0.lost() == 0).then_some(()));
    assert!(came.is_some());
}

#[test]
fn a_mode_that_the_kernel_refused_is_taken_once_it_is_possible_and_packets_are_judged_all_the_time() {
    let node = Node::wired();
    node.outside.ip("link set peer0 mtu 9000");
    let etcd = Etcd::start(&node);
    let agent = node.agent(&[]);
    etcd.publish(1, &plan());
    node.wait_generation(1);
    wait_mode(&node, "xdp-generic");
    warm_up(&node);

    let tries = || agent.log().matches(TRY).count();
    let (traffic, ()) = meanwhile(&node, || {
        let before = tries();
        assert!(wait(|| (tries() >= before + 2).then_some(())).is_some(), "it is tried again");
        wait_mode(&node, "xdp-generic");
        let told = etcd.wait_report("the old mode is back", |report| {
            report.ports[0].state == PortState::Enforced(Mode::Generic)
        });
        let reason = &told.ports[0].reason;
        assert!(reason.contains("Peer MTU is too large to set XDP"), "the kernel's own words: {reason}");
        // Nothing tells the agent of it.
        node.outside.ip("link set peer0 mtu 1500");
        wait_mode(&node, "xdp-native");
    });
    let told =
        etcd.wait_report("it is native", |report| report.ports[0].state == PortState::Enforced(Mode::Native));
    assert_eq!(told.ports[0].reason, "driver veth runs XDP itself");
    check(&traffic, tries());
    drop(agent);
}

#[test]
fn policy_moves_a_port_between_modes_and_an_agent_that_is_killed_on_the_way_leaves_it_judged() {
    let node = Node::wired();
    let etcd = Etcd::start(&node);
    let mut agent = node.agent(&[]);
    etcd.publish(1, &plan());
    node.wait_generation(1);
    wait_mode(&node, "xdp-native");
    warm_up(&node);

    let (mut exchanges, mut on_the_way) = (0, 0);
    let (traffic, agent) = meanwhile(&node, || {
        for round in 0..8 {
            let (plan, wanted) =
                if round % 2 == 0 { (without_native(), "xdp-generic") } else { (plan(), "xdp-native") };
            etcd.publish(2 + round, &plan);
            if round >= 4 {
                let stands = || node.pin("stand-in/eth0").exists();
                let deadline = Instant::now() + PATIENCE;
                while !stands() && Instant::now() < deadline {
                    thread::sleep(Duration::from_micros(100));
                }
                // Somewhere between nothing done and all.
                thread::sleep(Duration::from_millis(3 * (round - 4)));
                let (_, log) = agent.end(Signal::SIGKILL);
                exchanges += log.matches(TRY).count();
                on_the_way += usize::from(stands());
                agent = node.agent(&[]);
            }
            node.wait_generation(2 + round);
            wait_mode(&node, wanted);
        }
        agent
    });
    exchanges += agent.log().matches(TRY).count();
    println!("{on_the_way} agents died while the stand-in judged");
    assert!(exchanges >= 8 && on_the_way > 0, "{exchanges} {on_the_way}");
    check(&traffic, exchanges);
}

fn check(traffic: &Traffic, exchanges: usize) {
    let (sent, lost) = (traffic.sent, traffic.lost());
    println!(
        "{exchanges} exchanges: of {sent} allowed packets {lost} were lost, of as many denied {} came",
        traffic.denied
    );
    assert_eq!(traffic.denied, 0, "of {sent}");
    assert!(sent > 1_000, "only {sent} were sent");
}
