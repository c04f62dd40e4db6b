//! The loaded programs with their maps, filled from tables in memory for each packet.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, MapData, PerCpuHashMap, PerCpuValues, RingBuf},
    programs::{Program, ProgramError, SchedClassifier, TestRun, TestRunOptions, Xdp},
    util::nr_cpus,
};
use nix::time::{ClockId, clock_gettime};
use selvedge_abi::{
    CONNECTION_ASSURED, ConnectionEntry, ConnectionKey, Event, FragmentEntry, FragmentKey, Interval, Layout,
    NoteSeeds, PROGRAM_EGRESS, PROGRAM_STAND_IN, PROGRAM_XDP, Revocations, SLOTS, Seeds, map,
};
use selvedge_agent_core::{
    IfIndex, Slot, SlotTables,
    storage::{AddressArrays, AddressTables, Memory, PolicyArrays, PolicyTable, PortTable},
};
use selvedge_classifier::Tables as _;
use selvedge_classifier::testing::{
    CONNECTION_LIMIT, Datagram, FRAGMENT_LIMIT, Hook, MemoryTables, Outcome, SECOND, Tracked,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

mod counters;
mod notes;

/// Room for half-open connections. Which of them gives way the kernel only estimates, so here none has to: more than any test
/// opens, on every CPU.
pub(super) const HALF_OPEN: u32 = 1 << 14;
/// Times that a machine may take a second for one packet.
const BUSY: usize = 30;

/// The programs in this kernel.
pub(super) struct Kernel {
    ebpf: Ebpf,
    layout: Layout,
    addresses: AddressTables,
    policies: PolicyTable,
    ports: PortTable,
    /// Mapped once: that takes longer than a hundred packets.
    events: RingBuf<MapData>,
    cpus: usize,
    /// Jiffies, and when they were read.
    clock: Option<(Instant, u64)>,
    /// What the maps hold now; tables of the same world are not written again.
    loaded: Option<MemoryTables>,
    /// The program that judges what is received.
    received_by: &'static str,
}

/// Plain bytes that aya may copy to and from a map.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Plain<T>(T);

/// A key or a value of a map.
trait Bytes: FromBytes + IntoBytes + Immutable + Copy + 'static {}
impl<T: FromBytes + IntoBytes + Immutable + Copy + 'static> Bytes for T {}

#[expect(
    unsafe_code,
    reason = "the bound says what Pod asks: any bytes are a value, and no byte of it is padding"
)]
// SAFETY: as the reason says.
unsafe impl<T: Bytes> Pod for Plain<T> {}

/// An array map of buckets, or of what they point at.
struct Elements<T: Bytes>(Array<MapData, Plain<T>>);

impl<T: Bytes> Memory<T> for Elements<T> {
    fn load(&self, index: u32) -> T {
        self.0.get(&index, 0).unwrap().0
    }

    fn store(&mut self, index: u32, element: &T) {
        self.0.set(index, Plain(*element), 0).unwrap();
    }
}

/// Buckets of a slot: few, so that buckets overflow, but so many that there is always a place, whatever the seeds.
const BUCKETS: u32 = 3;
/// Buckets of IPv6 hold less.
const IPV6_BUCKETS: u32 = 9;

/// The same of policies, of which a world has up to some hundreds.
const POLICY_BUCKETS: u32 = 1 << 10;

fn layout() -> Layout {
    Layout {
        seeds: seeds(),
        notes: NoteSeeds { flow: seeds(), check: seeds() },
        ipv4: BUCKETS,
        ipv6: IPV6_BUCKETS,
        ipv4_prefixes: BUCKETS,
        ipv6_prefixes: IPV6_BUCKETS,
        policies: POLICY_BUCKETS,
        passages: notes::BUCKETS,
        denials: notes::BUCKETS,
        reserved: 0,
    }
}

