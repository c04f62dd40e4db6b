//! Every state that the full program can be in when a packet comes: whatever connection of it there is or was, under whichever
//! generation, however far, and whatever came a moment ago.

use std::collections::BTreeMap;

use selvedge_abi::{
    Address, AddressKey, CONNECTION_ANSWERED, CONNECTION_ANSWERER_UNTRACKED, CONNECTION_ASSURED,
    CONNECTION_CLOSING, CONNECTION_CUT, CONNECTION_DRAINING, CONNECTION_FROM_HIGH,
    CONNECTION_OPENER_UNTRACKED, CONNECTION_RESET, ConnectionEntry, ConnectionKey, ECHO_FROM_HIGH,
    FragmentEntry, FragmentKey, PortRole, Reason, Verdict,
};
use selvedge_classifier::testing::{MemoryTables, PORT};
use selvedge_classifier::{Tables, Way};

const KEPT: u32 = CONNECTION_ANSWERED | CONNECTION_ASSURED;

/// How far a connection has come.
const FLAGS: [u32; 10] = [
    0,
    CONNECTION_ANSWERED,
    KEPT,
    KEPT | CONNECTION_CLOSING,
    KEPT | CONNECTION_RESET,
    KEPT | CONNECTION_DRAINING,
    CONNECTION_ASSURED | CONNECTION_CUT,
    CONNECTION_CUT,
    KEPT | CONNECTION_OPENER_UNTRACKED,
    KEPT | CONNECTION_ANSWERER_UNTRACKED,
];

/// A plain packet, taken apart.
struct Plain<'f> {
    frame: &'f [u8],
    transport: usize,
    source: Address,
    destination: Address,
    protocol: u8,
}

impl<'f> Plain<'f> {
    fn of(frame: &'f [u8]) -> Self {
        let v4 = |at: usize| Address::from_ipv4(frame[at..at + 4].try_into().unwrap());
        let v6 = |at: usize| Address(frame[at..at + 16].try_into().unwrap());
        match frame[12] {
            0x08 => Self { frame, transport: 34, source: v4(26), destination: v4(30), protocol: frame[23] },
            _ => Self { frame, transport: 54, source: v6(22), destination: v6(38), protocol: frame[20] },
        }
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.frame[self.transport + at], self.frame[self.transport + at + 1]])
    }

    fn is_echo(&self) -> bool {
        matches!((self.protocol, self.frame[self.transport]), (1, 0 | 8) | (58, 128 | 129))
    }

    /// The key of its connection, opened by its source or by its destination.
    fn key(&self, by_source: bool) -> ConnectionKey {
        let (from, to) = match self.protocol {
            6 | 17 | 132 => (self.u16(0), self.u16(2)),
            1 | 58 => (self.u16(4), self.u16(4)),
            _ => (0, 0),
        };
        let from_high = (self.source, from) > (self.destination, to);
        let [(low, low_port), (high, high_port)] = if from_high {
            [(self.destination, to), (self.source, from)]
        } else {
            [(self.source, from), (self.destination, to)]
        };
        let asks = if self.is_echo() && from_high == by_source { ECHO_FROM_HIGH } else { 0 };
        ConnectionKey { low, high, low_port, high_port, protocol: u32::from(self.protocol) | asks }
    }

    /// What the entry's flags say of who opened it.
    fn opener_flag(&self, by_source: bool) -> u32 {
        let ConnectionKey { high, high_port, .. } = self.key(by_source);
        let port = if matches!(self.protocol, 6 | 17 | 132) { self.u16(0) } else { high_port };
        let source_is_high = (high, high_port) == (self.source, port) && self.source != self.destination;
        if source_is_high == by_source { CONNECTION_FROM_HIGH } else { 0 }
    }

    /// The packet that an ICMP error quotes, with its addresses.
    fn quoted(&self) -> Option<Vec<u8>> {
        let is_error = matches!((self.protocol, self.frame[self.transport]), (1, 3 | 11 | 12) | (58, 1..=4));
        let quoted = is_error.then(|| [&self.frame[..14], &self.frame[self.transport + 8..]].concat());
        quoted.filter(|quoted| quoted.len() >= self.transport)
    }

    /// A datagram whose next fragment it would be, were it one.
    fn awaited(&self) -> (FragmentKey, FragmentEntry) {
        let (id, start, protocol) = match self.transport {
            34 => {
                let word = |at: usize| u32::from(u16::from_be_bytes([self.frame[at], self.frame[at + 1]]));
                (word(18), (word(20) & 0x1fff) * 8, u32::from(self.protocol))
            }
            _ => {
                let id = self.frame[58..62].try_into().map_or(0, u32::from_be_bytes);
                (id, u32::from(self.u16(2) & !7), u32::from(self.protocol))
            }
        };
        let (source, destination) = (self.source, self.destination);
        let progress = u64::from(id) << 32 | u64::from(start);
        (FragmentKey { source, destination, id, protocol }, FragmentEntry { first_seen: 0, progress })
    }

    /// A packet of the other end: opening, where it can, or as it is; the one that it is about, of an error.
    fn turned(&self, opens: bool) -> Vec<u8> {
        if let Some(quoted) = self.quoted() {
            return quoted;
        }
        let mut frame = self.frame.to_vec();
        let (at, length) = if self.transport == 34 { (26, 4) } else { (22, 16) };
        let (from, to) =
            (self.frame[at..at + length].to_vec(), self.frame[at + length..at + 2 * length].to_vec());
        frame[at..at + length].copy_from_slice(&to);
        frame[at + length..at + 2 * length].copy_from_slice(&from);
        let transport = &mut frame[self.transport..];
        match self.protocol {
            6 | 17 | 132 => {
                transport.swap(0, 2);
                transport.swap(1, 3);
            }
            1 => transport[0] ^= if self.is_echo() { 8 } else { 0 },
            58 => transport[0] ^= if self.is_echo() { 1 } else { 0 },
            _ => {}
        }
        match self.protocol {
            6 => transport[13] = if opens { 0x02 } else { 0x10 },
            132 => {
                transport[12] = u8::from(opens);
                transport[4..8].copy_from_slice(&[0, 0, 0, if opens { 0 } else { 9 }]);
            }
            _ => {}
        }
        frame
    }
}

