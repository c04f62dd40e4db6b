//! Tracked connections: the packet's place in one, and what becomes of it.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::{
    CONNECTION_ANSWERED, CONNECTION_CLOSING, CONNECTION_CUT, CONNECTION_FROM_HIGH, CONNECTION_RESET,
    ConnectionEntry, ConnectionKey, ECHO_FROM_HIGH, Reason, Timeouts,
};

use crate::{
    ends::Node,
    policy::{self, Judgement, Ruling},
    report::Seen,
    tables::{Connection, Tables},
    transport::{ICMP, ICMPV6, SCTP, Segment, Stage, TCP, Tuple, UDP},
};

const SECOND: u64 = 1_000_000_000;
/// How old the noted time of the last packet may grow before it is written again. Writing it at every packet
/// would move the entry's cache line between CPUs.
const REFRESH: u64 = SECOND / 10;

/// What policy is asked for.
enum Case<C> {
    /// A new connection; the entry that its tuple has already is over and may be overwritten.
    New { over: Option<C> },
    /// The answering end opens the same tuple (simultaneous open). The entry keeps its opener.
    Crossing,
    /// In the middle of a connection that nobody knows: only a stateless rule can allow it.
    MidStream,
    /// Of a connection that another generation allowed; `answer`: the packet is of the answering end.
    Earlier { connection: C, entry: ConnectionEntry, answer: bool },
    /// Belongs to no connection by its nature.
    Alone,
}

/// Judges a packet by its connection, or else by policy. Not inlined: its stack frame is its own (see `lib.rs`).
#[inline(never)]
pub(crate) fn judge<T: Tables>(node: &Node<'_, T>, segment: &Segment, seen: &mut Seen) -> Reason {
    let (Break(reason) | Continue(reason)) = track(node, segment, seen);
    reason
}

#[inline(always)]
fn track<T: Tables>(node: &Node<'_, T>, segment: &Segment, seen: &mut Seen) -> ControlFlow<Reason, Reason> {
    let ends = seen.ends;
    let now = node.tables.now();
    let from_high = segment.tuple.source > segment.tuple.destination;
    let key = key(&segment.tuple, from_high);
    let found = if segment.stage == Stage::Alone { None } else { node.tables.connection(&key) };
    let case = place(node, segment, found, from_high, now)?;
    let judgement = match &case {
        Case::Earlier { answer: true, .. } => {
            policy::judge(node, &ends.reversed(), segment.forward_key(true))
        }
        _ => policy::judge(node, &ends, segment.forward_key(false)),
    };
    if matches!(case, Case::MidStream) && judgement.ruling != Ruling::Stateless {
        return Break(Reason::NotTracked); // no rule decided this
    }
    note(node, seen, &judgement);
    Break(match (case, judgement.ruling) {
        (Case::Earlier { connection, entry, answer }, Ruling::Tracked) => {
            seen.logged = false; // it was, when the connection was new
            let flags = advance(entry.flags, segment.stage, answer);
            let generation = node.generation;
            connection.store(ConnectionEntry { last_seen: now, generation, flags, rule: judgement.rule() });
            Reason::Established
        }
        (Case::Earlier { answer, .. }, Ruling::Stateless) => {
            node.tables.remove_connection(&key);
            if answer { Reason::NotTracked } else { Reason::Stateless }
        }
        (Case::Earlier { connection, entry, answer }, _) => {
            let opener = if answer { ends.destination } else { ends.source };
            if segment.stage == Stage::Any && opener.ifindex == 0 {
                let flags = entry.flags & CONNECTION_FROM_HIGH | CONNECTION_CUT;
                connection.store(ConnectionEntry { last_seen: now, flags, ..entry });
            } else {
                node.tables.remove_connection(&key);
            }
            Reason::Cut
        }
        (_, Ruling::NoPolicy) => Reason::NoPolicy,
        (_, Ruling::Denied) => Reason::PolicyDeny,
        (_, Ruling::Stateless) => Reason::Stateless,
        (Case::New { over }, Ruling::Tracked) => {
            let flags = if from_high { CONNECTION_FROM_HIGH } else { 0 };
            let generation = node.generation;
            let entry = ConnectionEntry { last_seen: now, generation, flags, rule: judgement.rule() };
            open(node, &key, over, entry)
        }
        (_, Ruling::Tracked) => Reason::PolicyAllow,
    })
}