/// Lays out the arrays of addresses and takes them out of `ebpf`.
fn addresses(ebpf: &mut Ebpf, layout: &Layout) -> AddressTables {
    elements(ebpf, map::LAYOUT).store(0, layout);
    let arrays = AddressArrays {
        ipv4: Box::new(elements(ebpf, map::IPV4)),
        ipv6: Box::new(elements(ebpf, map::IPV6)),
        ipv4_prefixes: Box::new(elements(ebpf, map::IPV4_PREFIXES)),
        ipv6_prefixes: Box::new(elements(ebpf, map::IPV6_PREFIXES)),
        lengths: Box::new(elements(ebpf, map::LENGTHS)),
        ends: Box::new(elements(ebpf, map::ENDS)),
    };
    AddressTables::new(layout, arrays)
}

fn seeds() -> Seeds {
    Seeds { start: fastrand::u64(..), terms: std::array::from_fn(|_| fastrand::u64(..)) }
}

fn elements<T: Bytes>(ebpf: &mut Ebpf, name: &str) -> Elements<T> {
    Elements(ebpf.take_map(name).unwrap().try_into().unwrap())
}

impl Kernel {
    /// Loads the programs.
    pub(super) fn load() -> Self {
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(map::CONNECTIONS, CONNECTION_LIMIT)
            .map_max_entries(map::HALF_OPEN, HALF_OPEN)
            .map_max_entries(map::FRAGMENTS, FRAGMENT_LIMIT)
            .map_max_entries(map::PASSAGES, notes::BUCKETS)
            .map_max_entries(map::DENIALS, notes::BUCKETS)
            .map_max_entries(map::IPV4, SLOTS * BUCKETS)
            .map_max_entries(map::IPV6, SLOTS * IPV6_BUCKETS)
            .map_max_entries(map::IPV4_PREFIXES, SLOTS * BUCKETS)
            .map_max_entries(map::IPV6_PREFIXES, SLOTS * IPV6_BUCKETS)
            .map_max_entries(map::POLICIES, SLOTS * POLICY_BUCKETS)
            .load(selvedge_object::OBJECT)
            .expect("the object loads (as root)");
        let program: &mut Xdp = ebpf.program_mut(PROGRAM_XDP).unwrap().try_into().unwrap();
        program.load().expect("the verifier accepts the program");
        let received = program.info().unwrap().verified_instruction_count().unwrap_or_default();
        let [stand_in, sent] = [PROGRAM_STAND_IN, PROGRAM_EGRESS].map(|name| {
            let program: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
            program.load().expect("the verifier accepts the program");
            program.info().unwrap().verified_instruction_count().unwrap_or_default()
        });
        println!("instructions verified: {received} received, {stand_in} in its place, {sent} sent");
        for verified in [received, stand_in, sent] {
            assert!(verified < 150_000, "{verified} of the million instructions that the verifier follows");
        }
        let layout = layout();
        let addresses = addresses(&mut ebpf, &layout);
        let arrays = PolicyArrays {
            policies: Box::new(elements(&mut ebpf, map::POLICIES)),
            lists: Box::new(elements(&mut ebpf, map::LISTS)),
        };
        let policies = PolicyTable::new(&layout, arrays);
        let ports = PortTable::new(Box::new(elements(&mut ebpf, map::PORTS)));
        let events = RingBuf::try_from(ebpf.take_map(map::EVENTS).unwrap()).unwrap();
        Self {
            ebpf,
            layout,
            addresses,
            policies,
            ports,
            events,
            cpus: nr_cpus().unwrap(),
            clock: None,
            loaded: None,
            received_by: PROGRAM_XDP,
        }
    }

    /// Lets the stand-in judge what is received.
    #[allow(dead_code, reason = "one of the binaries of tests that have this module lets it stand in")]
    pub(super) fn standing_in(self) -> Self {
        Self { received_by: PROGRAM_STAND_IN, ..self }
    }

    /// Judges a frame on [`PORT`] by `tables`; whether it passed, and what it changed.
    pub(super) fn judge(&mut self, hook: Hook, tables: &MemoryTables, frame: &[u8]) -> (bool, Outcome) {
        // Ages are in whole seconds: where a second passed meanwhile, the packet met another world than the one asked for.
        for _ in 0..BUSY {
            let begun = now();
            self.fill(tables);
            let judged = (self.passes(hook, frame), self.outcome(tables));
            if now() - begun < SECOND {
                return judged;
            }
        }
        panic!("this machine takes seconds for one packet")
    }

