//! Steady traffic: numbered messages that the other end sends back, to see what a change under way costs.

use std::cell::Cell;
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::kernel::namespace::{Namespace, NamespaceError};
use crate::names::Target;
use crate::probe::Probed;
use crate::registry::Place;

/// How long the last answers are waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a message: its number.
const MESSAGE: usize = 8;

/// Why there is no traffic.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// A namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A protocol that carries no messages back and forth.
    #[error("traffic is PORT/tcp or PORT/udp, not {0}")]
    Protocol(Probed),
    /// The two ends have no address of one family.
    #[error("{from} and {to} have no addresses of the same family{}", wanted.map(|a| format!(" as {a}")).unwrap_or_default())]
    Family {
        /// One end.
        from: Target,
        /// The other.
        to: Target,
        /// The address asked for.
        wanted: Option<IpAddr>,
    },
    /// The destination can't listen.
    #[error("{to}: listen on {address}: {source}")]
    Listen {
        /// The destination.
        to: Target,
        /// Where.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The first message was not answered.
    #[error("{from} -> {address}: {source}; is it allowed? (`selvedge-lab probe`)")]
    Connect {
        /// The source.
        from: Target,
        /// Where to.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// No runtime.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where traffic goes.
#[derive(Clone, Debug)]
pub struct Route<'a> {
    /// The source.
    pub source: &'a Place,
    /// The destination.
    pub destination: &'a Place,
    /// The source's address.
    pub from: IpAddr,
    /// The destination's.
    pub to: IpAddr,
    /// TCP or UDP, and the port.
    pub carrier: Carrier,
}

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// One connection to this port.
    Tcp(u16),
    /// One flow to this port.
    Udp(u16),
}

impl<'a> Route<'a> {
    /// From `source` to `destination`; to `wanted` where the destination has several addresses.
    pub fn between(
        source: &'a Place,
        destination: &'a Place,
        wanted: Option<IpAddr>,
        probed: Probed,
    ) -> Result<Self, TrafficError> {
        let carrier = match probed {
            Probed::Tcp(port) => Carrier::Tcp(port),
            Probed::Udp(port) => Carrier::Udp(port),
            other => return Err(TrafficError::Protocol(other)),
        };
        let pairs =
            destination.addresses.iter().filter(|to| wanted.is_none_or(|wanted| **to == wanted)).filter_map(
                |to| {
                    let from = source.addresses.iter().find(|from| from.is_ipv4() == to.is_ipv4())?;
                    Some((*from, *to))
                },
            );
        let (from, to) = pairs.min_by_key(|(_, to)| to.is_ipv6()).ok_or_else(|| TrafficError::Family {
            from: source.target.clone(),
            to: destination.target.clone(),
            wanted,
        })?;
        Ok(Self { source, destination, from, to, carrier })
    }

    fn address(&self) -> SocketAddr {
        let (Carrier::Tcp(port) | Carrier::Udp(port)) = self.carrier;
        SocketAddr::new(self.to, port)
    }
}

/// How much traffic.
#[derive(Clone, Copy, Debug)]
pub enum Amount {
    /// So many messages.
    Messages(u64),
    /// For so long.
    Lasting(Duration),
}

/// What became of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Messages sent.
    pub sent: u64,
    /// Messages that came back, each counted once.
    pub received: u64,
    /// Messages that did not.
    pub lost: u64,
    /// The longest time between two answers, in milliseconds.
    pub longest_gap_ms: u64,
    /// Why it ended early, if it did.
    pub broken: Option<String>,
}

