//! Asking: one new connection, and what becomes of it.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::libc;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout;

use super::{Arrival, Probed, Seen, echo, sctp};

/// What of a request is sent where the protocol doesn't say.
pub(super) const REQUEST: &[u8] = b"selvedge-lab probe";
/// How often what may get lost is sent within one question's patience.
const SENDS: u32 = 3;
/// No name is longer.
const MAX_ANSWER: u64 = 256;

/// A flow to try.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// Which, in the prober's count.
    pub(super) number: usize,
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) probed: Probed,
    /// What the right place answers.
    pub(super) answer: String,
    pub(super) patience: Duration,
}

/// What became of it, as far as its source can tell.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) number: usize,
    pub(super) seen: Seen,
    /// How its first packet would be noted where it arrives; `None` if none was sent.
    pub(super) trace: Option<Arrival>,
}

/// Tries a flow.
pub(super) async fn ask(question: Question) -> Reply {
    let tried = match question.probed {
        Probed::Tcp(port) => tcp(&question, port).await,
        Probed::Udp(port) => udp(&question, port).await,
        Probed::Sctp(port) => sctp::init(&question, port).await,
        Probed::Echo => echo::request(&question).await,
    };
    let (seen, trace) = match tried {
        Ok((seen, trace)) => (seen, Some(trace)),
        Err(error) => (seen_in(&error), None),
    };
    Reply { number: question.number, seen, trace }
}

impl Question {
    /// How the first packet is noted where it arrives.
    pub(super) fn trace(&self, from_port: u16) -> Arrival {
        Arrival { key: self.probed.key(self.from), from: self.from, to: self.to, from_port }
    }

    pub(super) fn judge(&self, answer: &[u8]) -> Seen {
        if answer == self.answer.as_bytes() {
            Seen::Answered
        } else {
            Seen::WrongAnswer(String::from_utf8_lossy(answer).into_owned())
        }
    }
}

pub(super) fn seen_in(error: &io::Error) -> Seen {
    if error.raw_os_error() == Some(libc::ENOBUFS) {
        return Seen::Silence; // what sockets are told of a packet that was dropped on its way out
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Seen::Refused,
        io::ErrorKind::TimedOut => Seen::Silence,
        other => Seen::NoWay(other),
    }
}

async fn tcp(question: &Question, port: u16) -> io::Result<(Seen, Arrival)> {
    let socket = if question.from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(question.from, 0))?;
    let trace = question.trace(socket.local_addr()?.port());
    let whole = async {
        let stream = socket.connect(SocketAddr::new(question.to, port)).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        Ok(question.judge(&answer))
    };
    let seen = match timeout(question.patience, whole).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => seen_in(&error),
        Err(_) => Seen::Silence,
    };
    Ok((seen, trace))
}

async fn udp(question: &Question, port: u16) -> io::Result<(Seen, Arrival)> {
    let socket = UdpSocket::bind(SocketAddr::new(question.from, 0)).await?;
    // Connected, so that the kernel takes answers from the right place only, and tells of refusals.
    socket.connect(SocketAddr::new(question.to, port)).await?;
    let trace = question.trace(socket.local_addr()?.port());
    let mut answer = [0; MAX_ANSWER as usize];
    let receive = async { socket.recv(&mut answer).await };
    let seen = match insist(question.patience, || socket.send(REQUEST), receive).await {
        Some(Ok(length)) => question.judge(&answer[..length]),
        Some(Err(error)) => seen_in(&error),
        None => Seen::Silence,
    };
    Ok((seen, trace))
}

/// Sends, a few times, until `receive` is done or `patience` is over.
pub(super) async fn insist<S, T>(
    patience: Duration,
    send: impl Fn() -> S,
    receive: impl Future<Output = io::Result<T>>,
) -> Option<io::Result<T>>
where
    S: Future<Output = io::Result<usize>>,
{
    let mut receive = std::pin::pin!(receive);
    for _ in 0..SENDS {
        if let Err(error) = send().await {
            return Some(Err(error));
        }
        if let Ok(received) = timeout(patience / SENDS, &mut receive).await {
            return Some(received);
        }
    }
    None
}
