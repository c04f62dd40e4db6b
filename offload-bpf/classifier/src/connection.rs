//! Tracked connections: the packet's place in one, and what becomes of it.

use core::ops::ControlFlow::{self, Break, Continue};

use selvedge_abi::{
    CONNECTION_ASSURED, CONNECTION_CLOSING, CONNECTION_CUT, CONNECTION_DRAINING, CONNECTION_FROM_HIGH,
    CONNECTION_RESET, ConnectionEntry, ConnectionKey, Reason, Revocation,
};

use crate::{
    ends::{Ends, Node},
    passage::Noting,
    policy::{self, BOTH, EGRESS, Judgement, Ruling, Sides},
    report::Seen,
    tables::{TableFull, Tables},
    transport::{SCTP, Segment, Stage, TCP},
};

mod state;

use state::{UNTRACKED, advance, is_alive, key, uncovered, untracked_ends};

const SECOND: u64 = 1_000_000_000;
/// How old the noted time of the last packet may grow before it is written again. Writing it at every packet
/// would move the entry's cache line between CPUs.
const REFRESH: u64 = SECOND / 10;

/// Why policy is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    /// A new connection.
    New,
    /// A new connection in the place of one that is over.
    Renews,
    /// Opens where there is a connection already, by the answering end (simultaneous open). The entry stays as it is.
    Crossing,
    /// In the middle of a connection that nobody knows: only a stateless rule can allow it.
    MidStream,
    /// Of a connection that another generation allowed.
    Earlier,
    /// Of a live connection whose entry covers one end only: the other is asked of this packet by itself.
    Covered,
    /// An ICMP error about a live connection, which doesn't cover all sides.
    About,
    /// Belongs to no connection by its nature.
    Alone,
}