    /// Whether a frame passes on [`PORT`], by what the maps hold.
    pub(super) fn passes(&mut self, hook: Hook, frame: &[u8]) -> bool {
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
        match (hook, self.received_by) {
            (Hook::Received, PROGRAM_XDP) => {
                match self.program::<Xdp>(PROGRAM_XDP).test_run(options).unwrap().return_value {
                    1 => false, // XDP_DROP
                    2 => true,  // XDP_PASS
                    other => panic!("the program returned {other}"),
                }
            }
            (hook, received_by) => {
                let name = if hook == Hook::Sent { PROGRAM_EGRESS } else { received_by };
                let program = self.program::<SchedClassifier>(name);
                match program.test_run(options).unwrap().return_value as i32 {
                    2 => false, // TCX_DROP
                    -1 => true, // TCX_NEXT
                    other => panic!("the program returned {other}"),
                }
            }
        }
    }

    fn program<'a, P>(&'a mut self, name: &str) -> &'a mut P
    where
        &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
    {
        self.ebpf.program_mut(name).unwrap().try_into().unwrap()
    }

    fn hash<K: Bytes, V: Bytes>(&mut self, name: &str) -> HashMap<&mut MapData, Plain<K>, Plain<V>> {
        HashMap::try_from(self.ebpf.map_mut(name).unwrap()).unwrap()
    }

    fn revocations(&mut self) -> PerCpuHashMap<&mut MapData, u64, Plain<Revocations>> {
        PerCpuHashMap::try_from(self.ebpf.map_mut(map::REVOCATIONS).unwrap()).unwrap()
    }

    fn array<V: Bytes>(&mut self, name: &str) -> Array<&mut MapData, Plain<V>> {
        Array::try_from(self.ebpf.map_mut(name).unwrap()).unwrap()
    }

    pub(super) fn fill(&mut self, tables: &MemoryTables) {
        if !self.loaded.as_ref().is_some_and(|loaded| same_world(loaded, tables)) {
            self.fill_world(tables);
            self.loaded = Some(tables.clone());
        }
        self.array(map::CONFIG).set(0, Plain((&tables).config()), 0).unwrap();
        let now = now();
        let connections = tables.connections.borrow().clone();
        let (kept, half_open): (Vec<_>, Vec<_>) = connections
            .into_iter()
            .map(|(key, entry)| {
                let age = tables.clock.get() - entry.last_seen;
                let last_seen =
                    now.checked_sub(age).expect("the machine is up for as long as connections are old");
                (key, ConnectionEntry { last_seen, ..entry })
            })
            .partition(|(_, entry)| entry.flags & CONNECTION_ASSURED != 0);
        replace(&mut self.hash(map::CONNECTIONS), kept);
        replace(&mut self.hash(map::HALF_OPEN), half_open);
        let fragments = tables.fragments.borrow().clone();
        replace(
            &mut self.hash(map::FRAGMENTS),
            fragments.into_iter().map(|(key, entry)| {
                let age = tables.clock.get() - entry.first_seen;
                (key, FragmentEntry { first_seen: now - age, ..entry })
            }),
        );
        self.fill_notes(tables);
        self.reset_rules(rules(tables));
        self.reset_reasons();
        let zero = PerCpuValues::try_from(vec![Plain(Revocations::default()); self.cpus]).unwrap();
        self.revocations().insert(tables.config.generation, zero, 0).unwrap();
        drop(self.drain_events());
    }

    /// Fills all but what packets fill.
    pub(super) fn fill_world(&mut self, tables: &MemoryTables) {
        self.ports.read().into_keys().for_each(|index| self.ports.delete(index));
        for (index, entry) in &tables.ports {
            self.ports.put(IfIndex(*index), *entry).unwrap();
        }
        replace(&mut self.hash(map::FAILSAFE), tables.failsafe.iter().map(|key| (*key, 1u32)));
        let mut intervals = self.array::<Interval>(map::INTERVALS);
        for (index, interval) in &tables.intervals {
            intervals.set(*index, Plain(*interval), 0).unwrap();
        }
        self.fill_addresses(tables);
        self.fill_policies(tables);
    }

    fn fill_addresses(&mut self, tables: &MemoryTables) {
        for slot in Slot::BOTH {
            let mut old = SlotTables::default();
            self.addresses.read(slot, &mut old);
            old.addresses.keys().for_each(|key| self.addresses.delete_address(key));
            old.prefixes.keys().for_each(|key| self.addresses.delete_prefix(key));
        }
        for (key, entry) in &tables.addresses {
            self.addresses.put_address(key, *entry).unwrap();
        }
        for (key, entry) in &tables.prefixes {
            self.addresses.put_prefix(key, *entry).unwrap();
        }
    }

    fn fill_policies(&mut self, tables: &MemoryTables) {
        for slot in Slot::BOTH {
            let mut old = SlotTables::default();
            self.policies.read(slot, &mut old);
            old.policies.keys().for_each(|key| self.policies.delete(key));
        }
        for (key, entry) in &tables.policies {
            self.policies.put(key, *entry).unwrap();
        }
    }

    fn outcome(&mut self, tables: &MemoryTables) -> Outcome {
        let now = now();
        let mut connections = self.connections(map::CONNECTIONS);
        let half_open = self.connections(map::HALF_OPEN);
        let is_kept = |entry: &ConnectionEntry| entry.flags & CONNECTION_ASSURED != 0;
        assert!(connections.values().all(is_kept), "a half-open connection among those that stay");
        assert!(!half_open.values().any(is_kept), "an assured connection among those that give way");
        connections.extend(half_open);
        let datagrams: Vec<(Plain<FragmentKey>, Plain<FragmentEntry>)> = self
            .hash(map::FRAGMENTS)
            .iter()
            .map(|entry| entry.expect("nothing else writes the map"))
            .collect();
        let revocations = self.revocations().get(&tables.config.generation, 0).unwrap();
        let revocations = revocations.iter().fold(Revocations::default(), |sum, Plain(more)| Revocations {
            cut: sum.cut + more.cut,
            draining: sum.draining + more.draining,
        });
        self.revocations().remove(&tables.config.generation).unwrap();
        Outcome {
            reasons: self.counted_reasons(),
            rules: self.counted_rules(rules(tables)),
            revocations,
            connections: connections
                .into_iter()
                .map(|(key, entry)| (key, Tracked::at(now, &entry)))
                .collect(),
            datagrams: datagrams
                .into_iter()
                .map(|(key, entry)| (key.0, Datagram::at(now, &entry.0)))
                .collect(),
            events: self.drain_events(),
            events_lost: self.events_lost(),
        }
    }

    pub(super) fn connections(&mut self, name: &str) -> BTreeMap<ConnectionKey, ConnectionEntry> {
        let all = self.hash(name);
        let entries = all.iter().map(|entry| entry.expect("nothing else writes the map"));
        entries.map(|(Plain(key), Plain(entry))| (key, entry)).collect()
    }

    fn drain_events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(item) = self.events.next() {
            let event = Event::read_from_bytes(&item).expect("an event's size");
            assert!(event.time > 0, "an event has a time");
            events.push(Event { time: 0, ..event });
        }
        events
    }
}

/// Makes the map hold exactly these entries.
fn replace<K: Bytes, V: Bytes>(
    map: &mut HashMap<&mut MapData, Plain<K>, Plain<V>>,
    entries: impl IntoIterator<Item = (K, V)>,
) {
    for old in map.keys().collect::<Result<Vec<_>, _>>().unwrap() {
        map.remove(&old).unwrap();
    }
    for (key, value) in entries {
        map.insert(Plain(key), Plain(value), 0).unwrap();
    }
}

fn rules(tables: &MemoryTables) -> BTreeSet<u32> {
    tables.all_intervals().map(|interval| interval.rule).collect()
}

/// Equal in all that no packet changes.
fn same_world(one: &MemoryTables, other: &MemoryTables) -> bool {
    one.ports == other.ports
        && one.addresses == other.addresses
        && one.prefixes == other.prefixes
        && one.policies == other.policies
        && one.intervals == other.intervals
        && one.failsafe == other.failsafe
}

/// Nanoseconds of the clock that programs read.
fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    time.tv_sec() as u64 * SECOND + time.tv_nsec() as u64
}
