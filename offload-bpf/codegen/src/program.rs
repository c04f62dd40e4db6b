//! A device program: what a loader needs of it, and what people want to know.

use std::fmt;
use std::os::fd::RawFd;

use selvedge_hw_profiles::profile::MapType;

use crate::check::Violation;
use crate::instruction::Instruction;

/// A program for a device, with its maps: nothing in it is of this machine yet, so equal policy is an equal program.
///
/// To load it: make its maps in order (`map_flags` 0, no BTF, `map_ifindex` the device's), load [`DeviceProgram::code`] with their
/// descriptors (type XDP, licence GPL, `prog_ifindex` the device's, no BTF), write the maps' entries, and attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceProgram {
    /// How much it decides.
    pub kind: Kind,
    /// The instructions; where a map is named, its place is zero.
    pub instructions: Vec<Instruction>,
    /// Where maps are named.
    pub relocations: Vec<Relocation>,
    /// The maps that it needs.
    pub maps: Vec<Map>,
    /// Where it counts its drops, by rule; empty where the device has no room for counters.
    pub counters: Vec<Counter>,
    /// What it would drop, had it found room.
    pub shed: Vec<Shed>,
    /// What parts of it are for, by the first instruction of each.
    pub notes: Vec<Note>,
}

/// How much a program decides. The full program runs behind it on the same port: it judges all that passes, and goes on where the
/// device stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It drops some of what the full program would drop, and leaves all else to it.
    Prefilter,
    /// It decides on every plain packet as the full program would, and leaves to it only what it can't read.
    Complete,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Prefilter => "prefilter",
            Self::Complete => "complete",
        })
    }
}

/// A place that names a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relocation {
    /// Index of the first of the two instructions of a wide constant.
    pub instruction: usize,
    /// Index of the map in [`DeviceProgram::maps`].
    pub map: usize,
}

/// A map, and what is in it at first. Keys and values are in the byte order of the machine, but for addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Its name, of at most 15 bytes.
    pub name: String,
    /// By index or by key.
    pub kind: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries that it has room for.
    pub max_entries: u32,
    /// The entries to write before the program is attached: keys and values.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Where drops by a rule are counted: a `u32` that wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter {
    /// The rule.
    pub rule: u32,
    /// Index of the map in [`DeviceProgram::maps`], an ARRAY.
    pub map: usize,
    /// Index of the element.
    pub element: u32,
    /// Bytes from the begin of its value.
    pub offset: u32,
}

/// What one rule drops of the packets between the same ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Drops {
    /// The rule; 0 where there is no policy.
    pub rule: u32,
    /// The identity of the sender, where this node enforces for it.
    pub source: Option<u32>,
    /// The identity of the receiver, where this node enforces for it.
    pub destination: Option<u32>,
}

impl fmt::Display for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, source, destination } = self;
        write!(f, "drops by rule {rule}")?;
        source.map_or(Ok(()), |identity| write!(f, " from identity {identity}"))?;
        destination.map_or(Ok(()), |identity| write!(f, " to identity {identity}"))
    }
}

/// Drops that were left out, because they did not fit: the full program drops these packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shed {
    /// Which.
    pub drops: Drops,
    /// What they would have been worth.
    pub worth: Worth,
    /// What the program with all drops did not fit in.
    pub why: Violation,
}

impl fmt::Display for Shed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { drops, worth, why } = self;
        write!(f, "{drops} ({worth}) are left to the full program: with them {why}")
    }
}

/// What it is worth to drop something in the device; of two, what is worth more stays longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Worth {
    /// Packets that the rule's counter has, where counters were given: they come first.
    pub packets: Option<u64>,
    /// The pairs of addresses, times the layer-4 keys, that are denied. Of IPv6, networks of 32 bits count as addresses.
    pub breadth: u128,
}

impl fmt::Display for Worth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packets {
            Some(packets) => write!(f, "{packets} packets counted"),
            None => write!(f, "not counted, {} flows wide", self.breadth),
        }
    }
}

/// What the instructions from one on are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Index of the first.
    pub instruction: usize,
    /// In words.
    pub text: String,
}

impl DeviceProgram {
    /// Whether it passes everything: a port may as well go without it.
    pub fn is_idle(&self) -> bool {
        const SET_AND_EXIT: usize = 2;
        self.instructions.len() == SET_AND_EXIT
    }

    /// The instructions with the maps in their places: `descriptors[i]` is that of `maps[i]`. `None` where one is missing.
    pub fn code(&self, descriptors: &[RawFd]) -> Option<Vec<u64>> {
        let mut code: Vec<u64> = self.instructions.iter().map(|instruction| instruction.0).collect();
        for Relocation { instruction, map } in &self.relocations {
            let named = self.instructions.get(*instruction)?.of_map(*descriptors.get(*map)?);
            code[*instruction] = named.0;
        }
        Some(code)
    }
}
