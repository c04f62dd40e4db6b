//! What connections mean, slow and obvious: a list of those that were opened.
//!
//! Both ends may be behind the node. Each has a say then, as if it were alone on a node of its own: an end that tracks the
//! connection lets all of it pass; one that doesn't judges every packet by itself. A packet that either end stops is not seen
//! by the other.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use selvedge_abi::{Reason, Revocation, Revocations, Timeouts};
use selvedge_topology::l4::Protocol;

use super::packet::{Kind, Packet, Segment};

/// What the policy of one end says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It may not, nor may those that did before.
    Denied,
    /// It may not, but those that did before go on.
    Draining,
    /// It may, and is tracked.
    Tracked,
    /// It may, and nothing is noted.
    Untracked,
}

/// What the ends of a packet say of it; `None` of one that is not behind the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opinions {
    /// Egress policy.
    pub source: Option<Opinion>,
    /// Ingress policy.
    pub destination: Option<Opinion>,
}

impl Opinions {
    /// What they come to: each may deny, and cut rather than let drain; one that tracks is enough for a connection.
    pub fn joint(self) -> Option<Opinion> {
        let both = [self.source, self.destination];
        [Opinion::Denied, Opinion::Draining, Opinion::Tracked, Opinion::Untracked]
            .into_iter()
            .find(|opinion| both.contains(&Some(*opinion)))
    }

    fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source }
    }

    /// The same about a connection of which they `said` that before: an end that tracked nothing has nothing to drain.
    fn about_what_was(self, said: Self) -> Self {
        let of = |opinion, said| match (opinion, said) {
            (Some(Opinion::Draining), Some(Opinion::Untracked)) => Some(Opinion::Denied),
            (opinion, _) => opinion,
        };
        Self { source: of(self.source, said.source), destination: of(self.destination, said.destination) }
    }

    /// Of the ends that don't track a connection, which `said` this of the packet that opened it.
    fn of_those_that_track_nothing(self, said: Self) -> Self {
        let of = |opinion: Option<_>, said| opinion.filter(|_| said == Some(Opinion::Untracked));
        Self { source: of(self.source, said.source), destination: of(self.destination, said.destination) }
    }
}

/// What a node knows besides connections.
pub trait Node {
    /// What policy in force says of a packet that is judged by itself.
    fn opinions(&self, packet: &Packet) -> Opinions;
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
    /// What its ends, the opener first, say of it in that generation.
    said: Opinions,
    /// The second of its last packet.
    last: u64,
    heard: Heard,
    life: Life,
    standing: Standing,
}

/// What became of a connection when it was last judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Allowed,
    Draining,
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
    revocations: BTreeMap<u64, Revocations>,
}

