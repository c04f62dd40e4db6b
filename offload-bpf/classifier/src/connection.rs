//! Tracked connections: the packet's place in one, and what becomes of it.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::{
    CONNECTION_ANSWERED, CONNECTION_ANSWERER_UNTRACKED, CONNECTION_ASSURED, CONNECTION_CLOSING,
    CONNECTION_CUT, CONNECTION_FROM_HIGH, CONNECTION_OPENER_UNTRACKED, CONNECTION_RESET, ConnectionEntry,
    ConnectionKey, ECHO_FROM_HIGH, Reason, Timeouts,
};

use crate::{
    ends::{Ends, Node},
    passage::Noting,
    policy::{self, BOTH, EGRESS, INGRESS, Judgement, Ruling, Sides},
    report::Seen,
    tables::Tables,
    transport::{ICMP, ICMPV6, SCTP, Segment, Stage, TCP, Tuple, UDP},
};

const SECOND: u64 = 1_000_000_000;
/// How old the noted time of the last packet may grow before it is written again. Writing it at every packet
/// would move the entry's cache line between CPUs.
const REFRESH: u64 = SECOND / 10;

/// What policy is asked for. A case doesn't hold the connection it is about, which is looked up again where it is needed: these
/// ways are rare, and the stack is short.
#[derive(Clone, Copy)]
enum Case {
    /// A new connection.
    New,
    /// A new connection in the place of one that is over.
    Renews,
    /// The answering end opens the same tuple (simultaneous open). The entry keeps its opener.
    Crossing,
    /// In the middle of a connection that nobody knows: only a stateless rule can allow it.
    MidStream,
    /// Of a connection that another generation allowed; `answer`: the packet is of the answering end.
    Earlier { answer: bool },
    /// Of a live connection whose entry covers one end only: `sides` are to be asked of this packet by itself.
    Covered { answer: bool, sides: Sides },
    /// An ICMP error about a live connection, which doesn't cover these sides.
    About { sides: Sides },
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
    let mut case = place(node, segment, seen, &key, found, from_high, now)?;
    let (asked, forward, sides) = match &case {
        Case::Earlier { answer: true, .. } => (ends.reversed(), segment.forward_key(true), BOTH),
        Case::Covered { sides, .. } | Case::About { sides } => (ends, segment.forward_key(false), *sides),
        _ => (ends, segment.forward_key(false), BOTH),
    };
    let mut judgement = Judgement::NONE;
    policy::judge(node, &asked, forward, sides, &mut judgement);
    if matches!(case, Case::Earlier { answer: true }) && judgement.untracked != 0 {
        case = answer_untracked(node, segment, &ends, &key, &mut judgement);
    }
    let opens = matches!(segment.stage, Stage::Opens | Stage::Any);
    let needs_stateless = matches!(case, Case::MidStream) || (matches!(case, Case::Covered { .. }) && !opens);
    if needs_stateless && judgement.ruling != Ruling::Stateless {
        return Break(Reason::NotTracked); // no rule decided this
    }
    note(node, seen, &judgement);
    Break(match (case, judgement.ruling) {
        (Case::Earlier { answer }, Ruling::Tracked) => {
            seen.logged = false; // it was, when the connection was new
            let Some(entry) = node.tables.connection(&key) else { return Break(Reason::NotTracked) };
            let before = entry.flags & !UNTRACKED;
            let flags = advance(before, segment.stage, answer) | untracked_ends(&judgement);
            let generation = node.generation;
            let renewed = ConnectionEntry { last_seen: now, generation, flags, rule: judgement.rule() };
            write(node, &key, before, &renewed)?;
            Reason::Established
        }
        (Case::Earlier { .. }, Ruling::Stateless) => {
            node.tables.remove_connection(&key);
            Reason::Stateless
        }
        (Case::Earlier { answer }, _) => {
            let opener = if answer { ends.destination } else { ends.source };
            let stays = segment.stage == Stage::Any && opener.ifindex == 0;
            if let (true, Some(entry)) = (stays, node.tables.connection(&key)) {
                let flags = entry.flags & CONNECTION_FROM_HIGH | CONNECTION_CUT | CONNECTION_ASSURED;
                // Without room the next packet finds it as it was, and is judged again.
                let _ = write(node, &key, entry.flags, &ConnectionEntry { last_seen: now, flags, ..entry });
            } else {
                node.tables.remove_connection(&key);
            }
            Reason::Cut
        }
        (_, Ruling::NoPolicy) => Reason::NoPolicy,
        (_, Ruling::Denied) => Reason::PolicyDeny,
        (Case::Covered { answer, .. }, _) => {
            let Some(entry) = node.tables.connection(&key) else { return Break(Reason::NotTracked) };
            carry_on(node, &key, entry, segment.stage, answer, now)?;
            Reason::Established
        }
        (Case::About { .. }, _) => Reason::Related,
        (_, Ruling::Stateless) => Reason::Stateless,
        (Case::New | Case::Renews, Ruling::Tracked) => {
            let opener = if from_high { CONNECTION_FROM_HIGH } else { 0 };
            let flags = opener | untracked_ends(&judgement);
            let generation = node.generation;
            let entry = ConnectionEntry { last_seen: now, generation, flags, rule: judgement.rule() };
            open(node, &key, case, entry)
        }
        (_, Ruling::Tracked) => Reason::PolicyAllow,
    })
}

