//! Echo requests, through the kernel's ping sockets: it fills in identifier and checksum, and gives us our replies only.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::ask::{Question, REQUEST, insist, seen_in};
use super::{Arrival, Seen};

/// Bytes of an echo header (RFC 792, RFC 4443).
const HEADER: usize = 8;

pub(super) async fn request(question: &Question) -> io::Result<(Seen, Arrival)> {
    let socket = socket(question.from)?;
    socket.connect(SocketAddr::new(question.to, 0)).await?;
    // The "port" of a ping socket is the identifier of its requests.
    let trace = question.trace(socket.local_addr()?.port());
    let kind = if question.from.is_ipv4() { 8 } else { 128 };
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 1];
    message.extend(REQUEST);
    let mut answer = [0; 128];
    let receive = async { socket.recv(&mut answer).await };
    let seen = match insist(question.patience, || socket.send(&message), receive).await {
        Some(Ok(length)) if answer[..length].get(HEADER..) == Some(REQUEST) => Seen::Answered,
        Some(Ok(length)) => Seen::WrongAnswer(format!("{:?}", &answer[..length])),
        Some(Err(error)) => seen_in(&error),
        None => Seen::Silence,
    };
    Ok((seen, trace))
}

fn socket(from: IpAddr) -> io::Result<UdpSocket> {
    let (domain, protocol) = match from {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(protocol))?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    UdpSocket::from_std(socket.into())
}
