//! What connections mean, slow and obvious: a list of those that were opened.

use std::net::{IpAddr, SocketAddr};

use selvedge_abi::{Reason, Timeouts};
use selvedge_topology::l4::Protocol;

use super::packet::{Kind, Packet, Segment};

/// What policy says of a packet that opens a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It may not.
    Denied,
    /// It may, and is tracked.
    Tracked,
    /// It may, and nothing is noted.
    Untracked,
}

/// What a node knows besides connections.
pub trait Node {
    /// What policy in force says of a packet that is judged by itself.
    fn opinion(&self, packet: &Packet) -> Opinion;
    /// Whether the node enforces for whoever has the address.
    fn is_behind(&self, address: IpAddr) -> bool;
}

/// One connection.
#[derive(Clone, Copy, Debug)]
struct Connection {
    protocol: Protocol,
    opener: SocketAddr,
    answerer: SocketAddr,
    generation: u64,
    /// The second of its last packet.
    last: u64,
    heard: Heard,
    life: Life,
}

/// Who was heard of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// Its opener.
    Opener,
    /// Its answerer too.
    Answerer,
    /// Its opener again, who went on: such a connection stays, the others give way to each other.
    OpenerAgain,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    Ending,
    /// A RST or ABORT was the last word; whoever goes on takes it back.
    Reset,
    /// Datagrams whose opener another node enforces for were cut: that node may still let answers in.
    Cut,
}

/// When a packet arrives.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Seconds.
    pub second: u64,
    /// The generation in force.
    pub generation: u64,
}

/// All connections of a node, the forgotten ones that still take room among them.
#[derive(Debug)]
pub struct Connections {
    all: Vec<Connection>,
    /// For those that stay. For the others there is more than any history opens.
    room: usize,
    timeouts: Timeouts,
}

impl Connections {
    /// None yet, and room for so many.
    pub fn new(room: usize, timeouts: Timeouts) -> Self {
        Self { all: Vec::new(), room, timeouts }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// What becomes of a packet between two ends of which one at least is behind the node.
    pub fn judge(&mut self, now: Moment, packet: &Packet, node: &impl Node) -> Reason {
        match packet {
            Packet::Error { about, .. } if self.is_known(now, about) => Reason::Related,
            Packet::Error { .. } => alone(node.opinion(packet)),
            Packet::Segment(segment) if segment.kind == Kind::Query => alone(node.opinion(packet)),
            Packet::Segment(segment) => self.segment(now, segment, node),
        }
    }

    fn segment(&mut self, now: Moment, segment: &Segment, node: &impl Node) -> Reason {
        let Some(index) = self.all.iter().position(|connection| connection.has(segment)) else {
            return self.without_connection(now, segment, None, node);
        };
        let connection = self.all[index];
        let alive = now.second - connection.last < self.timeout(&connection);
        let answers = segment.source == connection.answerer;
        if !alive || (segment.opens() && connection.is_ending()) {
            return self.without_connection(now, segment, Some(index), node);
        }
        if connection.life == Life::Cut {
            if answers {
                return Reason::Cut;
            }
            self.all[index].last = now.second;
            return self.without_connection(now, segment, Some(index), node);
        }
        if segment.opens() && answers {
            return alone(node.opinion(&Packet::Segment(*segment))); // both open at once; the first stays the opener
        }
        if connection.generation != now.generation {
            match node.opinion(&Packet::Segment(connection.opening())) {
                Opinion::Tracked => {}
                Opinion::Untracked => {
                    self.all.remove(index);
                    return if answers { Reason::NotTracked } else { Reason::Stateless };
                }
                Opinion::Denied => return self.cut(now, index, node),
            }
        }
        let mut seen = connection;
        seen.see(now, segment);
        if seen.stays() && !connection.stays() && self.is_full() {
            return Reason::ConnectionsFull;
        }
        self.all[index] = seen;
        Reason::Established
    }

    /// What generations no longer allow is forgotten, or remembered as cut.
    fn cut(&mut self, now: Moment, index: usize, node: &impl Node) -> Reason {
        let is_full = self.is_full();
        let connection = &mut self.all[index];
        if connection.protocol != Protocol::UDP || node.is_behind(connection.opener.ip()) {
            self.all.remove(index);
        } else if connection.stays() || !is_full {
            (connection.life, connection.last) = (Life::Cut, now.second);
        }
        Reason::Cut
    }

    fn is_full(&self) -> bool {
        self.all.iter().filter(|connection| connection.stays()).count() >= self.room
    }

    /// `over`: a connection of the same ends that is over, whose place a new one takes.
    fn without_connection(
        &mut self,
        now: Moment,
        segment: &Segment,
        over: Option<usize>,
        node: &impl Node,
    ) -> Reason {
        let opinion = node.opinion(&Packet::Segment(*segment));
        let begins = segment.opens() || segment.kind == Kind::Datagram;
        if !begins {
            return if opinion == Opinion::Untracked { Reason::Stateless } else { Reason::NotTracked };
        }
        if opinion != Opinion::Tracked {
            return alone(opinion);
        }
        let connection = Connection {
            protocol: segment.protocol(),
            opener: segment.source,
            answerer: segment.destination,
            generation: now.generation,
            last: now.second,
            heard: Heard::Opener,
            life: Life::Open,
        };
        match over {
            Some(index) => self.all[index] = connection,
            None => self.all.push(connection),
        }
        Reason::PolicyAllow
    }

    /// Whether a packet that an error quotes is of a live connection that this generation allowed.
    fn is_known(&self, now: Moment, quoted: &Segment) -> bool {
        // Of echo, only the request is ever quoted usefully: nobody has to be told of a lost reply.
        !matches!(quoted.kind, Kind::Query | Kind::EchoReply)
            && self.all.iter().any(|connection| {
                let alive = now.second - connection.last < self.timeout(connection);
                let current = connection.generation == now.generation && connection.life != Life::Cut;
                alive && current && connection.has(quoted)
            })
    }

    fn timeout(&self, connection: &Connection) -> u64 {
        let Timeouts { tcp_established, half_open, closing, udp, icmp, other: _, fragment: _ } =
            self.timeouts;
        let seconds = match (connection.protocol, connection.life) {
            (Protocol::UDP, _) => udp,
            (Protocol::ICMP | Protocol::ICMPV6, _) => icmp,
            (_, Life::Ending | Life::Reset | Life::Cut) => closing,
            (_, Life::Open) if connection.heard == Heard::OpenerAgain => tcp_established,
            (_, Life::Open) => half_open,
        };
        seconds.into()
    }
}

impl Connection {
    /// Whether the packet is between its ends; of an echo, whether the same end asks.
    fn has(&self, segment: &Segment) -> bool {
        let forward = (segment.source, segment.destination) == (self.opener, self.answerer);
        let backward = (segment.source, segment.destination) == (self.answerer, self.opener);
        let ends = match segment.kind {
            Kind::EchoRequest => forward,
            Kind::EchoReply => backward,
            _ => forward || backward,
        };
        ends && segment.protocol() == self.protocol
    }

