//! Packets as histories name them: in words that can be read back, and as frames.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use selvedge_classifier::testing::frame::{self, ACK, FIN, RST, SYN, Transport};
use selvedge_topology::l4::{L4Key, Protocol};

/// What one packet of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP.
    Syn,
    /// TCP.
    SynAck,
    /// TCP.
    Ack,
    /// TCP, with ACK.
    Fin,
    /// TCP.
    Reset,
    /// UDP.
    Datagram,
    /// SCTP.
    Init,
    /// SCTP.
    InitAck,
    /// SCTP.
    Data,
    /// SCTP.
    Shutdown,
    /// SCTP.
    Abort,
    /// ICMP or ICMPv6; the ports are its identifier.
    EchoRequest,
    /// ICMP or ICMPv6; the ports are its identifier.
    EchoReply,
    /// ICMP timestamp request, or ICMPv6 node information query: of no connection. The ports mean nothing.
    Query,
}

/// Every kind and its word.
const WORDS: [(Kind, &str); 14] = [
    (Kind::Syn, "tcp-syn"),
    (Kind::SynAck, "tcp-syn-ack"),
    (Kind::Ack, "tcp-ack"),
    (Kind::Fin, "tcp-fin"),
    (Kind::Reset, "tcp-rst"),
    (Kind::Datagram, "udp"),
    (Kind::Init, "sctp-init"),
    (Kind::InitAck, "sctp-init-ack"),
    (Kind::Data, "sctp-data"),
    (Kind::Shutdown, "sctp-shutdown"),
    (Kind::Abort, "sctp-abort"),
    (Kind::EchoRequest, "echo-request"),
    (Kind::EchoReply, "echo-reply"),
    (Kind::Query, "query"),
];

/// A packet from one end to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What it is.
    pub kind: Kind,
    /// Its source.
    pub source: SocketAddr,
    /// Its destination.
    pub destination: SocketAddr,
}

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Of, or beside, a connection.
    Segment(Segment),
    /// An ICMP error that `sender` sends to the source of the packet it is about.
    Error {
        /// Who sends it.
        sender: IpAddr,
        /// The packet it quotes.
        about: Segment,
    },
}

impl Segment {
    /// Its protocol.
    pub fn protocol(&self) -> Protocol {
        match self.kind {
            Kind::Syn | Kind::SynAck | Kind::Ack | Kind::Fin | Kind::Reset => Protocol::TCP,
            Kind::Datagram => Protocol::UDP,
            Kind::Init | Kind::InitAck | Kind::Data | Kind::Shutdown | Kind::Abort => Protocol::SCTP,
            Kind::EchoRequest | Kind::EchoReply | Kind::Query if self.source.is_ipv4() => Protocol::ICMP,
            Kind::EchoRequest | Kind::EchoReply | Kind::Query => Protocol::ICMPV6,
        }
    }

    /// What policy judges it by.
    pub fn key(&self) -> L4Key {
        let by_family = |v4, v6| {
            let message = if self.source.is_ipv4() { v4 } else { v6 };
            L4Key::icmp(self.protocol(), message, 0)
        };
        match self.kind {
            Kind::EchoRequest => by_family(8, 128),
            Kind::EchoReply => by_family(0, 129),
            Kind::Query => by_family(13, 139),
            _ => L4Key::new(self.protocol(), self.destination.port()),
        }
    }

    fn transport(&self) -> Transport {
        let (from, to) = (self.source.port(), self.destination.port());
        match self.kind {
            Kind::Syn => frame::tcp(from, to, SYN),
            Kind::SynAck => frame::tcp(from, to, SYN | ACK),
            Kind::Ack => frame::tcp(from, to, ACK),
            Kind::Fin => frame::tcp(from, to, FIN | ACK),
            Kind::Reset => frame::tcp(from, to, RST | ACK),
            Kind::Datagram => frame::udp(from, to),
            Kind::Init => frame::sctp(from, to, 1),
            Kind::InitAck => frame::sctp(from, to, 2),
            Kind::Data => frame::sctp(from, to, 0),
            Kind::Shutdown => frame::sctp(from, to, 7),
            Kind::Abort => frame::sctp(from, to, 6),
            Kind::EchoRequest | Kind::EchoReply => frame::echo(self.message(), from),
            Kind::Query => frame::icmp(self.message(), 0, &[0; 16]),
        }
    }

    /// The type of an ICMP message.
    fn message(&self) -> u8 {
        (self.key().low() >> 8) as u8
    }
}

impl Packet {
    /// Its source and destination.
    pub fn ends(&self) -> (IpAddr, IpAddr) {
        match self {
            Self::Segment(segment) => (segment.source.ip(), segment.destination.ip()),
            Self::Error { sender, about } => (*sender, about.source.ip()),
        }
    }

    /// What policy judges the packet itself by.
    pub fn key(&self) -> L4Key {
        match self {
            Self::Segment(segment) => segment.key(),
            Self::Error { sender: IpAddr::V4(_), .. } => L4Key::icmp(Protocol::ICMP, 3, 4),
            Self::Error { sender: IpAddr::V6(_), .. } => L4Key::icmp(Protocol::ICMPV6, 2, 0),
        }
    }

    /// It on the wire.
    pub fn frame(&self) -> Vec<u8> {
        let (source, destination) = self.ends();
        let (source, destination) = (source.to_string(), destination.to_string());
        let transport = match self {
            Self::Segment(segment) => segment.transport(),
            Self::Error { about, .. } => {
                let (from, to) = (about.source.ip().to_string(), about.destination.ip().to_string());
                let (message, code) = (self.key().low() >> 8, self.key().low() & 0xff);
                frame::error(message as u8, code as u8, &frame::datagram(&from, &to, about.transport()))
            }
        };
        frame::packet(&source, &destination, transport)
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, source, destination } = self;
        let word = WORDS.iter().find(|(candidate, _)| candidate == kind).map_or("", |(_, word)| word);
        write!(f, "{word} {source} > {destination}")
    }
}

impl FromStr for Segment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [word, source, ">", destination] = words[..] else {
            return Err(format!("`{text}` is not of the form `tcp-syn 10.0.0.1:1 > 10.0.0.2:80`"));
        };
        let kind = WORDS.iter().find(|(_, candidate)| *candidate == word).map(|(kind, _)| *kind);
        let end = |text: &str| text.parse().map_err(|error| format!("`{text}`: {error}"));
        Ok(Self {
            kind: kind.ok_or_else(|| format!("`{word}` is no kind of packet"))?,
            source: end(source)?,
            destination: end(destination)?,
        })
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(segment) => segment.fmt(f),
            Self::Error { sender, about } => write!(f, "error {sender} about {about}"),
        }
    }
}

impl FromStr for Packet {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let Some(error) = text.strip_prefix("error ") else { return text.parse().map(Self::Segment) };
        let (sender, about) = error.split_once(" about ").ok_or("an error is about a packet")?;
        let sender = sender.parse().map_err(|error| format!("`{sender}`: {error}"))?;
        Ok(Self::Error { sender, about: about.parse()? })
    }
}
