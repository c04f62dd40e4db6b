//! The maps, as `selvedge_abi::map` describes them, and the classifier's view of them.
//!
//! No map is pinned by the object; the agent decides where its maps live. Tables that user space fills are
//! allocated as they grow: preallocated elements would cost memory on every node, and could be reused while
//! a program still reads them. Connections are preallocated, because programs insert them.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    helpers::bpf_ktime_get_ns,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, PerCpuHashMap, RingBuf},
};
use selvedge_abi::{
    AddressEntry, AddressKey, Config, ConnectionEntry, ConnectionKey, Counter, EVENT_RING_BYTES, Event,
    EventShare, FailsafeKey, Flow, Interval, MAX_FAILSAFE, MAX_PORTS, MAX_REVOCATIONS, MAX_RULES,
    PORT_PLACES, PORT_PROBES, Passage, PolicyEntry, PolicyKey, PortCounters, PortEntry, PortPlace,
    RULE_PLACES, Reason, ReasonKey, Revocation, Revocations, RuleCounter, port_place, rule_place,
};
use selvedge_classifier::{Decided, TableFull, Tables};

use crate::{addresses, connections, passages, policies};

const GROWING: u32 = BPF_F_NO_PREALLOC;
pub(crate) const EEXIST: i32 = -17;

#[map]
static CONFIG: Array<Config> = Array::with_max_entries(1, 0);
#[map]
static PORTS: Array<PortPlace> = Array::with_max_entries(PORT_PLACES, BPF_F_MMAPABLE);
#[map]
static FAILSAFE: HashMap<FailsafeKey, u32> = HashMap::with_max_entries(MAX_FAILSAFE, GROWING);
#[map]
static NEAR_RULES: PerCpuArray<RuleCounter> = PerCpuArray::with_max_entries(RULE_PLACES, 0);
#[map]
static RULE_COUNTERS: PerCpuHashMap<u32, Counter> = PerCpuHashMap::with_max_entries(MAX_RULES, GROWING);
#[map]
static REASON_COUNTERS: PerCpuHashMap<ReasonKey, Counter> =
    PerCpuHashMap::with_max_entries(MAX_PORTS * Reason::ALL.len() as u32, GROWING);
#[map]
static REVOCATIONS: PerCpuHashMap<u64, Revocations> =
    PerCpuHashMap::with_max_entries(MAX_REVOCATIONS, GROWING);
#[map]
static PORT_COUNTERS: PerCpuArray<PortCounters> = PerCpuArray::with_max_entries(PORT_PLACES, 0);
#[map]
static EVENT_SHARES: PerCpuArray<EventShare> = PerCpuArray::with_max_entries(1, 0);
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(EVENT_RING_BYTES, 0);

/// The kernel's maps.
pub(crate) struct Maps;

impl Tables for Maps {
    #[inline(always)]
    fn config(&self) -> Config {
        let Some(config) = CONFIG.get_ptr(0) else { return Config::default() };
        // SAFETY: the element lives as long as the map. Volatile keeps generation before slot, as Config asks.
        unsafe {
            let generation = (&raw const (*config).generation).read_volatile();
            let slot = (&raw const (*config).slot).read_volatile();
            Config { generation, slot, ..*config }
        }
    }

    #[inline(always)]
    fn port(&self, ifindex: u32) -> Option<PortEntry> {
        match selvedge_port(ifindex) {
            0 => None,
            role => Some(PortEntry { role }),
        }
    }

    #[inline(always)]
    fn near_port(&self, ifindex: u32) -> Option<PortEntry> {
        port_at(port_place(ifindex, 0), ifindex)
    }

    #[inline(always)]
    fn address(&self, key: &AddressKey) -> Option<AddressEntry> {
        addresses::lookup(key)
    }

    #[inline(always)]
    fn policy(&self, key: &PolicyKey) -> Option<&PolicyEntry> {
        policies::lookup(*key)
    }

    #[inline(always)]
    fn interval(&self, index: u32) -> Option<Interval> {
        policies::interval(index)
    }

    #[inline(always)]
    fn decide(&self, policy: PolicyKey, key: u32) -> Option<Decided> {
        policies::decide(policy, key)
    }

    #[inline(always)]
    fn failsafe(&self, key: &FailsafeKey) -> bool {
        FAILSAFE.get_ptr(key).is_some()
    }

    #[inline(always)]
    fn connection(&self, key: &ConnectionKey, entry: &mut ConnectionEntry) -> bool {
        connections::load(key, entry)
    }

    #[inline(always)]
    fn touch_connection(&self, key: &ConnectionKey, now: u64) {
        connections::touch(key, now);
    }

    #[inline(always)]
    fn store_connection(&self, key: &ConnectionKey, entry: &ConnectionEntry) {
        connections::store(key, entry);
    }

    #[inline(always)]
    fn open_connection(&self, key: &ConnectionKey, entry: &ConnectionEntry) -> Result<(), TableFull> {
        connections::open(key, entry)
    }

