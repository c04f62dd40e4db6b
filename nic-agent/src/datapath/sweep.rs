//! Deleting connections and unfinished datagrams that have expired. The program takes an expired entry for none; this
//! makes room.

use std::os::fd::AsFd;
use std::time::Duration;

use aya::maps::{Array, HashMap, MapData, MapError};
use nix::time::{ClockId, clock_gettime};
use selvedge_abi::{
    CONNECTION_ASSURED, CONNECTION_CLOSING, CONNECTION_DRAINING, CONNECTION_RESET, Config, ConnectionEntry,
    ConnectionKey, FragmentEntry, FragmentKey, MAX_FRAGMENTS, Timeouts, map,
};
use selvedge_proto::Occupancy;
use selvedge_topology::l4::Protocol;

use super::kernel::{DatapathError, Sizes};
use super::pins::Pins;
use super::plain::Plain;
use super::tables::{in_map, open};
use crate::sys::batch;

/// As long as can be said: 136 years.
const NEVER: Timeouts = Timeouts {
    tcp_established: u32::MAX,
    half_open: u32::MAX,
    closing: u32::MAX,
    udp: u32::MAX,
    icmp: u32::MAX,
    other: u32::MAX,
    fragment: u32::MAX,
};

/// The tables that programs fill, for one who deletes.
pub struct Sweeper {
    config: Array<MapData, Plain<Config>>,
    kept: Table,
    half_open: Table,
    fragments: HashMap<MapData, Plain<FragmentKey>, Plain<FragmentEntry>>,
}

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Connections that nothing makes room in place of.
    pub kept: Swept,
    /// Those before that.
    pub half_open: Swept,
}

/// What a sweep found in one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries that stay.
    pub live: u64,
    /// Those of them that drain.
    pub draining: u64,
    /// Entries that were deleted.
    pub expired: u64,
    /// Entries that the table has room for.
    pub room: u64,
}

impl Swept {
    /// How full it left the table.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy { entries: self.live, room: self.room }
    }
}

impl Sweeper {
    pub(super) fn open(pins: &Pins) -> Result<Self, DatapathError> {
        Ok(Self {
            config: open(pins, map::CONFIG)?,
            kept: Table::open(pins, map::CONNECTIONS)?,
            half_open: Table::open(pins, map::HALF_OPEN)?,
            fragments: open(pins, map::FRAGMENTS)?,
        })
    }

    /// How large the tables of connections are, whatever was asked for.
    pub fn sizes(&self) -> Sizes {
        Sizes { connections: self.kept.room, half_open: self.half_open.room }
    }

    /// Those that the programs go by. Where no generation says so yet, nothing ends: what there is then is of programs that go by other
    /// tables.
    fn timeouts(&self) -> Result<Timeouts, DatapathError> {
        let Plain(config) = self.config.get(&0, 0).map_err(in_map(map::CONFIG))?;
        Ok(if config.generation == 0 { NEVER } else { config.timeouts })
    }

    /// Deletes every datagram that waited too long for its next fragment; how many.
    pub fn sweep_fragments(&mut self) -> Result<u64, DatapathError> {
        let lifetime = Duration::from_secs(self.timeouts()?.fragment.into());
        let (now, mut expired) = (monotonic(), Vec::new());
        for entry in self.fragments.iter().take(2 * MAX_FRAGMENTS as usize) {
            let (Plain(key), Plain(entry)) = entry.map_err(in_map(map::FRAGMENTS))?;
            if Duration::from_nanos(entry.first_seen) + lifetime < now {
                expired.push(key);
            }
        }
        // One that begins again in this moment is lost, as if a fragment of it were.
        Ok(expired.iter().filter(|key| self.fragments.remove(&Plain(**key)).is_ok()).count() as u64)
    }

    /// Deletes every connection that has ended by now. Sees at most about twice the tables' size, whatever is inserted meanwhile.
    pub fn sweep(&mut self) -> Result<Sweep, DatapathError> {
        let (timeouts, now) = (self.timeouts()?, monotonic());
        Ok(Sweep { kept: self.kept.sweep(&timeouts, now)?, half_open: self.half_open.sweep(&timeouts, now)? })
    }
}

/// A table of connections.
struct Table {
    name: &'static str,
    /// The same map as `entries`, which does not lend its descriptor.
    data: MapData,
    entries: HashMap<MapData, Plain<ConnectionKey>, Plain<ConnectionEntry>>,
    room: u32,
}

