//! Traffic over all flows: long-lived connections and new ones, datagrams and streams, at a steady pace.
//!
//! Every place is a thread in its namespace. Nothing is counted here: what leaves and arrives is captured. What a socket says
//! matters only where it must not happen: on a flow that every set allows, a connection that breaks or isn't answered is a
//! failure by itself.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use selvedge_lab::kernel::namespace::Namespace;
use selvedge_lab::names::NamespaceName;
use selvedge_lab::registry::Place;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

use super::flows::{Carrier, Class, Ends, Flow, PORTS};

/// How often a long-lived connection that stays as it is carries a message.
const STEADY: Duration = Duration::from_millis(40);
/// How often one does that flips.
const LIVELY: Duration = Duration::from_millis(10);
/// How often a new connection is opened.
const NEW: Duration = Duration::from_millis(200);
/// How long an answer may take that has to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is in force everywhere, as far as is known; `number` grows with every change. `None` tells traffic to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Phase {
    pub(crate) number: usize,
    pub(crate) set: usize,
}

type Phases = watch::Receiver<Option<Phase>>;
type Failures = Arc<Mutex<Vec<Failure>>>;

/// A flow that failed where it had to work, and was used no more.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) ends: Ends,
    pub(crate) text: String,
}

/// Traffic under way.
pub(crate) struct Traffic {
    phases: watch::Sender<Option<Phase>>,
    threads: Vec<JoinHandle<()>>,
    failures: Failures,
}

impl Traffic {
    /// Starts it: listeners first, then those who talk to them.
    pub(crate) fn start(flows: &[Flow], first: Phase) -> Self {
        let (phases, _) = watch::channel(Some(first));
        let failures = Failures::default();
        let mut places: BTreeMap<NamespaceName, (Place, Vec<Flow>)> = BTreeMap::new();
        for flow in flows {
            places.entry(flow.to.namespace.clone()).or_insert_with(|| (flow.to.clone(), Vec::new()));
            let clients = places.entry(flow.from.namespace.clone());
            clients.or_insert_with(|| (flow.from.clone(), Vec::new())).1.push(flow.clone());
        }
        let (ready, listening) = mpsc::channel();
        let mut threads = Vec::new();
        let (go, went) = watch::channel(false);
        for (place, flows) in places.into_values() {
            let (phases, failures) = (phases.subscribe(), Arc::clone(&failures));
            let (ready, went) = (ready.clone(), went.clone());
            threads.push(thread::spawn(move || inhabit(&place, flows, phases, &failures, &ready, went)));
        }
        drop(ready);
        for _ in &threads {
            listening.recv_timeout(PATIENCE).expect("every place listens");
        }
        go.send_replace(true);
        Self { phases, threads, failures }
    }

    /// Tells what is in force.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phases.send_replace(Some(phase));
    }

    /// Ends it, and says what failed.
    pub(crate) fn finish(self) -> Vec<Failure> {
        self.phases.send_replace(None);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        std::mem::take(&mut *self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn inhabit(
    place: &Place,
    flows: Vec<Flow>,
    mut phases: Phases,
    failures: &Failures,
    ready: &mpsc::Sender<()>,
    mut went: watch::Receiver<bool>,
) {
    Namespace::open(&place.namespace).unwrap().enter().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for address in &place.addresses {
            for port in PORTS {
                listen(SocketAddr::new(*address, port)).await.unwrap();
            }
        }
        ready.send(()).unwrap();
        went.wait_for(|went| *went).await.unwrap();
        for (number, flow) in flows.into_iter().enumerate() {
            // Spread over the pace, so that packets don't come in bursts that a queue might not hold.
            let delay = STEADY * (number as u32 % 16) / 16;
            let (phases, failures) = (phases.clone(), Arc::clone(failures));
            tokio::spawn(async move {
                sleep(delay).await;
                if let Err(error) = talk(&flow, phases).await {
                    let Flow { ends, from, to, .. } = &flow;
                    let text = format!("{} -> {} {ends:?}: {error}", from.target, to.target);
                    failures
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(Failure { ends: *ends, text });
                }
            });
        }
        let _gone = phases.wait_for(Option::is_none).await;
        // What is under way may end in order.
        sleep(Duration::from_millis(300)).await;
    });
}

/// Answers whatever comes.
async fn listen(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    let socket = UdpSocket::bind(address).await?;
    tokio::spawn(async move {
        let mut message = [0; 8];
        while let Ok((length, from)) = socket.recv_from(&mut message).await {
            // Where it can't be sent, it has not left.
            let _ = socket.send_to(&message[..length], from).await;
        }
    });
    Ok(())
}

