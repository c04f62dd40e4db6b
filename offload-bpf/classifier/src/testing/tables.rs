//! Tables in memory.

use core::cell::{Cell, RefCell};
use std::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use selvedge_abi::{
    AddressEntry, AddressKey, CONNECTION_ASSURED, Config, ConnectionEntry, ConnectionKey, Counter,
    DENIAL_BITS, Event, FailsafeKey, Flow, FragmentEntry, FragmentKey, Interval, NOTE_TICKS, Passage,
    PolicyEntry, PolicyKey, PortEntry, PrefixKey, Reason, ReasonKey, Revocation, Revocations, TICK_BITS,
};

use super::{CONNECTION_LIMIT, HALF_OPEN_LIMIT, SECOND};
use crate::{Decided, Notes, TableFull, Tables, Way, classify, classify_sent, look_up};

/// What the maps hold, in collections. A reference to it is a [`Tables`].
#[derive(Clone, Debug)]
pub struct MemoryTables {
    /// The node's configuration.
    pub config: Config,
    /// Ports by interface index.
    pub ports: BTreeMap<u32, PortEntry>,
    /// Exact addresses.
    pub addresses: BTreeMap<AddressKey, AddressEntry>,
    /// Prefixes.
    pub prefixes: BTreeMap<PrefixKey, AddressEntry>,
    /// Policies.
    pub policies: BTreeMap<PolicyKey, PolicyEntry>,
    /// Intervals of the runs by index; those left out are zero.
    pub intervals: BTreeMap<u32, Interval>,
    /// Failsafe keys.
    pub failsafe: BTreeSet<FailsafeKey>,
    /// Tracked connections. Those that are not [`CONNECTION_ASSURED`] are the half-open ones.
    pub connections: RefCell<BTreeMap<ConnectionKey, ConnectionEntry>>,
    /// Unfinished datagrams.
    pub fragments: RefCell<BTreeMap<FragmentKey, FragmentEntry>>,
    /// Passages, and when each was noted.
    pub passages: RefCell<BTreeMap<Passage, u64>>,
    /// Denials: the rule, and when each was noted.
    pub denials: RefCell<BTreeMap<Passage, (u32, u64)>>,
    /// Nanoseconds.
    pub clock: Cell<u64>,
    /// Counted per rule; a rule gets its counter when it is first counted.
    pub rule_counters: RefCell<BTreeMap<u32, Counter>>,
    /// Counted per port and reason.
    pub reason_counters: RefCell<BTreeMap<ReasonKey, Counter>>,
    /// Counted per generation.
    pub revocations: RefCell<BTreeMap<u64, Revocations>>,
    /// Events, oldest first.
    pub events: RefCell<Vec<Event>>,
    /// Events that were not written: all, where a CPU may write none.
    pub events_lost: Cell<u64>,
}

impl Default for MemoryTables {
    fn default() -> Self {
        Self {
            config: Config::default(),
            ports: BTreeMap::new(),
            addresses: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            policies: BTreeMap::new(),
            intervals: BTreeMap::new(),
            failsafe: BTreeSet::new(),
            connections: RefCell::default(),
            fragments: RefCell::default(),
            passages: RefCell::default(),
            denials: RefCell::default(),
            clock: Cell::new(1_000 * SECOND),
            rule_counters: RefCell::default(),
            reason_counters: RefCell::default(),
            revocations: RefCell::default(),
            events: RefCell::default(),
            events_lost: Cell::default(),
        }
    }
}

impl MemoryTables {
    /// Judges a frame that was received on port `ifindex`.
    pub fn classify(&self, frame: &[u8], ifindex: u32) -> Reason {
        classify(&frame, ifindex, &self, &mut Notes::default())
    }

    /// Judges a frame on its way out; `None` where it was judged when it was received.
    pub fn classify_sent(&self, frame: &[u8], way: Way) -> Option<Reason> {
        classify_sent(&frame, way, &self, &mut Notes::default())
    }
}

impl Tables for &MemoryTables {
    /// Ports that were changed are others.
    fn config(&self) -> Config {
        let number = |sum: u32, (ifindex, port): (&u32, &PortEntry)| {
            sum.wrapping_add(ifindex.wrapping_mul(0x9e37_79b9) ^ port.role.wrapping_mul(0x85eb_ca6b))
        };
        Config { ports: self.ports.iter().fold(0, number), ..self.config }
    }

    fn port(&self, ifindex: u32) -> Option<PortEntry> {
        self.ports.get(&ifindex).copied()
    }

    fn near_port(&self, ifindex: u32) -> Option<PortEntry> {
        self.port(ifindex)
    }

    fn address(&self, key: &AddressKey) -> Option<AddressEntry> {
        let holding = || {
            let prefixes = self.prefixes.iter().filter(|(prefix, _)| contains(prefix, key));
            prefixes.max_by_key(|(prefix, _)| prefix.length).map(|(_, entry)| entry)
        };
        self.addresses.get(key).or_else(holding).copied()
    }

    fn policy(&self, key: &PolicyKey) -> Option<&PolicyEntry> {
        self.policies.get(key)
    }