    fn see(&mut self, now: Moment, segment: &Segment) {
        (self.last, self.generation) = (now.second, now.generation);
        let goes_on =
            matches!(segment.kind, Kind::SynAck | Kind::Ack | Kind::InitAck | Kind::Data | Kind::Datagram);
        self.heard = match self.heard {
            Heard::Opener if segment.source == self.answerer => Heard::Answerer,
            Heard::Answerer if segment.source == self.opener && goes_on => Heard::OpenerAgain,
            heard => heard,
        };
        self.life = match segment.kind {
            _ if self.life == Life::Ending => Life::Ending,
            Kind::Fin | Kind::Shutdown => Life::Ending,
            Kind::Reset | Kind::Abort => Life::Reset,
            _ => Life::Open,
        };
    }

    /// Whether nothing makes room in its place but its end.
    fn stays(&self) -> bool {
        self.heard == Heard::OpenerAgain || self.life == Life::Cut
    }

    fn is_ending(&self) -> bool {
        matches!(self.life, Life::Ending | Life::Reset)
    }

    /// The packet that opened it, as far as policy looks.
    fn opening(&self) -> Segment {
        let kind = match self.protocol {
            Protocol::TCP => Kind::Syn,
            Protocol::UDP => Kind::Datagram,
            Protocol::SCTP => Kind::Init,
            _ => Kind::EchoRequest,
        };
        Segment { kind, source: self.opener, destination: self.answerer }
    }
}

impl Segment {
    fn opens(&self) -> bool {
        matches!(self.kind, Kind::Syn | Kind::Init | Kind::EchoRequest)
    }
}

/// What becomes of a packet that is judged by itself.
fn alone(opinion: Opinion) -> Reason {
    match opinion {
        Opinion::Denied => Reason::PolicyDeny,
        Opinion::Tracked => Reason::PolicyAllow,
        Opinion::Untracked => Reason::Stateless,
    }
}