/// Finds the packet's case; breaks where a connection of this generation answers for it.
#[inline(always)]
fn place<T: Tables>(
    node: &Node<'_, T>,
    segment: &Segment,
    found: Option<T::Connection>,
    from_high: bool,
    now: u64,
) -> ControlFlow<Reason, Case<T::Connection>> {
    let Some(connection) = found else { return Continue(without_connection(segment.stage, None)) };
    let entry = connection.load();
    if !is_alive(&entry, segment.tuple.protocol, &node.tables.config().timeouts, now) {
        return Continue(without_connection(segment.stage, Some(connection)));
    }
    let answer = from_high != (entry.flags & CONNECTION_FROM_HIGH != 0);
    if entry.flags & CONNECTION_CUT != 0 {
        return after_cut(connection, segment.stage, answer, now);
    }
    let current = entry.generation == node.generation;
    let ending = entry.flags & (CONNECTION_CLOSING | CONNECTION_RESET) != 0;
    match segment.stage {
        Stage::Quotes if current => return Break(Reason::Related),
        Stage::Quotes => return Continue(Case::Alone),
        Stage::Opens if ending => return Continue(Case::New { over: Some(connection) }),
        Stage::Opens if answer => return Continue(Case::Crossing),
        _ if !current => return Continue(Case::Earlier { connection, entry, answer }),
        _ => {}
    }
    let flags = advance(entry.flags, segment.stage, answer);
    if flags != entry.flags {
        connection.store(ConnectionEntry { last_seen: now, flags, ..entry });
    } else if now.saturating_sub(entry.last_seen) >= REFRESH {
        connection.touch(now);
    }
    Break(Reason::Established)
}

/// The opener may try again, which policy judges. The answering end stays silent for as long as the opener's own node may still
/// have the connection: until its packets, which that node sees first, have not come for the time that an entry lives.
#[inline(always)]
fn after_cut<C: Connection>(
    connection: C,
    stage: Stage,
    answer: bool,
    now: u64,
) -> ControlFlow<Reason, Case<C>> {
    match stage {
        Stage::Quotes => Continue(Case::Alone),
        _ if answer => Break(Reason::Cut),
        _ => {
            connection.touch(now);
            Continue(Case::New { over: Some(connection) })
        }
    }
}

#[inline(always)]
fn without_connection<C>(stage: Stage, over: Option<C>) -> Case<C> {
    match stage {
        Stage::Opens | Stage::Any => Case::New { over },
        Stage::Continues | Stage::Closes | Stage::Resets => Case::MidStream,
        Stage::Alone | Stage::Quotes => Case::Alone,
    }
}

#[inline(always)]
fn open<T: Tables>(
    node: &Node<'_, T>,
    key: &ConnectionKey,
    over: Option<T::Connection>,
    entry: ConnectionEntry,
) -> Reason {
    if let Some(connection) = over {
        connection.store(entry);
        return Reason::PolicyAllow;
    }
    match node.tables.insert_connection(key, &entry) {
        Ok(()) => Reason::PolicyAllow,
        Err(_) => Reason::ConnectionsFull,
    }
}

/// Counts the rules that spoke, and notes whom to name.
#[inline(always)]
fn note<T: Tables>(node: &Node<'_, T>, seen: &mut Seen, judgement: &Judgement) {
    seen.rule = judgement.rule();
    seen.logged = judgement.logged;
    for rule in [judgement.egress_rule, judgement.ingress_rule] {
        if rule != 0 {
            node.tables.count_rule(rule, seen.length);
        }
    }
}

#[inline(always)]
fn key(tuple: &Tuple, from_high: bool) -> ConnectionKey {
    let (source, destination) = (tuple.source.address(), tuple.destination.address());
    let is_echo = matches!(tuple.protocol, ICMP | ICMPV6);
    let asks_from_high = is_echo && from_high != tuple.answers_echo;
    let protocol = tuple.protocol as u32 | if asks_from_high { ECHO_FROM_HIGH } else { 0 };
    if from_high {
        ConnectionKey {
            low: destination,
            high: source,
            low_port: tuple.destination_port,
            high_port: tuple.source_port,
            protocol,
        }
    } else {
        ConnectionKey {
            low: source,
            high: destination,
            low_port: tuple.source_port,
            high_port: tuple.destination_port,
            protocol,
        }
    }
}

/// Flags after one more packet.
#[inline(always)]
fn advance(flags: u32, stage: Stage, answer: bool) -> u32 {
    let end = match stage {
        Stage::Closes => CONNECTION_CLOSING,
        Stage::Resets => CONNECTION_RESET,
        _ => 0,
    };
    flags | end | if answer { CONNECTION_ANSWERED } else { 0 }
}

#[inline(always)]
fn is_alive(entry: &ConnectionEntry, protocol: u8, timeouts: &Timeouts, now: u64) -> bool {
    let seconds = match protocol {
        UDP => timeouts.udp,
        ICMP | ICMPV6 => timeouts.icmp,
        protocol if !matches!(protocol, TCP | SCTP) => timeouts.other,
        _ if entry.flags & (CONNECTION_CLOSING | CONNECTION_RESET) != 0 => timeouts.closing,
        _ if entry.flags & CONNECTION_ANSWERED != 0 => timeouts.tcp_established,
        _ => timeouts.half_open,
    };
    now.saturating_sub(entry.last_seen) < seconds as u64 * SECOND
}