impl Connections {
    /// None yet, and room for so many.
    pub fn new(room: usize, timeouts: Timeouts) -> Self {
        Self { all: Vec::new(), room, timeouts, revocations: BTreeMap::new() }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// How many each generation revoked.
    pub fn revocations(&self) -> &BTreeMap<u64, Revocations> {
        &self.revocations
    }

    /// What becomes of a packet between two ends of which one at least is behind the node.
    pub fn judge(&mut self, now: Moment, packet: &Packet, node: &impl Node) -> Reason {
        match packet {
            Packet::Error { sender, about } => self.error(now, *sender, about, node.opinions(packet)),
            Packet::Segment(segment) if segment.kind == Kind::Query => alone(node.opinions(packet)),
            Packet::Segment(segment) => self.segment(now, segment, node),
        }
    }

    fn segment(&mut self, now: Moment, segment: &Segment, node: &impl Node) -> Reason {
        if segment.asks_for_its_own()
            && alone(node.opinions(&Packet::Segment(*segment))) == Reason::PolicyDeny
        {
            return Reason::PolicyDeny; // whatever there was, which stays as it is
        }
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
        let opinions = node.opinions(&Packet::Segment(*segment));
        if segment.opens() && answers {
            return alone(opinions); // both open at once; the first stays the opener
        }
        let (mut said, mut standing) = (connection.said, connection.standing);
        if connection.generation != now.generation {
            said = node.opinions(&Packet::Segment(connection.opening())).about_what_was(said);
            match said.joint() {
                Some(Opinion::Denied) => return self.cut(now, index, node),
                Some(Opinion::Draining) => standing = Standing::Draining,
                Some(Opinion::Tracked) => standing = Standing::Allowed,
                Some(Opinion::Untracked) | None => {
                    self.all.remove(index);
                    return self.without_connection(now, segment, None, node);
                }
            }
        }
        let said_this_way = if answers { said.reversed() } else { said };
        match opinions.of_those_that_track_nothing(said_this_way).joint() {
            None | Some(Opinion::Untracked) => {}
            Some(Opinion::Tracked) if segment.begins() => {}
            Some(Opinion::Denied | Opinion::Draining) if segment.begins() => return Reason::PolicyDeny,
            Some(_) => return Reason::NotTracked,
        }
        if (connection.standing, standing) == (Standing::Allowed, Standing::Draining) {
            self.all[index].standing = standing;
            self.revoke(now, Revocation::Drains);
        }
        let mut seen = Connection { standing, ..connection };
        seen.see(now, segment, said);
        if seen.stays() && !connection.stays() && self.is_full() {
            return Reason::ConnectionsFull;
        }
        self.all[index] = seen;
        match standing {
            Standing::Allowed => Reason::Established,
            Standing::Draining => Reason::Draining,
        }
    }

    fn revoke(&mut self, now: Moment, revocation: Revocation) {
        self.revocations.entry(now.generation).or_default().count(revocation);
    }

    /// What generations no longer allow is forgotten, or remembered as cut: where there is room, as one that stays.
    fn cut(&mut self, now: Moment, index: usize, node: &impl Node) -> Reason {
        self.revoke(now, Revocation::Cut);
        let is_full = self.is_full();
        let connection = &mut self.all[index];
        if connection.protocol != Protocol::UDP || node.is_behind(connection.opener.ip()) {
            self.all.remove(index);
            return Reason::Cut;
        }
        connection.life = Life::Cut;
        if connection.stays() || !is_full {
            (connection.heard, connection.last) = (Heard::OpenerAgain, now.second);
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
        let said = node.opinions(&Packet::Segment(*segment));
        if !segment.begins() {
            let passes = said.joint() == Some(Opinion::Untracked);
            return if passes { Reason::Stateless } else { Reason::NotTracked };
        }
        if said.joint() != Some(Opinion::Tracked) {
            return alone(said);
        }
        let connection = Connection {
            protocol: segment.protocol(),
            opener: segment.source,
            answerer: segment.destination,
            generation: now.generation,
            said,
            last: now.second,
            heard: Heard::Opener,
            life: Life::Open,
            standing: Standing::Allowed,
        };
        match over {
            Some(index) => self.all[index] = connection,
            None => self.all.push(connection),
        }
        Reason::PolicyAllow
    }

    /// What becomes of an error about a packet. Who is no end of that packet's connection has no part in it.
    fn error(&self, now: Moment, sender: IpAddr, about: &Segment, opinions: Opinions) -> Reason {
        let Some(connection) = self.known(now, about) else { return alone(opinions) };
        // The error goes to the source of what it is about.
        let said =
            if about.source == connection.answerer { connection.said } else { connection.said.reversed() };
        let mut asked = opinions.of_those_that_track_nothing(said);
        if sender != about.destination.ip() {
            asked.source = opinions.source;
        }
        match asked.joint() {
            Some(Opinion::Denied | Opinion::Draining) => Reason::PolicyDeny,
            _ => Reason::Related,
        }
    }

    /// The live connection, allowed by this generation, that a quoted packet is of.
    fn known(&self, now: Moment, quoted: &Segment) -> Option<&Connection> {
        if matches!(quoted.kind, Kind::Query | Kind::EchoReply) {
            return None; // of echo, only the request is ever quoted usefully: nobody has to be told of a lost reply
        }
        self.all.iter().find(|connection| {
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

    fn see(&mut self, now: Moment, segment: &Segment, said: Opinions) {
        (self.last, self.generation, self.said) = (now.second, now.generation, said);
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
        self.heard == Heard::OpenerAgain
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
    /// Whether it asks for a connection.
    fn opens(&self) -> bool {
        matches!(self.kind, Kind::Syn | Kind::Init | Kind::EchoRequest)
    }

    /// Whether it is of no connection that there may be already. An echo request can be one more of many.
    fn asks_for_its_own(&self) -> bool {
        matches!(self.kind, Kind::Syn | Kind::Init)
    }

    /// Whether it can be the first of a connection.
    fn begins(&self) -> bool {
        self.opens() || self.kind == Kind::Datagram
    }
}

/// What becomes of a packet that is judged by itself.
fn alone(opinions: Opinions) -> Reason {
    match opinions.joint() {
        None | Some(Opinion::Denied | Opinion::Draining) => Reason::PolicyDeny,
        Some(Opinion::Tracked) => Reason::PolicyAllow,
        Some(Opinion::Untracked) => Reason::Stateless,
    }
}
