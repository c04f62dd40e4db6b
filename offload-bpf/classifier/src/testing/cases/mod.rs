//! The table of cases: description, packet, tables, expected.

use std::{collections::BTreeMap, vec, vec::Vec};

use selvedge_abi::{
    ConnectionKey, Counter, EventKind, FragmentKey, PortRole, Reason, Revocation, Revocations, Verdict,
};

use super::{Datagram, Hook, MemoryTables, Outcome, Tracked, world};

mod connections;
mod control;
mod cuts;
mod drains;
mod ends;
mod extensions;
mod fragments;
mod groups;
mod malformed;
mod policy;
pub mod section;
mod sent;
mod tags;
mod transports;

pub use section::Section;

/// One row.
#[derive(Clone, Debug)]
pub struct Case {
    /// A sentence.
    pub name: &'static str,
    /// The tables before the packet.
    pub tables: MemoryTables,
    /// Whether it is received or sent.
    pub hook: Hook,
    /// The packet.
    pub frame: Vec<u8>,
    /// What must come of it.
    pub expected: Expected,
    /// Where the documentation lists it.
    pub section: Option<&'static Section>,
}

/// What a row expects.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The reason, counted once with the frame's length; no other is counted.
    pub reason: Reason,
    /// Rules that are counted once; no other is.
    pub rules: Vec<u32>,
    /// The rule that the event names.
    pub rule: u32,
    /// The one event, if any.
    pub event: Option<EventKind>,
    /// Connections that are counted as revoked.
    pub revocations: Revocations,
    /// What becomes of the connection table.
    pub effect: Effect<ConnectionKey, Tracked>,
    /// What becomes of the fragment table.
    pub datagram: Effect<FragmentKey, Datagram>,
}

/// A change of a table that programs fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<K, V> {
    /// None at all.
    Unchanged,
    /// The entry is there afterwards as given, whether it was before or not.
    Set(K, V),
    /// The entry is gone.
    Removed(K),
}

impl<K: Ord + Copy, V: Copy> Effect<K, V> {
    /// `table` as it must be afterwards.
    fn on(&self, mut table: BTreeMap<K, V>) -> BTreeMap<K, V> {
        match self {
            Effect::Unchanged => {}
            Effect::Set(key, entry) => drop(table.insert(*key, *entry)),
            Effect::Removed(key) => drop(table.remove(key)),
        }
        table
    }
}

/// Every row.
pub fn all() -> Vec<Case> {
    [
        malformed::cases(),
        tags::cases(),
        extensions::cases(),
        fragments::cases(),
        transports::cases(),
        control::cases(),
        groups::cases(),
        policy::cases(),
        connections::cases(),
        cuts::cases(),
        drains::cases(),
        ends::cases(),
        sent::cases(),
    ]
    .concat()
}

impl Case {
    /// A frame that arrives at the usual world.
    fn on(role: PortRole, name: &'static str, frame: Vec<u8>, reason: Reason) -> Self {
        Self::at(world::world(role), name, frame, reason)
    }

    /// A frame that arrives at these tables.
    fn at(tables: MemoryTables, name: &'static str, frame: Vec<u8>, reason: Reason) -> Self {
        let event = match (reason.verdict(), reason) {
            (Verdict::Denied | Verdict::Dropped, _) => Some(EventKind::Drop),
            (Verdict::Allowed, Reason::PolicyAllow) => Some(EventKind::New),
            (Verdict::Allowed, _) => None,
        };
        let expected = Expected {
            reason,
            rules: vec![],
            rule: 0,
            event,
            revocations: Revocations::default(),
            effect: Effect::Unchanged,
            datagram: Effect::Unchanged,
        };
        Self { name, tables, hook: Hook::Received, frame, expected, section: None }
    }

    /// A frame that the node sends, by these tables.
    fn sent(tables: MemoryTables, name: &'static str, frame: Vec<u8>, reason: Reason) -> Self {
        Self { hook: Hook::Sent, ..Self::at(tables, name, frame, reason) }
    }

    /// These rules are counted, and the last is the one to name.
    fn by(mut self, rules: &[u32]) -> Self {
        self.expected.rules = rules.to_vec();
        self.expected.rule = rules.last().copied().unwrap_or_default();
        self
    }

    /// The event names this rule instead.
    fn naming(mut self, rule: u32) -> Self {
        self.expected.rule = rule;
        self
    }

    /// A rule asks for the event.
    fn logged(mut self) -> Self {
        self.expected.event = Some(EventKind::Logged);
        self
    }

    /// A connection is counted as cut.
    fn cuts(mut self) -> Self {
        self.expected.revocations.count(Revocation::Cut);
        self
    }

    /// A connection is counted as draining, and told of.
    fn begins_to_drain(mut self) -> Self {
        self.expected.revocations.count(Revocation::Drains);
        self.expected.event = Some(EventKind::Draining);
        self
    }

    fn effect(mut self, effect: Effect<ConnectionKey, Tracked>) -> Self {
        self.expected.effect = effect;
        self
    }

    fn datagram(mut self, effect: Effect<FragmentKey, Datagram>) -> Self {
        self.expected.datagram = effect;
        self
    }

    /// What the classifier makes of it.
    pub fn judge(&self) -> (Reason, Outcome) {
        Outcome::at(self.hook, &self.tables, &self.frame)
    }

    /// Says what `outcome` has got wrong; empty where it is as expected.
    pub fn faults(&self, outcome: &Outcome) -> Vec<&'static str> {
        let Expected { reason, rules, rule, event, revocations, effect, datagram } = &self.expected;
        let once = Counter { packets: 1, bytes: self.frame.len() as u64 };
        let now = self.tables.clock.get();
        let before = self.tables.connections.borrow();
        let connections =
            effect.on(before.iter().map(|(key, entry)| (*key, Tracked::at(now, entry))).collect());
        let before = self.tables.fragments.borrow();
        let datagrams =
            datagram.on(before.iter().map(|(key, entry)| (*key, Datagram::at(now, entry))).collect());
        let events: Vec<_> =
            outcome.events.iter().map(|event| (event.kind, event.reason, event.rule)).collect();
        let expected_events: Vec<_> =
            event.iter().map(|kind| (*kind as u32, *reason as u32, *rule)).collect();
        [
            (outcome.reasons == BTreeMap::from([(*reason as u32, once)]), "the reason counters"),
            (outcome.rules == rules.iter().map(|rule| (*rule, once)).collect(), "the rule counters"),
            (outcome.revocations == *revocations, "the revocations"),
            (outcome.connections == connections, "the connections"),
            (outcome.datagrams == datagrams, "the datagrams"),
            (events == expected_events, "the events"),
        ]
        .into_iter()
        .filter_map(|(right, what)| (!right).then_some(what))
        .collect()
    }
}