/// The case of an answer whose connection `judgement` allows in the opener's direction, but not for every end to track: an
/// end that doesn't is asked for the answer by itself, and where none does, there is no connection any more.
#[inline(always)]
fn answer_untracked<T: Tables>(
    node: &Node<'_, T>,
    segment: &Segment,
    ends: &Ends,
    key: &ConnectionKey,
    judgement: &mut Judgement,
) -> Case {
    let sides = match judgement.ruling {
        Ruling::Tracked => policy::reversed(judgement.untracked), // one of them; the other tracks
        Ruling::Stateless => BOTH,
        Ruling::Denied | Ruling::NoPolicy => return Case::Earlier { answer: true },
    };
    let mut own = Judgement::NONE;
    policy::judge(node, ends, segment.forward_key(false), sides, &mut own);
    if sides == BOTH {
        node.tables.remove_connection(key);
        *judgement = own;
        return without_connection(segment.stage);
    }
    let passes = match own.ruling {
        Ruling::Tracked => segment.stage == Stage::Any,
        ruling => ruling == Ruling::Stateless,
    };
    if passes {
        return Case::Earlier { answer: true };
    }
    *judgement = own;
    Case::Covered { answer: true, sides }
}

/// Finds the packet's case; breaks where a connection of this generation answers for it.
#[inline(always)]
fn place<T: Tables>(
    node: &Node<'_, T>,
    segment: &Segment,
    seen: &mut Seen,
    key: &ConnectionKey,
    found: Option<ConnectionEntry>,
    from_high: bool,
    now: u64,
) -> ControlFlow<Reason, Case> {
    let Some(entry) = found else { return Continue(without_connection(segment.stage)) };
    if !is_alive(&entry, segment.tuple.protocol, &node.tables.config().timeouts, now) {
        return Continue(match without_connection(segment.stage) {
            Case::New => Case::Renews,
            case => case,
        });
    }
    let answer = from_high != (entry.flags & CONNECTION_FROM_HIGH != 0);
    if entry.flags & CONNECTION_CUT != 0 {
        return after_cut(node, key, segment.stage, answer, now);
    }
    let current = entry.generation == node.generation;
    let ending = entry.flags & (CONNECTION_CLOSING | CONNECTION_RESET) != 0;
    let untracked = uncovered(entry.flags, answer);
    match segment.stage {
        Stage::Quotes if current => {
            // Who isn't an end of the connection has no part in it: an error of a third workload is that workload's.
            let stranger = if seen.source == segment.tuple.source { 0 } else { EGRESS };
            let sides = untracked | stranger;
            return if sides == 0 { Break(Reason::Related) } else { Continue(Case::About { sides }) };
        }
        Stage::Quotes => return Continue(Case::Alone),
        Stage::Opens if ending => return Continue(Case::Renews),
        Stage::Opens if answer => return Continue(Case::Crossing),
        _ if !current => return Continue(Case::Earlier { answer }),
        _ => {}
    }
    if untracked != 0 {
        return Continue(Case::Covered { answer, sides: untracked });
    }
    let flags = carry_on(node, key, entry, segment.stage, answer, now)?;
    seen.noting = Noting::of(segment.stage, flags);
    Break(Reason::Established)
}

/// Notes one more packet of a live connection, and says which flags it has now.
#[inline(always)]
fn carry_on<T: Tables>(
    node: &Node<'_, T>,
    key: &ConnectionKey,
    entry: ConnectionEntry,
    stage: Stage,
    answer: bool,
    now: u64,
) -> ControlFlow<Reason, u32> {
    let flags = advance(entry.flags, stage, answer);
    if flags != entry.flags {
        write(node, key, entry.flags, &ConnectionEntry { last_seen: now, flags, ..entry })?;
    } else if now.saturating_sub(entry.last_seen) >= REFRESH {
        node.tables.touch_connection(key, now);
    }
    Continue(flags)
}