impl Table {
    fn open(pins: &Pins, name: &'static str) -> Result<Self, DatapathError> {
        let data = MapData::from_pin(pins.map(name)).map_err(in_map(name))?;
        let room = data.info().map_err(in_map(name))?.max_entries();
        Ok(Self { name, data, entries: open(pins, name)?, room })
    }

    fn sweep(&mut self, timeouts: &Timeouts, now: Duration) -> Result<Swept, DatapathError> {
        let mut swept = Swept { room: self.room.into(), ..Swept::default() };
        let mut expired = Vec::new();
        let see = |key: &ConnectionKey, entry: &ConnectionEntry| {
            if is_expired(key, entry, timeouts, now) {
                return expired.push(*key);
            }
            swept.live += 1;
            swept.draining += u64::from(entry.flags & CONNECTION_DRAINING != 0);
        };
        batch::each(self.data.fd().as_fd(), self.room, see)
            .map_err(|error| in_map(self.name)(MapError::IoError(error)))?;
        for key in expired {
            // It may have been renewed since: look again, which leaves a race of no more than a needless judgement.
            let renewed = match self.entries.get(&Plain(key), 0) {
                Ok(Plain(entry)) => !is_expired(&key, &entry, timeouts, now),
                Err(MapError::KeyNotFound) => continue,
                Err(error) => return Err(in_map(self.name)(error)),
            };
            if renewed {
                swept.live += 1;
            } else if self.entries.remove(&Plain(key)).is_ok() {
                swept.expired += 1;
            }
        }
        Ok(swept)
    }
}

/// CLOCK_MONOTONIC, as `bpf_ktime_get_ns` reads it.
pub(crate) fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

fn is_expired(key: &ConnectionKey, entry: &ConnectionEntry, timeouts: &Timeouts, now: Duration) -> bool {
    let timeout = Duration::from_secs(timeout(key, entry, timeouts).into());
    Duration::from_nanos(entry.last_seen) + timeout < now
}

fn timeout(key: &ConnectionKey, entry: &ConnectionEntry, timeouts: &Timeouts) -> u32 {
    // Above the protocol's number are flags of the key.
    match Protocol(key.protocol as u8) {
        Protocol::UDP => timeouts.udp,
        Protocol::ICMP | Protocol::ICMPV6 => timeouts.icmp,
        protocol if !matches!(protocol, Protocol::TCP | Protocol::SCTP) => timeouts.other,
        _ if entry.flags & (CONNECTION_CLOSING | CONNECTION_RESET) != 0 => timeouts.closing,
        _ if entry.flags & CONNECTION_ASSURED != 0 => timeouts.tcp_established,
        _ => timeouts.half_open,
    }
}

#[cfg(test)]
mod tests {
    use selvedge_abi::Address;

    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        tcp_established: 10_800,
        half_open: 61,
        closing: 62,
        udp: 63,
        icmp: 30,
        other: 64,
        fragment: 65,
    };

    fn expires_after(protocol: u32, flags: u32) -> u64 {
        let end = Address::from_ipv4([10, 0, 0, 1]);
        let key = ConnectionKey { low: end, high: end, low_port: 1, high_port: 2, protocol };
        let entry = ConnectionEntry { last_seen: 1_000_000_000, generation: 1, flags, rule: 7 };
        let expired = |seconds| is_expired(&key, &entry, &TIMEOUTS, Duration::from_secs(seconds));
        let first = (1..20_000).find(|seconds| expired(*seconds)).unwrap();
        first - 2 // seen at 1, and a timeout of n lasts through second 1 + n
    }

    #[test]
    fn each_kind_of_connection_lives_as_long_as_its_timeout() {
        assert_eq!(expires_after(6, 0), 61);
        assert_eq!(expires_after(6, CONNECTION_ASSURED), 3 * 60 * 60);
        assert_eq!(expires_after(6, CONNECTION_ASSURED | CONNECTION_CLOSING), 62);
        assert_eq!(expires_after(132, CONNECTION_ASSURED | CONNECTION_RESET), 62);
        assert_eq!(expires_after(17, CONNECTION_ASSURED), 63);
        assert_eq!(expires_after(1, CONNECTION_ASSURED), 30);
        assert_eq!(expires_after(58 | 1 << 8, 0), 30);
        assert_eq!(expires_after(47, CONNECTION_ASSURED), 64);
    }
}
