//! Proof in the kernel: the programs, loaded a second time over the tables that a slot is part of and small maps of its own for
//! everything else, judges packets that never were on a wire.
//!
//! Nothing that live packets are judged by is written: the configuration, ports, connections, counters and events are the
//! second instance's. It is kept from trial to trial, because to load it takes longer than most trials.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use aya::maps::{Array, Map, MapData, MapError, MapInfo, PerCpuHashMap, PerCpuValues, RingBuf};
use aya::programs::{ProgramError, SchedClassifier, TestRun, TestRunOptions, Xdp};
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader};
use selvedge_abi::{Config, Counter, Event, Interval, PolicyEntry, PolicyKey, map};
use selvedge_agent_core::prove::{Case, Found, LIMIT, ReadSlot};
use selvedge_agent_core::storage::{PolicyTable, PortTable};
use selvedge_agent_core::{Hook, Proof, Trial};
use selvedge_topology::model::RuleId;
use zerocopy::{FromBytes, IntoBytes};

use super::arrays;
use super::kernel::{DatapathError, chain};
use super::pins::Pins;
use super::plain::Plain;
use super::programs;
use super::tables::{full, in_map};

/// The maps that slots are in. A trial reads them and writes none.
const SHARED: [&str; 10] = [
    map::LAYOUT,
    map::IPV4,
    map::IPV6,
    map::IPV4_PREFIXES,
    map::IPV6_PREFIXES,
    map::LENGTHS,
    map::ENDS,
    map::POLICIES,
    map::LISTS,
    map::INTERVALS,
];

/// What the programs return for a packet that passes: `XDP_PASS`, and `TCX_NEXT`.
const PASS: u32 = 2;
const NEXT: i32 = -1;
/// The kernel's own errno for what it does not support; libc has no name for it.
const ENOTSUPP: i32 = 524;

/// Proves slots.
#[derive(Default)]
pub(super) struct Prover {
    /// Loaded for the first trial.
    instance: Option<Instance>,
}

impl Prover {
    /// Judges every packet of `trial` by the tables pinned under `pins`.
    pub(super) fn prove(&mut self, pins: &Pins, trial: &Trial) -> Result<Proof, DatapathError> {
        if trial.cases.is_empty() {
            return Ok(Proof::Proven(trial.coverage));
        }
        let shared = shared(pins)?;
        let mut instance = match self.instance.take() {
            Some(instance) if instance.shared == shared => instance,
            _ => Instance::load(pins, shared)?,
        };
        let proof = instance.run(trial)?; // one that broke off is not used again
        instance.written.policies.rest();
        self.instance = Some(instance);
        Ok(proof)
    }
}

/// The kernel's numbers of the maps that slots are in.
fn shared(pins: &Pins) -> Result<Vec<u32>, DatapathError> {
    let id = |name: &'static str| Ok(MapInfo::from_pin(pins.map(name)).map_err(in_map(name))?.id());
    SHARED.into_iter().map(id).collect()
}

/// Running XDP programs is from Linux 4.12, doing so as if received at an interface from 5.15; as if sent by one, from 5.6.
fn is_unsupported(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else { return false };
    matches!(error.io_error.raw_os_error(), Some(ENOTSUPP | libc::EOPNOTSUPP | libc::EINVAL))
}

/// The program over maps of which some are its own.
struct Instance {
    /// The maps that are not.
    shared: Vec<u32>,
    object: Ebpf,
    config: Array<MapData, Plain<Config>>,
    ports: PortTable,
    events: RingBuf<MapData>,
    rules: PerCpuHashMap<MapData, u32, Plain<Counter>>,
    written: Written,
}

impl Instance {
    fn load(pins: &Pins, shared: Vec<u32>) -> Result<Self, DatapathError> {
        let mut loader = EbpfLoader::new();
        for name in SHARED {
            loader.map_pin_path(name, pins.map(name));
        }
        // Each packet may open a connection, and none is heard of again.
        loader.map_max_entries(map::HALF_OPEN, LIMIT as u32);
        loader.map_max_entries(map::CONNECTIONS, 1);
        loader.map_max_entries(map::FRAGMENTS, 1);
        // Its own too: a proof is by policy, not by what was noted.
        loader.map_max_entries(map::PASSAGES, 1);
        loader.map_max_entries(map::DENIALS, 1);
        let mut object = loader.load(selvedge_object::OBJECT)?;
        programs::load::<Xdp>(&mut object)?;
        programs::load::<SchedClassifier>(&mut object)?;
        Ok(Self {
            shared,
            config: take(&mut object, map::CONFIG)?,
            ports: ports(&mut object)?,
            events: take(&mut object, map::EVENTS)?,
            rules: take(&mut object, map::RULE_COUNTERS)?,
            written: Written {
                policies: arrays::policies(pins)?,
                intervals: take(&mut object, map::INTERVALS)?,
                known: BTreeMap::new(),
            },
            object,
        })
    }

    /// Judges every packet of `trial`.
    fn run(&mut self, trial: &Trial) -> Result<Proof, DatapathError> {
        self.prepare(trial)?;
        for case in &trial.cases {
            let found = match self.judge(case) {
                Ok(found) => found,
                Err(DatapathError::Program(error)) if is_unsupported(&error) => {
                    return Ok(Proof::Unproven { reason: chain(&error) });
                }
                Err(error) => return Err(error),
            };
            trial.check(case, &found)?;
        }
        self.written.forget();
        for case in &trial.cases {
            trial.check_written(case, &mut self.written)?;
        }
        Ok(Proof::Proven(trial.coverage))
    }