    #[inline(always)]
    fn keep_connection(&self, key: &ConnectionKey, entry: &ConnectionEntry) -> Result<(), TableFull> {
        connections::keep(key, entry)
    }

    #[inline(always)]
    fn mark_connection(&self, key: &ConnectionKey, flags: u32) -> u32 {
        connections::mark(key, flags)
    }

    #[inline(always)]
    fn remove_connection(&self, key: &ConnectionKey) -> bool {
        connections::remove(key)
    }

    #[inline(always)]
    fn passed(&self, passage: &Passage) -> bool {
        passages::passed(passage)
    }

    #[inline(always)]
    fn passed_unhurried(&self, passage: &Passage) -> bool {
        passages::passed_unhurried(passage)
    }

    #[inline(always)]
    fn denied(&self, opening: &Passage) -> Option<u32> {
        passages::denied(opening)
    }

    #[inline(always)]
    fn note_denial(&self, opening: &Passage, rule: u32) {
        passages::note_denial(opening, rule);
    }

    #[inline(always)]
    fn note_passage(&self, passage: &Passage) {
        passages::note(passage);
    }

    #[inline(always)]
    fn forget_passages(&self, flow: &Flow) {
        passages::forget(flow);
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn count_rule(&self, rule: u32, bytes: u32) {
        match near_rule(rule) {
            Some(counter) => counter.add(bytes),
            None => far(RULE_COUNTERS.get_ptr_mut(rule)).into_iter().for_each(|counter| counter.add(bytes)),
        }
    }

    #[inline(always)]
    fn count_reason(&self, ifindex: u32, reason: Reason, bytes: u32) {
        let near = self.near_port(ifindex).and_then(|_| port_counter(ifindex, reason));
        let key = || ReasonKey { ifindex, reason: reason as u32 };
        if let Some(counter) = near.or_else(|| far(REASON_COUNTERS.get_ptr_mut(key()))) {
            counter.add(bytes);
        }
    }

    #[inline(always)]
    fn count_near(&self, ifindex: u32, reason: Reason, bytes: u32) {
        if let Some(counter) = port_counter(ifindex, reason) {
            counter.add(bytes);
        }
    }

    /// Rare, so its key doesn't burden the caller's stack frame.
    #[inline(never)]
    fn count_revocation(&self, generation: u64, revocation: Revocation) {
        if let Some(revocations) = REVOCATIONS.get_ptr_mut(generation) {
            // SAFETY: this CPU's element, and programs are not interrupted by themselves.
            unsafe { (*revocations).count(revocation) }
        }
    }

    #[inline(always)]
    fn emit(&self, event: impl FnOnce() -> Event) {
        let Some(share) = share() else { return };
        let Some(most) = events_per_tick() else { return };
        // A tick more or less at the end of one is no matter.
        let entry = if share.take(passages::now(), most) { EVENTS.reserve::<Event>(0) } else { None };
        match entry {
            Some(mut entry) => {
                entry.write(event());
                entry.submit(0);
            }
            None => share.lost += 1,
        }
    }

    #[inline(always)]
    fn skip_event(&self) -> bool {
        let (Some(share), Some(most)) = (share(), events_per_tick()) else { return false };
        let skipped = !share.has_room(passages::now(), most);
        share.lost += u64::from(skipped);
        skipped
    }
}

/// The role of a port, 0 of none. A global function, so that the verifier follows its loop once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn selvedge_port(ifindex: u32) -> u32 {
    let found = (0..PORT_PROBES).find_map(|probe| port_at(port_place(ifindex, probe), ifindex));
    found.map_or(0, |port| port.role)
}

#[inline(always)]
fn port_at(place: u32, ifindex: u32) -> Option<PortEntry> {
    PORTS.get(place)?.of(ifindex)
}

/// The counter of a reason at a port that is at home, if it has one of its own.
#[inline(always)]
fn port_counter(ifindex: u32, reason: Reason) -> Option<&'static mut Counter> {
    // SAFETY: this CPU's element, and programs are not interrupted by themselves; as in the next two.
    PORT_COUNTERS.get_ptr_mut(port_place(ifindex, 0)).and_then(|counters| unsafe { (*counters).of(reason) })
}

/// The counter of a rule that is at home.
#[inline(always)]
fn near_rule(rule: u32) -> Option<&'static mut Counter> {
    let place = NEAR_RULES.get_ptr_mut(rule_place(rule))?;
    // SAFETY: as above.
    unsafe { ((*place).rule == rule).then_some(&mut (*place).counter) }
}

/// A counter that was found by a hash.
#[inline(always)]
fn far(found: Option<*mut Counter>) -> Option<&'static mut Counter> {
    // SAFETY: as above.
    found.map(|counter| unsafe { &mut *counter })
}

#[inline(always)]
fn share() -> Option<&'static mut EventShare> {
    // SAFETY: this CPU's element, and programs are not interrupted by themselves.
    EVENT_SHARES.get_ptr_mut(0).map(|share| unsafe { &mut *share })
}

#[inline(always)]
fn events_per_tick() -> Option<u32> {
    CONFIG.get(0).map(|config| Config::events_per_tick(config.event_share))
}
