//! The pinned maps as the core's tables.

use std::collections::btree_map::Entry;
use std::io;

use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues, RingBuf};
use aya::{Pod, util::nr_cpus};
use selvedge_abi::{
    Config, Counter, EventShare, FailsafeKey, Interval, PortCounters, PortEntry, ReasonKey, Revocations, Run,
    map,
};
use selvedge_agent_core::storage::{AddressTables, Full, PolicyTable, PortTable};
use selvedge_agent_core::{Entry as TableEntry, IfIndex, Key, Slot, Tables};
use selvedge_topology::plan::Generation;

use super::arrays;
use super::kernel::DatapathError;
use super::pins::Pins;
use super::plain::Plain;
use super::rules::RuleCounters;

/// The maps that actions write and counters are read from.
pub(super) struct KernelTables {
    config: Array<MapData, Plain<Config>>,
    ports: PortTable,
    addresses: AddressTables,
    policies: PolicyTable,
    intervals: Array<MapData, Plain<Interval>>,
    failsafe: HashMap<MapData, Plain<FailsafeKey>, u32>,
    pub(super) rules: RuleCounters,
    pub(super) reason_counters: PerCpuHashMap<MapData, Plain<ReasonKey>, Plain<Counter>>,
    pub(super) revocations: PerCpuHashMap<MapData, u64, Plain<Revocations>>,
    port_counters: PerCpuArray<MapData, Plain<PortCounters>>,
    pub(super) event_shares: PerCpuArray<MapData, Plain<EventShare>>,
    cpus: usize,
}

/// An error of the map `name`.
pub(super) fn in_map(map: &'static str) -> impl Fn(MapError) -> DatapathError {
    move |source| DatapathError::Map { map, source }
}

/// Opens a pinned map as what its type says.
pub(super) fn open<T: TryFrom<Map, Error = MapError>>(
    pins: &Pins,
    name: &'static str,
) -> Result<T, DatapathError> {
    let data = MapData::from_pin(pins.map(name)).map_err(in_map(name))?;
    Map::from_map_data(data).and_then(T::try_from).map_err(in_map(name))
}

/// The ring of events.
pub(super) fn ring(pins: &Pins) -> Result<RingBuf<MapData>, DatapathError> {
    open(pins, map::EVENTS)
}

impl KernelTables {
    /// Opens every pinned map.
    pub(super) fn open(pins: &Pins) -> Result<Self, DatapathError> {
        let cpus = nr_cpus().map_err(|(_, error)| in_map(map::RULE_COUNTERS)(MapError::IoError(error)))?;
        Ok(Self {
            config: open(pins, map::CONFIG)?,
            ports: arrays::ports(pins)?,
            addresses: arrays::addresses(pins)?,
            policies: arrays::policies(pins)?,
            intervals: open(pins, map::INTERVALS)?,
            failsafe: open(pins, map::FAILSAFE)?,
            rules: RuleCounters::open(pins, cpus)?,
            reason_counters: open(pins, map::REASON_COUNTERS)?,
            revocations: open(pins, map::REVOCATIONS)?,
            port_counters: open(pins, map::PORT_COUNTERS)?,
            event_shares: open(pins, map::EVENT_SHARES)?,
            cpus,
        })
    }

    /// Looks again where addresses and policies are: which buckets are in use is otherwise known from their writing.
    pub(super) fn take_stock(&mut self, pins: &Pins) -> Result<(), DatapathError> {
        self.addresses = arrays::addresses(pins)?;
        self.policies = arrays::policies(pins)?;
        Ok(())
    }

    /// Gives back the memory that looking at arrays took.
    pub(super) fn rest(&mut self) {
        self.addresses.rest();
        self.policies.rest();
    }

    /// The configuration in force, but for what is of ports: that only the programs have to know.
    pub(super) fn config(&self) -> Result<Config, DatapathError> {
        Ok(Config { ports: 0, ..self.whole_config().map_err(in_map(map::CONFIG))? })
    }

    fn whole_config(&self) -> Result<Config, MapError> {
        self.config.get(&0, 0).map(|config| config.0)
    }

    /// Makes what is noted of passages and denials worthless: ports changed, or may have.
    pub(super) fn forget_notes(&mut self) -> Result<(), MapError> {
        let config = self.whole_config()?;
        self.config.set(0, Plain(Config { ports: config.ports.wrapping_add(1), ..config }), 0)
    }

    /// Everything the maps hold.
    pub(super) fn read(&self) -> Result<Tables, DatapathError> {
        let mut tables = Tables { config: self.config()?, ports: self.ports.read(), ..Tables::default() };
        for each in Slot::BOTH {
            self.addresses.read(each, tables.slot_mut(each));
            self.policies.read(each, tables.slot_mut(each));
            self.read_intervals(&mut tables, each)?;
        }
        tables.failsafe = self
            .failsafe
            .keys()
            .map(|key| Ok(key?.0))
            .collect::<Result<_, _>>()
            .map_err(in_map(map::FAILSAFE))?;
        tables.rule_counters = self.rules.read()?;
        let reasons = self.reason_counters.keys().map(|key| Ok(key?.0));
        tables.reason_counters = reasons.collect::<Result<_, _>>().map_err(in_map(map::REASON_COUNTERS))?;
        let generations = self.revocations.keys().map(|generation| generation.map(Generation));
        tables.revocations = generations.collect::<Result<_, _>>().map_err(in_map(map::REVOCATIONS))?;
        Ok(tables)
    }