/// Writes an entry whose flags were `before`: where it is, or to where it stays from now on.
#[inline(always)]
fn write<T: Tables>(
    node: &Node<'_, T>,
    key: &ConnectionKey,
    before: u32,
    entry: &ConnectionEntry,
) -> ControlFlow<Reason> {
    if entry.flags & !before & CONNECTION_ASSURED == 0 {
        node.tables.store_connection(key, entry);
    } else if node.tables.keep_connection(key, entry).is_err() {
        return Break(Reason::ConnectionsFull);
    }
    Continue(())
}

const UNTRACKED: u32 = CONNECTION_OPENER_UNTRACKED | CONNECTION_ANSWERER_UNTRACKED;

/// The flags for what a judgement in the opener's direction leaves untracked.
#[inline(always)]
fn untracked_ends(judgement: &Judgement) -> u32 {
    let opener = if judgement.untracked & EGRESS != 0 { CONNECTION_OPENER_UNTRACKED } else { 0 };
    let answerer = if judgement.untracked & INGRESS != 0 { CONNECTION_ANSWERER_UNTRACKED } else { 0 };
    opener | answerer
}

/// The sides that the entry doesn't cover, in the direction of the packet.
#[inline(always)]
fn uncovered(flags: u32, answer: bool) -> Sides {
    let (source, destination) = if answer {
        (CONNECTION_ANSWERER_UNTRACKED, CONNECTION_OPENER_UNTRACKED)
    } else {
        (CONNECTION_OPENER_UNTRACKED, CONNECTION_ANSWERER_UNTRACKED)
    };
    let egress = if flags & source != 0 { EGRESS } else { 0 };
    let ingress = if flags & destination != 0 { INGRESS } else { 0 };
    egress | ingress
}

/// The opener may try again, which policy judges. The answering end stays silent for as long as the opener's own node may still
/// have the connection: until its packets, which that node sees first, have not come for the time that an entry lives.
#[inline(always)]
fn after_cut<T: Tables>(
    node: &Node<'_, T>,
    key: &ConnectionKey,
    stage: Stage,
    answer: bool,
    now: u64,
) -> ControlFlow<Reason, Case> {
    match stage {
        Stage::Quotes => Continue(Case::Alone),
        _ if answer => Break(Reason::Cut),
        _ => {
            node.tables.touch_connection(key, now);
            Continue(Case::Renews)
        }
    }
}

#[inline(always)]
fn without_connection(stage: Stage) -> Case {
    match stage {
        Stage::Opens | Stage::Any => Case::New,
        Stage::Continues | Stage::Closes | Stage::Resets => Case::MidStream,
        Stage::Alone | Stage::Quotes => Case::Alone,
    }
}

#[inline(always)]
fn open<T: Tables>(node: &Node<'_, T>, key: &ConnectionKey, case: Case, entry: ConnectionEntry) -> Reason {
    if matches!(case, Case::Renews) {
        node.tables.remove_connection(key);
    }
    match node.tables.open_connection(key, &entry) {
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

/// Flags after one more packet. Whether a RST is within the window only the ends know (RFC 5961 §3), so it counts until one
/// of them goes on: a blind one ends nothing, and a true one is said again to whoever does.
#[inline(always)]
fn advance(flags: u32, stage: Stage, answer: bool) -> u32 {
    let goes_on = matches!(stage, Stage::Continues | Stage::Any);
    let news = match stage {
        Stage::Closes => CONNECTION_CLOSING,
        Stage::Resets => CONNECTION_RESET,
        _ if goes_on && !answer && flags & CONNECTION_ANSWERED != 0 => CONNECTION_ASSURED,
        _ => 0,
    };
    let before = if stage == Stage::Continues { flags & !CONNECTION_RESET } else { flags };
    before | news | if answer { CONNECTION_ANSWERED } else { 0 }
}

#[inline(always)]
fn is_alive(entry: &ConnectionEntry, protocol: u8, timeouts: &Timeouts, now: u64) -> bool {
    let seconds = match protocol {
        UDP => timeouts.udp,
        ICMP | ICMPV6 => timeouts.icmp,
        protocol if !matches!(protocol, TCP | SCTP) => timeouts.other,
        _ if entry.flags & (CONNECTION_CLOSING | CONNECTION_RESET) != 0 => timeouts.closing,
        _ if entry.flags & CONNECTION_ASSURED != 0 => timeouts.tcp_established,
        _ => timeouts.half_open,
    };
    now.saturating_sub(entry.last_seen) < seconds as u64 * SECOND
}