/// Uses a flow until traffic ends.
async fn talk(flow: &Flow, phases: Phases) -> io::Result<()> {
    match (flow.ends.carrier, flow.class()) {
        (Carrier::Udp, class) => {
            datagrams(flow, phases, if class == Class::Flips { LIVELY } else { STEADY }).await
        }
        (Carrier::Tcp, Class::Always) => {
            tokio::try_join!(one_stream(flow, phases.clone()), new_streams(flow, phases)).map(drop)
        }
        (Carrier::Tcp, Class::Flips) => flipping_stream(flow, phases).await,
        (Carrier::Tcp, Class::Never) => futile_streams(flow, phases).await,
    }
}

fn pace(every: Duration) -> Interval {
    let mut pace = interval(every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// Whether traffic goes on.
fn on(phases: &Phases) -> bool {
    phases.borrow().is_some()
}

/// Numbered datagrams from one port, and now and then one from a new port.
async fn datagrams(flow: &Flow, phases: Phases, every: Duration) -> io::Result<()> {
    let lasting = datagram_socket(flow).await?;
    let mut pace = pace(every);
    let each = (NEW.as_micros() / every.as_micros()) as u64;
    let mut number: u64 = 0;
    while on(&phases) {
        pace.tick().await;
        let message = number.to_be_bytes();
        lasting.send(&message).await?;
        if number.is_multiple_of(each) {
            datagram_socket(flow).await?.send(&message).await?;
        }
        number += 1;
    }
    Ok(())
}

async fn datagram_socket(flow: &Flow) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(flow.ends.client, 0)).await?;
    socket.connect(flow.ends.server).await?;
    Ok(socket)
}

async fn connect(flow: &Flow) -> io::Result<TcpStream> {
    let socket = if flow.ends.client.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(flow.ends.client, 0))?;
    let stream = socket.connect(flow.ends.server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection that has to come about. A router that lost the way for a moment says so, and ends the attempt; whether that was lost
/// is for the capture to say.
async fn connected(flow: &Flow) -> io::Result<TcpStream> {
    loop {
        match connect(flow).await {
            Err(error)
                if matches!(error.kind(), ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable) =>
            {
                sleep(STEADY).await;
            }
            other => return other,
        }
    }
}

/// A message there and back.
async fn exchange(stream: &mut TcpStream, number: u64) -> io::Result<()> {
    stream.write_all(&number.to_be_bytes()).await?;
    let mut answer = [0; 8];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await??;
    if answer == number.to_be_bytes() { Ok(()) } else { Err(io::Error::other("the answer is another's")) }
}

/// One connection for all the time.
async fn one_stream(flow: &Flow, phases: Phases) -> io::Result<()> {
    let mut stream = timeout(PATIENCE, connected(flow)).await??;
    let mut pace = pace(STEADY);
    let mut number = 0;
    while on(&phases) {
        pace.tick().await;
        exchange(&mut stream, number).await?;
        number += 1;
    }
    Ok(())
}

/// Connection after connection, each closed in order.
async fn new_streams(flow: &Flow, phases: Phases) -> io::Result<()> {
    let mut pace = pace(NEW);
    while on(&phases) {
        pace.tick().await;
        let mut stream = timeout(PATIENCE, connected(flow)).await??;
        exchange(&mut stream, 0).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1];
        if timeout(PATIENCE, stream.read(&mut rest)).await?? != 0 {
            return Err(io::Error::other("more than was asked for"));
        }
    }
    Ok(())
}

/// Connections that are never made.
async fn futile_streams(flow: &Flow, phases: Phases) -> io::Result<()> {
    let mut pace = pace(NEW);
    while on(&phases) {
        pace.tick().await;
        if let Ok(Ok(_)) = timeout(NEW / 2, connect(flow)).await {
            return Err(io::Error::other("connected where no set allows it"));
        }
    }
    Ok(())
}

/// A new connection whenever the flow is allowed, used on when it no longer is, while another one is tried.
async fn flipping_stream(flow: &Flow, mut phases: Phases) -> io::Result<()> {
    let mut pace = pace(LIVELY);
    let mut stream: Option<TcpStream> = None;
    loop {
        let Some(phase) = *phases.borrow_and_update() else { return Ok(()) };
        if flow.allowed[phase.set] {
            stream = None; // what was cut stays cut
        }
        let mut attempt = std::pin::pin!(connect(flow));
        let mut trying = true;
        loop {
            tokio::select! {
                changed = phases.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return Ok(()),
                },
                made = &mut attempt, if trying => {
                    trying = false;
                    if flow.allowed[phase.set] { stream = made.ok() }
                }
                _ = pace.tick() => if let Some(stream) = &stream {
                    // A full buffer, or a connection that the other end reset: nothing leaves.
                    let _ = stream.try_write(&(phase.number as u64).to_be_bytes());
                }
            }
        }
    }
}
