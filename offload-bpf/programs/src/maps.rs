//! The maps, as `selvedge_abi::map` describes them, and the classifier's view of them.
//!
//! No map is pinned by the object; the agent decides where its maps live. Tables that user space fills are
//! allocated as they grow: preallocated elements would cost memory on every node, and could be reused while
//! a program still reads them. Connections are preallocated, because programs insert them.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    helpers::bpf_ktime_get_ns,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, PerCpuHashMap, RingBuf},
};
use selvedge_abi::{
    AddressEntry, AddressKey, Config, ConnectionEntry, ConnectionKey, Counter, EVENT_RING_BYTES, Event,
    FailsafeKey, Flow, INTERVALS_PER_SLOT, Interval, MAX_FAILSAFE, MAX_POLICIES, MAX_PORTS, MAX_REVOCATIONS,
    MAX_RULES, Passage, PolicyEntry, PolicyKey, PortEntry, Reason, ReasonKey, Revocation, Revocations, SLOTS,
};
use selvedge_classifier::{TableFull, Tables};

use crate::{addresses, connections, passages};

const GROWING: u32 = BPF_F_NO_PREALLOC;
pub(crate) const EEXIST: i32 = -17;

#[map]
static CONFIG: Array<Config> = Array::with_max_entries(1, 0);
#[map]
static PORTS: HashMap<u32, PortEntry> = HashMap::with_max_entries(MAX_PORTS, GROWING);
#[map]
static POLICIES: HashMap<PolicyKey, PolicyEntry> = HashMap::with_max_entries(MAX_POLICIES, GROWING);
#[map]
static INTERVALS: Array<Interval> = Array::with_max_entries(SLOTS * INTERVALS_PER_SLOT, 0);
#[map]
static FAILSAFE: HashMap<FailsafeKey, u32> = HashMap::with_max_entries(MAX_FAILSAFE, GROWING);
#[map]
static RULE_COUNTERS: PerCpuHashMap<u32, Counter> = PerCpuHashMap::with_max_entries(MAX_RULES, GROWING);
#[map]
static REASON_COUNTERS: PerCpuHashMap<ReasonKey, Counter> =
    PerCpuHashMap::with_max_entries(MAX_PORTS * Reason::ALL.len() as u32, GROWING);
#[map]
static REVOCATIONS: PerCpuHashMap<u64, Revocations> =
    PerCpuHashMap::with_max_entries(MAX_REVOCATIONS, GROWING);
#[map]
static EVENTS_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
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
        // SAFETY: elements of this map are not reused while a program runs (BPF_F_NO_PREALLOC); so below.
        unsafe { PORTS.get(ifindex) }.copied()
    }

    #[inline(always)]
    fn address(&self, key: &AddressKey) -> Option<AddressEntry> {
        addresses::lookup(key)
    }

    #[inline(always)]
    fn policy(&self, key: &PolicyKey) -> Option<PolicyEntry> {
        // SAFETY: as for ports.
        unsafe { POLICIES.get(key) }.copied()
    }

    #[inline(always)]
    fn interval(&self, index: u32) -> Option<Interval> {
        INTERVALS.get(index).copied()
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
        count(RULE_COUNTERS.get_ptr_mut(rule), bytes);
    }

    #[inline(always)]
    fn count_reason(&self, key: &ReasonKey, bytes: u32) {
        count(REASON_COUNTERS.get_ptr_mut(key), bytes);
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
        if let Some(mut entry) = EVENTS.reserve::<Event>(0) {
            entry.write(event());
            entry.submit(0);
        } else if let Some(lost) = EVENTS_LOST.get_ptr_mut(0) {
            // SAFETY: this CPU's element, and programs are not interrupted by themselves.
            unsafe { *lost += 1 }
        }
    }
}

#[inline(always)]
fn count(counter: Option<*mut Counter>, bytes: u32) {
    if let Some(counter) = counter {
        // SAFETY: this CPU's element, and programs are not interrupted by themselves.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += u64::from(bytes);
        }
    }
}