    fn interval(&self, index: u32) -> Option<Interval> {
        Some(self.intervals.get(&index).copied().unwrap_or_default())
    }

    fn decide(&self, policy: PolicyKey, key: u32) -> Option<Decided> {
        look_up(self, policy, key)
    }

    fn failsafe(&self, key: &FailsafeKey) -> bool {
        self.failsafe.contains(key)
    }

    fn connection(&self, key: &ConnectionKey, entry: &mut ConnectionEntry) -> bool {
        let connections = self.connections.borrow();
        connections.get(key).map(|found| *entry = *found).is_some()
    }

    fn touch_connection(&self, key: &ConnectionKey, now: u64) {
        self.connections.borrow_mut().entry(*key).and_modify(|entry| entry.last_seen = now);
    }

    fn store_connection(&self, key: &ConnectionKey, entry: &ConnectionEntry) {
        self.connections.borrow_mut().entry(*key).and_modify(|place| *place = *entry);
    }

    fn open_connection(&self, key: &ConnectionKey, entry: &ConnectionEntry) -> Result<(), TableFull> {
        let mut connections = self.connections.borrow_mut();
        let half_open = connections.iter().filter(|(_, entry)| entry.flags & CONNECTION_ASSURED == 0);
        if half_open.clone().count() >= HALF_OPEN_LIMIT as usize {
            let (oldest, _) = half_open.min_by_key(|(_, entry)| entry.last_seen).ok_or(TableFull)?;
            let oldest = *oldest;
            connections.remove(&oldest);
        }
        connections.insert(*key, *entry);
        Ok(())
    }

    fn keep_connection(&self, key: &ConnectionKey, entry: &ConnectionEntry) -> Result<(), TableFull> {
        let mut connections = self.connections.borrow_mut();
        let kept = connections.values().filter(|entry| entry.flags & CONNECTION_ASSURED != 0);
        if kept.count() >= CONNECTION_LIMIT as usize {
            return Err(TableFull);
        }
        connections.insert(*key, *entry);
        Ok(())
    }

    fn mark_connection(&self, key: &ConnectionKey, flags: u32) -> u32 {
        let mut connections = self.connections.borrow_mut();
        let Some(entry) = connections.get_mut(key) else { return u32::MAX };
        let before = entry.flags;
        entry.flags |= flags;
        before
    }

    fn remove_connection(&self, key: &ConnectionKey) -> bool {
        self.connections.borrow_mut().remove(key).is_some()
    }

    fn passed(&self, passage: &Passage) -> bool {
        let tick = |time| jiffies(time) >> TICK_BITS;
        let noted = self.passages.borrow().get(passage).copied();
        noted.is_some_and(|noted| tick(self.clock.get()) - tick(noted) <= u64::from(NOTE_TICKS))
    }

    fn note_passage(&self, passage: &Passage) {
        self.passages.borrow_mut().insert(*passage, self.clock.get());
    }

    fn forget_passages(&self, flow: &Flow) {
        self.passages.borrow_mut().retain(|passage, _| passage.flow != *flow);
    }

    fn denied(&self, opening: &Passage) -> Option<u32> {
        let (rule, noted) = self.denials.borrow().get(opening).copied()?;
        let epoch = |time| jiffies(time) >> DENIAL_BITS;
        (epoch(noted) == epoch(self.clock.get())).then_some(rule)
    }

    fn note_denial(&self, opening: &Passage, rule: u32) {
        self.denials.borrow_mut().insert(*opening, (rule, self.clock.get()));
    }

    fn now(&self) -> u64 {
        self.clock.get()
    }

    fn count_rule(&self, rule: u32, bytes: u32) {
        self.rule_counters.borrow_mut().entry(rule).or_default().add(bytes);
    }

    fn count_reason(&self, ifindex: u32, reason: Reason, bytes: u32) {
        let key = ReasonKey { ifindex, reason: reason as u32 };
        self.reason_counters.borrow_mut().entry(key).or_default().add(bytes);
    }

    fn count_near(&self, ifindex: u32, reason: Reason, bytes: u32) {
        self.count_reason(ifindex, reason, bytes);
    }

    fn count_revocation(&self, generation: u64, revocation: Revocation) {
        self.revocations.borrow_mut().entry(generation).or_default().count(revocation);
    }

    fn emit(&self, event: impl FnOnce() -> Event) {
        if !self.skip_event() {
            self.events.borrow_mut().push(event());
        }
    }

    fn skip_event(&self) -> bool {
        let skipped = Config::events_per_tick(self.config.event_share) == 0;
        self.events_lost.set(self.events_lost.get() + u64::from(skipped));
        skipped
    }
}

/// Of a kernel whose HZ is 100, where they are longest.
fn jiffies(nanoseconds: u64) -> u64 {
    nanoseconds / 10_000_000
}

fn contains(prefix: &PrefixKey, key: &AddressKey) -> bool {
    let mask = if prefix.length == 0 { 0 } else { u128::MAX << (128 - prefix.length) };
    let (network, address) = (u128::from_be_bytes(prefix.address.0), u128::from_be_bytes(key.address.0));
    prefix.slot == key.slot
        && prefix.is_ipv4() == key.address.ipv4().is_some()
        && network & mask == address & mask
}