/// What policy is asked. Whatever the case, all of it says something: what is left out in one would be a register that
/// nobody wrote, and the verifier minds even where nobody reads it.
#[derive(Clone, Copy)]
struct Question {
    case: Case,
    /// The packet is of the answering end of the connection that the case is about.
    answer: bool,
    /// The sides that are asked.
    sides: Sides,
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
    let mut judgement = Judgement::NONE;
    let anew = begins_anew(segment);
    if anew {
        // Whatever there was before: what policy denies needs no look at connections, which is what a flood is met with.
        policy::judge(node, &ends, segment.forward_key(false), BOTH, &mut judgement);
        if let Some(reason) = judgement.refusal() {
            note(node, seen, &judgement);
            seen.noting = Noting::of_denial(segment, &judgement);
            return Break(reason);
        }
    }
    let now = node.tables.now();
    let from_high = segment.tuple.source > segment.tuple.destination;
    let key = key(&segment.tuple, from_high);
    let mut entry = ConnectionEntry::default();
    let found = segment.stage != Stage::Alone && node.tables.connection(&key, &mut entry);
    let mut question = Question { case: Case::Alone, answer: false, sides: BOTH };
    let found = found.then_some(&entry);
    if let Some(reason) = place(node, segment, seen, &key, found, from_high, now, &mut question) {
        return Break(reason);
    }
    let Question { mut case, answer, sides } = question;
    let turned = case == Case::Earlier && answer;
    let (asked, forward) = (if turned { ends.reversed() } else { ends }, segment.forward_key(turned));
    if !(anew && sides & BOTH == BOTH) {
        judgement = Judgement::NONE;
        policy::judge(node, &asked, forward, sides, &mut judgement);
    }
    if turned && judgement.untracked != 0 {
        case = answer_untracked(node, segment, &ends, &key, &mut judgement);
    }
    let opens = matches!(segment.stage, Stage::Opens | Stage::Any);
    let needs_stateless = case == Case::MidStream || (case == Case::Covered && !opens);
    if needs_stateless && judgement.ruling != Ruling::Stateless {
        return Break(Reason::NotTracked); // no rule decided this
    }
    note(node, seen, &judgement);
    Break(match (case, judgement.ruling) {
        (Case::Earlier, Ruling::Tracked | Ruling::Draining) => {
            let draining = if judgement.ruling == Ruling::Draining { CONNECTION_DRAINING } else { 0 };
            let begins = draining != 0 && revoke(node, &key, draining, Revocation::Drains);
            seen.logged = false; // it was, when the connection was new
            let before = entry.flags & !(UNTRACKED | CONNECTION_DRAINING);
            let flags = advance(before, segment.stage, answer) | untracked_ends(&judgement) | draining;
            let generation = node.generation;
            let renewed = ConnectionEntry { last_seen: now, generation, flags, rule: judgement.rule() };
            if write(node, &key, before, &renewed).is_err() {
                return Break(Reason::ConnectionsFull);
            }
            seen.logged = begins;
            as_part_of(flags)
        }
        (Case::Earlier, Ruling::Stateless) => {
            node.tables.remove_connection(&key);
            Reason::Stateless
        }
        (Case::Earlier, _) => {
            let opener = if answer { ends.destination } else { ends.source };
            let stays = segment.stage == Stage::Any && opener.ifindex == 0;
            if stays {
                revoke(node, &key, CONNECTION_CUT, Revocation::Cut);
                let flags = entry.flags & CONNECTION_FROM_HIGH | CONNECTION_CUT | CONNECTION_ASSURED;
                // Without room it is cut where it is, and gives way to others.
                let _ = write(node, &key, entry.flags, &ConnectionEntry { last_seen: now, flags, ..entry });
            } else if node.tables.remove_connection(&key) {
                node.tables.count_revocation(node.generation, Revocation::Cut);
            }
            Reason::Cut
        }
        (_, Ruling::NoPolicy) => Reason::NoPolicy,
        (_, Ruling::Denied | Ruling::Draining) => Reason::PolicyDeny,
        (Case::Covered, _) => carry_on(node, &key, &entry, advance(entry.flags, segment.stage, answer), now),
        (Case::About, _) => Reason::Related,
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
        // One of them; the other tracks.
        Ruling::Tracked | Ruling::Draining => policy::reversed(judgement.untracked),
        Ruling::Stateless => BOTH,
        Ruling::Denied | Ruling::NoPolicy => return Case::Earlier,
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
        return Case::Earlier;
    }
    *judgement = own;
    Case::Covered
}

/// The reason of a packet that passes as part of a connection.
#[inline(always)]
fn as_part_of(flags: u32) -> Reason {
    if flags & CONNECTION_DRAINING != 0 { Reason::Draining } else { Reason::Established }
}

/// Marks a connection that the generation no longer allows; whether this packet is the first to. Each is counted once,
/// whatever other CPUs see of it in this moment.
#[inline(always)]
fn revoke<T: Tables>(node: &Node<'_, T>, key: &ConnectionKey, mark: u32, revocation: Revocation) -> bool {
    let is_first = node.tables.mark_connection(key, mark) & mark == 0;
    if is_first {
        node.tables.count_revocation(node.generation, revocation);
    }
    is_first
}

/// Whether the packet asks for a connection of its own, whatever there was before: a SYN or an INIT. An echo request may as
/// well be one more of many.
#[inline(always)]
fn begins_anew(segment: &Segment) -> bool {
    segment.stage == Stage::Opens && matches!(segment.tuple.protocol, TCP | SCTP)
}

/// Finds what policy is to be asked; a reason where a connection of this generation answers for the packet.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "it is one with `track`, and inlined there")]
fn place<T: Tables>(
    node: &Node<'_, T>,
    segment: &Segment,
    seen: &mut Seen,
    key: &ConnectionKey,
    found: Option<&ConnectionEntry>,
    from_high: bool,
    now: u64,
    question: &mut Question,
) -> Option<Reason> {
    question.case = without_connection(segment.stage);
    let entry = found?;
    if !is_alive(entry, segment.tuple.protocol, &node.tables.config().timeouts, now) {
        if question.case == Case::New {
            question.case = Case::Renews;
        }
        return None;
    }
    let answer = from_high != (entry.flags & CONNECTION_FROM_HIGH != 0);
    question.answer = answer;
    if entry.flags & CONNECTION_CUT != 0 {
        return after_cut(node, key, segment.stage, question, now);
    }
    let current = entry.generation == node.generation;
    let ending = entry.flags & (CONNECTION_CLOSING | CONNECTION_RESET) != 0;
    let untracked = uncovered(entry.flags, answer);
    question.case = match segment.stage {
        Stage::Quotes if current => {
            // Who isn't an end of the connection has no part in it: an error of a third workload is that workload's.
            let stranger = if seen.source == segment.tuple.source { 0 } else { EGRESS };
            question.sides = untracked | stranger;
            if question.sides == 0 {
                return Some(Reason::Related);
            }
            Case::About
        }
        Stage::Quotes => Case::Alone,
        Stage::Opens if ending => Case::Renews,
        Stage::Opens if answer => Case::Crossing,
        _ if !current => {
            question.sides = policy::again(BOTH & !uncovered(entry.flags, false));
            Case::Earlier
        }
        _ if untracked != 0 => {
            question.sides = untracked;
            Case::Covered
        }
        _ => {
            let flags = advance(entry.flags, segment.stage, answer);
            let reason = carry_on(node, key, entry, flags, now);
            if reason == Reason::Established {
                seen.noting = Noting::of(segment.stage, flags);
            }
            return Some(reason);
        }
    };
    None
}

/// Notes one more packet of a live connection, which has these flags with it; the reason it ends in.
#[inline(always)]
fn carry_on<T: Tables>(
    node: &Node<'_, T>,
    key: &ConnectionKey,
    entry: &ConnectionEntry,
    flags: u32,
    now: u64,
) -> Reason {
    let (news, over) = (flags & !entry.flags, entry.flags & !flags);
    if over != 0 || news & CONNECTION_ASSURED != 0 {
        let written = write(node, key, entry.flags, &ConnectionEntry { last_seen: now, flags, ..*entry });
        return if written.is_ok() { as_part_of(flags) } else { Reason::ConnectionsFull };
    }
    if news != 0 {
        // Only what is new, so that what another CPU marks in this moment stays.
        node.tables.mark_connection(key, news);
    }
    if news != 0 || now.saturating_sub(entry.last_seen) >= REFRESH {
        node.tables.touch_connection(key, now);
    }
    as_part_of(flags)
}

/// Writes an entry whose flags were `before`: where it is, or to where it stays from now on.
#[inline(always)]
fn write<T: Tables>(
    node: &Node<'_, T>,
    key: &ConnectionKey,
    before: u32,
    entry: &ConnectionEntry,
) -> Result<(), TableFull> {
    if entry.flags & !before & CONNECTION_ASSURED != 0 {
        return node.tables.keep_connection(key, entry);
    }
    node.tables.store_connection(key, entry);
    Ok(())
}

/// The opener may try again, which policy judges. The answering end stays silent for as long as the opener's own node may still
/// have the connection: until its packets, which that node sees first, have not come for the time that an entry lives.
#[inline(always)]
fn after_cut<T: Tables>(
    node: &Node<'_, T>,
    key: &ConnectionKey,
    stage: Stage,
    question: &mut Question,
    now: u64,
) -> Option<Reason> {
    if stage == Stage::Quotes {
        question.case = Case::Alone;
        return None;
    }
    if question.answer {
        return Some(Reason::Cut);
    }
    node.tables.touch_connection(key, now);
    question.case = Case::Renews;
    None
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
    if case == Case::Renews {
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