    /// Makes its own maps what `trial` wants. Connections of an earlier one need not go: none outlives its packet.
    fn prepare(&mut self, trial: &Trial) -> Result<(), DatapathError> {
        for index in self.ports.read().into_keys() {
            if !trial.ports.contains_key(&index) {
                self.ports.delete(index);
            }
        }
        for (index, entry) in &trial.ports {
            self.ports.put(*index, *entry).map_err(full).map_err(in_map(map::PORTS))?;
        }
        let unnamed = trial.cases.iter().flat_map(|case| case.expected.unnamed());
        let rules: BTreeSet<u32> = unnamed.map(|rule| rule.0).collect();
        let counted = keys(self.rules.keys(), map::RULE_COUNTERS)?;
        for rule in counted.difference(&rules) {
            self.rules.remove(rule).map_err(in_map(map::RULE_COUNTERS))?;
        }
        for rule in rules.difference(&counted) {
            self.rules.insert(rule, zeroes()?, 0).map_err(in_map(map::RULE_COUNTERS))?;
        }
        self.config.set(0, Plain(trial.config), 0).map_err(in_map(map::CONFIG))
    }

    fn judge(&mut self, case: &Case) -> Result<Found, DatapathError> {
        let before = self.counts(case)?;
        let frame = case.packet.frame();
        let passed = match case.hook {
            Hook::Ingress => {
                // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
                let context = [0, frame.len() as u32, 0, case.port.0, 0, 0];
                let program = programs::of::<Xdp>(&mut self.object)?;
                program.test_run(options(&frame, context.as_bytes()))?.return_value == PASS
            }
            Hook::Egress => {
                // struct __sk_buff: ten words up to ingress_ifindex, which is 0 for what the node made; then ifindex.
                let mut context = [0_u32; 11];
                context[10] = case.port.0;
                let program = programs::of::<SchedClassifier>(&mut self.object)?;
                program.test_run(options(&frame, context.as_bytes()))?.return_value as i32 == NEXT
            }
        };
        let event = self.events.next().and_then(|item| Event::read_from_bytes(&item).ok());
        let after = self.counts(case)?;
        let counted = before.iter().zip(&after).filter(|(before, after)| before.1 < after.1);
        let counted = counted.map(|(_, (rule, _))| *rule).collect();
        Ok(Found { passed, event, counted })
    }

    /// Packets counted by the rules that only counters tell of.
    fn counts(&self, case: &Case) -> Result<Vec<(RuleId, u64)>, DatapathError> {
        let counts = case.expected.unnamed().map(|rule| {
            let values = self.rules.get(&rule.0, 0).map_err(in_map(map::RULE_COUNTERS))?;
            Ok((rule, values.iter().map(|Plain(counter)| counter.packets).sum()))
        });
        counts.collect()
    }
}

/// The decisions of a slot, read back from where the programs find them.
struct Written {
    policies: PolicyTable,
    intervals: Array<MapData, Plain<Interval>>,
    /// Intervals that this trial has read: most decisions are in few.
    known: BTreeMap<u32, Interval>,
}

impl Written {
    /// Another trial begins.
    fn forget(&mut self) {
        self.known.clear();
    }
}

impl ReadSlot for Written {
    type Error = DatapathError;

    fn policy(&mut self, key: &PolicyKey) -> Result<Option<PolicyEntry>, DatapathError> {
        Ok(self.policies.get(key))
    }

    fn interval(&mut self, index: u32) -> Result<Option<Interval>, DatapathError> {
        if let Some(known) = self.known.get(&index) {
            return Ok(Some(*known));
        }
        let read = present(self.intervals.get(&index, 0)).map_err(in_map(map::INTERVALS))?;
        self.known.extend(read.map(|interval| (index, interval)));
        Ok(read)
    }
}

fn present<T>(read: Result<Plain<T>, MapError>) -> Result<Option<T>, MapError> {
    match read {
        Ok(Plain(value)) => Ok(Some(value)),
        Err(MapError::KeyNotFound | MapError::OutOfBounds { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn keys(
    keys: impl Iterator<Item = Result<u32, MapError>>,
    name: &'static str,
) -> Result<BTreeSet<u32>, DatapathError> {
    keys.collect::<Result<_, _>>().map_err(in_map(name))
}

fn options<'a>(frame: &'a [u8], context: &'a [u8]) -> TestRunOptions<'a> {
    TestRunOptions { data_in: Some(frame), ctx_in: Some(context), ..TestRunOptions::new() }
}

fn take<T: TryFrom<Map, Error = MapError>>(
    object: &mut Ebpf,
    name: &'static str,
) -> Result<T, DatapathError> {
    let map = object.take_map(name).ok_or(DatapathError::MissingMap { name })?;
    T::try_from(map).map_err(in_map(name))
}

fn ports(object: &mut Ebpf) -> Result<PortTable, DatapathError> {
    match object.take_map(map::PORTS) {
        Some(Map::Array(data)) => arrays::ports_of(&data),
        _ => Err(DatapathError::MissingMap { name: map::PORTS }),
    }
}

fn zeroes() -> Result<PerCpuValues<Plain<Counter>>, DatapathError> {
    let failed = |error: io::Error| in_map(map::RULE_COUNTERS)(MapError::IoError(error));
    let cpus = nr_cpus().map_err(|(_, error)| failed(error))?;
    PerCpuValues::try_from(vec![Plain(Counter::default()); cpus]).map_err(failed)
}