/// Sends traffic; returns when it is over.
pub fn run(route: &Route<'_>, amount: Amount, every: Duration) -> Result<Summary, TrafficError> {
    let (destination, source) =
        (Namespace::open(&route.destination.namespace)?, Namespace::open(&route.source.namespace)?);
    let (ready, listening) = mpsc::channel();
    let (address, carrier) = (route.address(), route.carrier);
    // Ends with the program; a listener has nothing to tidy up.
    thread::Builder::new().spawn(move || {
        let served =
            destination.enter().map_err(io::Error::other).and_then(|()| serve(address, carrier, &ready));
        if let Err(error) = served {
            let _ = ready.send(Err(error));
        }
    })?;
    let to = route.destination.target.clone();
    let started = listening.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
    started.map_err(|source| TrafficError::Listen { to, address, source })?;
    source.run(|| runtime()?.block_on(send(route, amount, every)))?
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Sends everything back that comes.
fn serve(address: SocketAddr, carrier: Carrier, ready: &mpsc::Sender<io::Result<()>>) -> io::Result<()> {
    runtime()?.block_on(async {
        match carrier {
            Carrier::Tcp(_) => {
                let listener = TcpListener::bind(address).await?;
                let _ = ready.send(Ok(()));
                let (mut stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await?;
            }
            Carrier::Udp(_) => {
                let socket = UdpSocket::bind(address).await?;
                let _ = ready.send(Ok(()));
                let mut message = [0; MESSAGE];
                loop {
                    let (length, from) = socket.recv_from(&mut message).await?;
                    socket.send_to(&message[..length], from).await?;
                }
            }
        }
        Ok(())
    })
}

async fn send(route: &Route<'_>, amount: Amount, every: Duration) -> Result<Summary, TrafficError> {
    let from = route.source.target.clone();
    let refused = |source| TrafficError::Connect { from, address: route.address(), source };
    match route.carrier {
        Carrier::Tcp(_) => {
            let socket = if route.to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.bind(SocketAddr::new(route.from, 0))?;
            let connected = timeout(PATIENCE, socket.connect(route.address())).await;
            let stream =
                connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(refused)?;
            stream.set_nodelay(true)?;
            let (mut from, mut to) = stream.into_split();
            let receive = async move |message: &mut [u8; MESSAGE]| from.read_exact(message).await.map(|_| ());
            exchange(amount, every, async move |message| to.write_all(&message).await, receive).await
        }
        Carrier::Udp(_) => {
            let socket = UdpSocket::bind(SocketAddr::new(route.from, 0)).await?;
            socket.connect(route.address()).await.map_err(refused)?;
            let send = async |message: [u8; MESSAGE]| socket.send(&message).await.map(|_| ());
            let receive = async |message: &mut [u8; MESSAGE]| socket.recv(message).await.map(|_| ());
            exchange(amount, every, send, receive).await
        }
    }
}

/// Sends at a steady pace and notes what comes back, until all that was to be sent is and the last is answered.
async fn exchange(
    amount: Amount,
    every: Duration,
    mut send: impl AsyncFnMut([u8; MESSAGE]) -> io::Result<()>,
    mut receive: impl AsyncFnMut(&mut [u8; MESSAGE]) -> io::Result<()>,
) -> Result<Summary, TrafficError> {
    let began = Instant::now();
    let more = |sent: u64| match amount {
        Amount::Messages(messages) => sent < messages,
        Amount::Lasting(duration) => began.elapsed() < duration,
    };
    let (sent, all_sent) = (Cell::new(0), Cell::new(false));
    let sending = async {
        let mut pace = interval(every);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while more(sent.get()) {
            pace.tick().await;
            let number: u64 = sent.get();
            send(number.to_be_bytes()).await?;
            sent.set(number + 1);
        }
        all_sent.set(true);
        Ok(())
    };
    let mut tally = Tally::new();
    let receiving = async {
        let mut message = [0; MESSAGE];
        while !(all_sent.get() && tally.received() == sent.get()) {
            receive(&mut message).await?;
            tally.note(u64::from_be_bytes(message));
        }
        Ok(())
    };
    let broken = converse(sending, receiving).await;
    Ok(tally.summary(sent.get(), broken))
}

/// Both at once; when the sending is over, the last answers are waited for.
async fn converse(
    sending: impl Future<Output = io::Result<()>>,
    receiving: impl Future<Output = io::Result<()>>,
) -> Option<String> {
    let mut receiving = std::pin::pin!(receiving);
    let first = tokio::select! {
        sent = sending => sent.err(),
        received = &mut receiving => return received.err().map(|error| error.to_string()),
    };
    match first {
        Some(error) => Some(error.to_string()),
        None => timeout(PATIENCE, receiving).await.ok().and_then(Result::err).map(|error| error.to_string()),
    }
}

/// What came back.
struct Tally {
    seen: HashSet<u64>,
    last: Instant,
    longest: Duration,
}

impl Tally {
    fn new() -> Self {
        Self { seen: HashSet::new(), last: Instant::now(), longest: Duration::ZERO }
    }

    fn received(&self) -> u64 {
        self.seen.len() as u64
    }

    fn note(&mut self, number: u64) {
        let now = Instant::now();
        self.longest = self.longest.max(now - self.last);
        self.last = now;
        self.seen.insert(number);
    }

    fn summary(self, sent: u64, broken: Option<String>) -> Summary {
        let received = self.received();
        let lost = sent.saturating_sub(received);
        // What is still missing has been missing since the last answer.
        let open_gap = if lost > 0 { self.last.elapsed() } else { Duration::ZERO };
        Summary {
            sent,
            received,
            lost,
            longest_gap_ms: self.longest.max(open_gap).as_millis() as u64,
            broken,
        }
    }
}
