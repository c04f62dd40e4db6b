//! What an entry says of its connection, and becomes with one more packet.

use selvedge_abi::{
    CONNECTION_ANSWERED, CONNECTION_ANSWERER_UNTRACKED, CONNECTION_ASSURED, CONNECTION_CLOSING,
    CONNECTION_OPENER_UNTRACKED, CONNECTION_RESET, ConnectionEntry, ConnectionKey, ECHO_FROM_HIGH, Timeouts,
};

use super::SECOND;
use crate::{
    policy::{BOTH, EGRESS, INGRESS, Judgement, Sides},
    transport::{ICMP, ICMPV6, SCTP, Stage, TCP, Tuple, UDP},
};

pub(super) const UNTRACKED: u32 = CONNECTION_OPENER_UNTRACKED | CONNECTION_ANSWERER_UNTRACKED;

/// How far above a side's bit the flag stands that says it isn't covered, where that is in the opener's direction.
const UNTRACKED_SHIFT: u32 = CONNECTION_OPENER_UNTRACKED.trailing_zeros();
const _: () = assert!(EGRESS << UNTRACKED_SHIFT == CONNECTION_OPENER_UNTRACKED);
const _: () = assert!(INGRESS << UNTRACKED_SHIFT == CONNECTION_ANSWERER_UNTRACKED);

/// The key of a packet's connection. `from_high`: its source is the higher end.
#[inline(always)]
pub(super) fn key(tuple: &Tuple, from_high: bool) -> ConnectionKey {
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
pub(super) fn advance(flags: u32, stage: Stage, answer: bool) -> u32 {
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
pub(super) fn is_alive(entry: &ConnectionEntry, protocol: u8, timeouts: &Timeouts, now: u64) -> bool {
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

/// The sides that the entry doesn't cover, in the direction of the packet.
#[inline(always)]
pub(super) fn uncovered(flags: u32, answer: bool) -> Sides {
    let forward = flags >> UNTRACKED_SHIFT & BOTH;
    if answer { forward >> 1 | (forward & EGRESS) << 1 } else { forward }
}

/// The flags for what a judgement in the opener's direction leaves untracked. By arithmetic, as is the next: the verifier
/// would follow each case that it is told of.
#[inline(always)]
pub(super) fn untracked_ends(judgement: &Judgement) -> u32 {
    judgement.untracked << UNTRACKED_SHIFT
}
