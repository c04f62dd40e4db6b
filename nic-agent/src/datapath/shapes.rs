//! What each map must look like before it is adopted: aya takes whatever it finds under a pin.

use std::fs;
use std::path::PathBuf;

use aya::maps::{MapInfo, MapType};
use selvedge_abi::{
    AddressEntry, Config, ConnectionEntry, ConnectionKey, Counter, DEFAULT_CONNECTIONS, DEFAULT_HALF_OPEN,
    DENIAL_BUCKETS, DenialBucket, EVENT_RING_BYTES, EventShare, FailsafeKey, FragmentEntry, FragmentKey,
    INTERVALS_PER_SLOT, Interval, Ipv4Bucket, Ipv6Bucket, Layout, Lengths, MAX_ENDS, MAX_FAILSAFE,
    MAX_FRAGMENTS, MAX_IPV4, MAX_IPV6, MAX_POLICIES, MAX_PORTS, MAX_PREFIXES, MAX_REVOCATIONS, MAX_RULES,
    PASSAGE_BUCKETS, PORT_PLACES, PassageBucket, PolicyBucket, PolicyEntry, PortCounters, PortPlace,
    RULE_PLACES, Reason, ReasonKey, Revocations, RuleCounter, SLOTS, buckets, map,
};

use super::kernel::chain;
use super::pins::Pins;

/// The shape of a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    /// Its type.
    kind: MapType,
    /// Bytes of a key.
    key: usize,
    /// Bytes of a value, on one CPU.
    value: usize,
    /// Entries, or bytes of a ring.
    entries: u32,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, key, value, entries } = self;
        write!(f, "{kind:?} of {entries}, key {key} bytes, value {value} bytes")
    }
}

const fn shape<K, V>(kind: MapType, entries: u32) -> Shape {
    Shape { kind, key: size_of::<K>(), value: size_of::<V>(), entries }
}

/// The shape that this ABI version gives a map.
pub(super) fn wanted(name: &str) -> Option<Shape> {
    let reasons = MAX_PORTS * Reason::ALL.len() as u32;
    Some(match name {
        map::CONFIG => shape::<u32, Config>(MapType::Array, 1),
        map::PORTS => shape::<u32, PortPlace>(MapType::Array, PORT_PLACES),
        map::LAYOUT => shape::<u32, Layout>(MapType::Array, 1),
        map::IPV4 => shape::<u32, Ipv4Bucket>(MapType::Array, buckets::<Ipv4Bucket>(MAX_IPV4)),
        map::IPV6 => shape::<u32, Ipv6Bucket>(MapType::Array, buckets::<Ipv6Bucket>(MAX_IPV6)),
        map::IPV4_PREFIXES => shape::<u32, Ipv4Bucket>(MapType::Array, buckets::<Ipv4Bucket>(MAX_PREFIXES)),
        map::IPV6_PREFIXES => shape::<u32, Ipv6Bucket>(MapType::Array, buckets::<Ipv6Bucket>(MAX_PREFIXES)),
        map::LENGTHS => shape::<u32, Lengths>(MapType::Array, SLOTS),
        map::ENDS => shape::<u32, AddressEntry>(MapType::Array, SLOTS * MAX_ENDS),
        map::POLICIES => shape::<u32, PolicyBucket>(MapType::Array, buckets::<PolicyBucket>(MAX_POLICIES)),
        map::LISTS => shape::<u32, PolicyEntry>(MapType::Array, SLOTS * MAX_POLICIES),
        map::INTERVALS => shape::<u32, Interval>(MapType::Array, SLOTS * INTERVALS_PER_SLOT),
        map::CONNECTIONS => shape::<ConnectionKey, ConnectionEntry>(MapType::Hash, DEFAULT_CONNECTIONS),
        map::HALF_OPEN => shape::<ConnectionKey, ConnectionEntry>(MapType::LruHash, DEFAULT_HALF_OPEN),
        map::FRAGMENTS => shape::<FragmentKey, FragmentEntry>(MapType::Hash, MAX_FRAGMENTS),
        map::PASSAGES => shape::<u32, PassageBucket>(MapType::Array, PASSAGE_BUCKETS),
        map::DENIALS => shape::<u32, DenialBucket>(MapType::Array, DENIAL_BUCKETS),
        map::FAILSAFE => shape::<FailsafeKey, u32>(MapType::Hash, MAX_FAILSAFE),
        map::NEAR_RULES => shape::<u32, RuleCounter>(MapType::PerCpuArray, RULE_PLACES),
        map::RULE_COUNTERS => shape::<u32, Counter>(MapType::PerCpuHash, MAX_RULES),
        map::REASON_COUNTERS => shape::<ReasonKey, Counter>(MapType::PerCpuHash, reasons),
        map::REVOCATIONS => shape::<u64, Revocations>(MapType::PerCpuHash, MAX_REVOCATIONS),
        map::PORT_COUNTERS => shape::<u32, PortCounters>(MapType::PerCpuArray, PORT_PLACES),
        map::EVENT_SHARES => shape::<u32, EventShare>(MapType::PerCpuArray, 1),
        map::EVENTS => shape::<(), ()>(MapType::RingBuf, EVENT_RING_BYTES),
        _ => return None,
    })
}

/// What is not as this version makes it, of a set of pinned maps.
#[derive(Debug, thiserror::Error)]
pub(super) enum Flaw {
    /// Something else lies under a pin.
    #[error("{} is {found}, not {wanted}", path.display())]
    Other {
        /// The pin.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        wanted: Shape,
    },
    /// A pin is not there, and others are.
    #[error("{} is missing", path.display())]
    Missing {
        /// The pin.
        path: PathBuf,
    },
}

/// What is wrong with the pinned maps, if anything. None at all is nothing wrong: they are still to be made.
pub(super) fn flaw(pins: &Pins) -> Option<Flaw> {
    let mut missing = None;
    let mut found = false;
    for name in map::ALL {
        let (path, wanted) = (pins.map(name), wanted(name)?);
        match fs::symlink_metadata(&path) {
            Err(_) => missing = Some(Flaw::Missing { path }),
            Ok(_) => {
                found = true;
                let info = MapInfo::from_pin(&path).map_err(|error| chain(&error));
                match info.and_then(|info| check(name, &info)) {
                    Ok(()) => {}
                    Err(found) => return Some(Flaw::Other { path, found, wanted }),
                }
            }
        }
    }
    missing.filter(|_| found)
}

/// Whether a map is what this version makes as `name`; else what it is. A table of connections may be of any size: it was asked for.
pub(super) fn check(name: &'static str, info: &MapInfo) -> Result<(), String> {
    let kind = info.map_type().map_err(|error| chain(&error))?;
    let (key, value) = (info.key_size() as usize, info.value_size() as usize);
    let found = Shape { kind, key, value, entries: info.max_entries() };
    let called = info.name_as_str().unwrap_or_default();
    let fits = wanted(name).is_some_and(|wanted| {
        wanted == found || map::SIZED.contains(&name) && Shape { entries: wanted.entries, ..found } == wanted
    });
    if fits && called == name { Ok(()) } else { Err(format!("{called}, {found}")) }
}