/// What comes before the packet.
#[derive(Clone, Copy, Debug)]
enum Prelude {
    Nothing,
    Itself,
    OtherEndOpens,
    OtherEnd,
}

/// How many states there are, if the frame passes in none of them; else the first in which it does.
pub(super) fn all_deny(tables: &mut MemoryTables, frame: &[u8]) -> Result<usize, String> {
    let tried = if comes_to_policy(tables, frame)? { under_a_generation(tables, frame)? } else { 1 };
    let config = std::mem::take(&mut tables.config);
    let reason = tables.classify(frame, PORT);
    tables.config = config;
    match reason.verdict() {
        Verdict::Allowed => Err(format!("{reason:?} before any generation")),
        _ => Ok(tried + 1),
    }
}

/// Whether policy is asked, or a connection looked for: not where headers are missing, nor where the source can't be.
fn comes_to_policy(tables: &MemoryTables, frame: &[u8]) -> Result<bool, String> {
    forget(tables, &None);
    let reason = tables.classify(frame, PORT);
    if reason.verdict() == Verdict::Allowed {
        return Err(format!("{reason:?} with nothing before"));
    }
    let transport = match frame.get(12..14) {
        Some([0x08, 0x00]) => 34,
        Some([0x86, 0xdd]) => 54,
        _ => return Ok(false),
    };
    let protocol = frame.get(if transport == 34 { 23 } else { 20 });
    let headers = transport + if matches!(protocol, Some(6 | 132)) { 14 } else { 8 };
    Ok(frame.len() >= headers && reason != Reason::Spoofed)
}

fn under_a_generation(tables: &mut MemoryTables, frame: &[u8]) -> Result<usize, String> {
    let plain = Plain::of(frame);
    let older = tables.config.generation - 1;
    let mut entries: Vec<Option<(ConnectionKey, ConnectionEntry)>> = vec![None];
    for by_source in [true, false] {
        let key = plain.key(by_source);
        entries.extend(FLAGS.iter().map(|flags| {
            let flags = flags | plain.opener_flag(by_source);
            Some((key, ConnectionEntry { last_seen: tables.clock.get(), generation: older, flags, rule: 9 }))
        }));
    }
    let mut tried = 0;
    for entry in &entries {
        for prelude in [Prelude::Nothing, Prelude::Itself, Prelude::OtherEndOpens, Prelude::OtherEnd] {
            forget(tables, entry);
            let before = match prelude {
                Prelude::Nothing => None,
                Prelude::Itself => Some(frame.to_vec()),
                Prelude::OtherEndOpens => Some(plain.turned(true)),
                Prelude::OtherEnd => Some(plain.turned(false)),
            };
            if let Some(before) = before {
                judge(tables, &before);
            }
            let reason = judge(tables, frame);
            if reason.verdict() == Verdict::Allowed {
                return Err(format!("{reason:?} after {prelude:?} with {entry:?}"));
            }
            tried += 1;
        }
    }
    forget(tables, &None);
    let (key, datagram) = plain.awaited();
    let datagram = FragmentEntry { first_seen: tables.clock.get(), ..datagram };
    tables.fragments.borrow_mut().insert(key, datagram);
    let reason = judge(tables, frame);
    if reason.verdict() == Verdict::Allowed {
        return Err(format!("{reason:?} of a datagram whose begin passed"));
    }
    forget(tables, &None);
    Ok(tried + 1)
}

/// Leaves nothing behind but one connection, if any.
pub(super) fn forget(tables: &MemoryTables, entry: &Option<(ConnectionKey, ConnectionEntry)>) {
    tables.connections.replace(entry.iter().copied().collect());
    tables.passages.replace(BTreeMap::new());
    tables.denials.replace(BTreeMap::new());
    tables.fragments.replace(BTreeMap::new());
    tables.events.borrow_mut().clear();
    tables.rule_counters.borrow_mut().clear();
    tables.reason_counters.borrow_mut().clear();
}

/// Judges a frame where its source sends it.
fn judge(tables: &MemoryTables, frame: &[u8]) -> Reason {
    let source = AddressKey { slot: tables.config.slot, address: Plain::of(frame).source };
    let behind = Tables::address(&tables, &source).map_or(0, |entry| entry.ifindex);
    let fabric =
        |index: u32| tables.ports.get(&index).is_some_and(|port| port.role != PortRole::Workload as u32);
    match behind {
        0 => {
            let port = tables.ports.keys().copied().find(|index| fabric(*index)).filter(|_| !fabric(PORT));
            tables.classify(frame, port.unwrap_or(PORT))
        }
        port if fabric(port) => {
            tables.classify_sent(frame, Way { received: 0, leaves: port }).unwrap_or(Reason::NotLocal)
        }
        port => tables.classify(frame, port),
    }
}