    /// Reads the intervals of the runs that a slot's policies point at.
    fn read_intervals(&self, tables: &mut Tables, slot: Slot) -> Result<(), DatapathError> {
        let found = tables.slot_mut(slot);
        for Run { first, count } in found.runs() {
            let end = first.saturating_add(count).min(slot.intervals().end);
            for index in first.max(slot.intervals().start)..end {
                // A run may be part of a longer one.
                if let Entry::Vacant(place) = found.intervals.entry(index) {
                    place.insert(self.intervals.get(&index, 0).map_err(in_map(map::INTERVALS))?.0);
                }
            }
        }
        Ok(())
    }

    /// Writes one entry.
    pub(super) fn put(&mut self, entry: &TableEntry) -> Result<(), DatapathError> {
        let result = match *entry {
            TableEntry::Port(index, entry) => self.put_port(index, entry),
            TableEntry::Address(key, entry) => self.addresses.put_address(&key, entry).map_err(full),
            TableEntry::Prefix(key, entry) => self.addresses.put_prefix(&key, entry).map_err(full),
            TableEntry::Policy(key, entry) => self.policies.put(&key, entry).map_err(full),
            TableEntry::Interval(index, interval) => self.intervals.set(index, Plain(interval), 0),
            TableEntry::Failsafe(key) => self.failsafe.insert(Plain(key), 1, 0),
            TableEntry::RuleCounter(rule) => self.rules.put(rule),
            TableEntry::ReasonCounter(key) => {
                self.zeroes().and_then(|zeroes| self.reason_counters.insert(Plain(key), zeroes, 0))
            }
            TableEntry::Revocations(Generation(generation)) => {
                self.zeroes().and_then(|zeroes| self.revocations.insert(generation, zeroes, 0))
            }
        };
        result.map_err(in_map(entry.table()))
    }

    fn zeroes<T: Copy + Default>(&self) -> Result<PerCpuValues<Plain<T>>, MapError>
    where
        Plain<T>: Pod,
    {
        PerCpuValues::try_from(vec![Plain(T::default()); self.cpus]).map_err(MapError::IoError)
    }

    /// A port that is new begins to count at zero, whatever the place counted before.
    fn put_port(&mut self, index: IfIndex, entry: PortEntry) -> Result<(), MapError> {
        if self.ports.place(index).is_none() {
            let place = self.ports.place_for(index).map_err(full)?;
            self.port_counters.set(place, self.zeroes()?, 0)?;
        }
        self.ports.put(index, entry).map_err(full)?;
        self.forget_notes()
    }

    /// What ports counted themselves.
    pub(super) fn port_counters(&self) -> Result<Vec<PerCpuValues<Plain<PortCounters>>>, MapError> {
        let places = self.ports.read().into_keys().filter_map(|index| self.ports.place(index));
        places.map(|place| self.port_counters.get(&place, 0)).collect()
    }

    /// Deletes one entry, if it is there.
    pub(super) fn delete(&mut self, key: &Key) -> Result<(), DatapathError> {
        let result = match *key {
            Key::Port(index) => {
                self.ports.delete(index);
                self.forget_notes()
            }
            Key::Address(key) => {
                self.addresses.delete_address(&key);
                Ok(())
            }
            Key::Prefix(key) => {
                self.addresses.delete_prefix(&key);
                Ok(())
            }
            Key::Policy(key) => {
                self.policies.delete(&key);
                Ok(())
            }
            Key::Failsafe(key) => self.failsafe.remove(&Plain(key)),
            Key::RuleCounter(rule) => self.rules.delete(rule),
            Key::ReasonCounter(key) => self.reason_counters.remove(&Plain(key)),
            Key::Revocations(Generation(generation)) => self.revocations.remove(&generation),
        };
        absent_is_fine(result).map_err(in_map(key.table()))
    }

    /// Puts another slot in use. In two writes, as [`Config`] asks: a program that reads between them notes a verdict of the
    /// new slot under the old generation, and judges that connection once more, but never the other way round.
    pub(super) fn switch(&mut self, config: &Config) -> Result<(), DatapathError> {
        let Config { generation, ports, .. } = self.whole_config().map_err(in_map(map::CONFIG))?;
        let config = Config { ports, ..*config };
        for step in [Config { generation, ..config }, config] {
            self.config.set(0, Plain(step), 0).map_err(in_map(map::CONFIG))?;
        }
        Ok(())
    }
}

/// As the kernel would say it of a map of its own.
pub(super) fn full(_: Full) -> MapError {
    MapError::IoError(io::ErrorKind::StorageFull.into())
}

/// Level-triggered deletion: gone is gone.
fn absent_is_fine(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}
