//! Whether a program for the device is within what the device takes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::profile::{Limit, MapType, OffloadLimits};
use crate::units::{Bytes, Entries, Instructions, Maps};

/// What a program that runs in the device needs of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeviceNeeds {
    /// Its maps.
    pub maps: Vec<MapNeed>,
    /// Its length, in the device's own instructions where they are known, else in those of eBPF.
    pub instructions: u32,
}

/// A map that a device program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MapNeed {
    /// What kind of map.
    pub kind: MapType,
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value.
    pub value: u32,
    /// How many entries.
    pub entries: u32,
}

impl MapNeed {
    /// Bytes of key and value, each rounded up to eight, as nfp's driver counts them (`nfp_bpf_map_alloc`).
    fn entry(&self) -> u64 {
        u64::from(self.key).next_multiple_of(8) + u64::from(self.value).next_multiple_of(8)
    }
}

/// Something of which a device program needs more than there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Excess {
    /// What.
    pub what: &'static str,
    /// How much of it is needed, with its unit.
    pub needed: String,
    /// How much there is, with its unit.
    pub limit: String,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, needed, limit } = self;
        write!(f, "the device program needs {needed} for {what}, and the device takes {limit}")
    }
}

/// Everything that `needs` is above. What has to be learnt from the device is not known here.
pub(super) fn excesses(needs: &DeviceNeeds, limits: &OffloadLimits) -> Vec<Excess> {
    let DeviceNeeds { maps, instructions } = needs;
    let count = u64::try_from(maps.len()).unwrap_or(u64::MAX);
    let all: u64 = maps.iter().map(|map| u64::from(map.entries)).sum();
    let most = |of: fn(&MapNeed) -> u64| maps.iter().map(of).max().unwrap_or(0);
    let kinds = &limits.map_types.value;
    let kind = maps.iter().find(|map| !kinds.contains(&map.kind)).map(|map| Excess {
        what: "maps",
        needed: map.kind.name().to_owned(),
        limit: kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" and "),
    });
    let found = [
        above("all maps", count, &limits.maps, |it: &Maps| it.0),
        above("one map", most(|map| map.entries.into()), &limits.entries_each, |it: &Entries| it.0),
        above("all maps together", all, &limits.entries, |it: &Entries| it.0),
        above("a key", most(|map| map.key.into()), &limits.key, |it: &Bytes| it.0),
        above("a value", most(|map| map.value.into()), &limits.value, |it: &Bytes| it.0),
        above("key and value together", most(MapNeed::entry), &limits.entry, |it: &Bytes| it.0),
        above("its code", u64::from(*instructions), &limits.instructions, |it: &Instructions| it.0),
    ];
    kind.into_iter().chain(found.into_iter().flatten()).collect()
}

fn above<Q: fmt::Display>(
    what: &'static str,
    needed: u64,
    limit: &Limit<Q>,
    number: impl Fn(&Q) -> u32,
) -> Option<Excess> {
    let Limit::AtMost(limit, _) = limit else { return None };
    let unit = limit.to_string();
    let unit = unit.rsplit(' ').next().unwrap_or_default();
    let excess = Excess { what, needed: format!("{needed} {unit}"), limit: limit.to_string() };
    (needed > u64::from(number(limit))).then_some(excess)
}
