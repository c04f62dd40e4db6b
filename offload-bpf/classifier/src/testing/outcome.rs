//! All that one packet changed, from the classifier or from the kernel program, in one form.

use std::{collections::BTreeMap, vec::Vec};

use selvedge_abi::{
    ConnectionEntry, ConnectionKey, Counter, Event, FragmentEntry, FragmentKey, Reason, Revocations,
};

use super::{MemoryTables, PORT, SECOND};
use crate::Way;

/// What a packet came to. Two backends that agree give equal outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Packets and bytes per reason number, on [`PORT`].
    pub reasons: BTreeMap<u32, Counter>,
    /// Packets and bytes per rule.
    pub rules: BTreeMap<u32, Counter>,
    /// Connections that the generation in force revoked.
    pub revocations: Revocations,
    /// The connection table afterwards.
    pub connections: BTreeMap<ConnectionKey, Tracked>,
    /// The fragment table afterwards.
    pub datagrams: BTreeMap<FragmentKey, Datagram>,
    /// Events, their time left out.
    pub events: Vec<Event>,
    /// Events that were not written.
    pub events_lost: u64,
}

/// A [`ConnectionEntry`] that can be compared between clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// Whole seconds since the last packet that was noted.
    pub age: u64,
    /// The generation that allowed it.
    pub generation: u64,
    /// Bits `CONNECTION_*`.
    pub flags: u32,
    /// The rule that allowed it.
    pub rule: u32,
}

/// A [`FragmentEntry`] that can be compared between clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Whole seconds since the first fragment.
    pub age: u64,
    /// Identification and offset of the next fragment, as in [`FragmentEntry::progress`].
    pub progress: u64,
}

impl Datagram {
    /// The entry, as seen at `now` nanoseconds.
    pub fn at(now: u64, entry: &FragmentEntry) -> Self {
        let FragmentEntry { first_seen, progress } = *entry;
        Self { age: now.saturating_sub(first_seen) / SECOND, progress }
    }
}

impl Tracked {
    /// The entry, as seen at `now` nanoseconds.
    pub fn at(now: u64, entry: &ConnectionEntry) -> Self {
        let ConnectionEntry { last_seen, generation, flags, rule } = *entry;
        Self { age: now.saturating_sub(last_seen) / SECOND, generation, flags, rule }
    }
}

/// Where a frame meets the classifier on [`PORT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// It is received.
    Received,
    /// The node sends it.
    Sent,
}

impl Outcome {
    /// Judges `frame`, received on [`PORT`], by a copy of `tables`.
    pub fn of(tables: &MemoryTables, frame: &[u8]) -> (Reason, Self) {
        Self::at(Hook::Received, tables, frame)
    }

    /// Judges `frame` on [`PORT`] by a copy of `tables`.
    ///
    /// # Panics
    /// If nobody judges what the node sends.
    pub fn at(hook: Hook, tables: &MemoryTables, frame: &[u8]) -> (Reason, Self) {
        let tables = tables.clone();
        tables.events_lost.set(0);
        let reason = match hook {
            Hook::Received => tables.classify(frame, PORT),
            Hook::Sent => {
                tables.classify_sent(frame, Way { received: 0, leaves: PORT }).expect("was made here")
            }
        };
        let now = tables.clock.get();
        let outcome = Self {
            reasons: tables
                .reason_counters
                .take()
                .into_iter()
                .map(|(key, counter)| (key.reason, counter))
                .collect(),
            rules: tables.rule_counters.take(),
            revocations: tables.revocations.take().remove(&tables.config.generation).unwrap_or_default(),
            connections: tables
                .connections
                .take()
                .iter()
                .map(|(key, entry)| (*key, Tracked::at(now, entry)))
                .collect(),
            datagrams: tables
                .fragments
                .take()
                .iter()
                .map(|(key, entry)| (*key, Datagram::at(now, entry)))
                .collect(),
            events: tables.events.take().into_iter().map(|event| Event { time: 0, ..event }).collect(),
            events_lost: tables.events_lost.get(),
        };
        (reason, outcome)
    }
}
