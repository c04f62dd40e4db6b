//! Loading small things onto a device and letting them go again: what it takes is known only by asking.

use selvedge_agent_core::IfIndex;
use selvedge_hw_profiles::Mode;
use selvedge_hw_profiles::profile::MapType;
use selvedge_hw_profiles::recording::{Load, Trial};
use selvedge_hw_profiles::units::{Bytes, Entries};

use crate::sys::device::{self, MapShape};

const NAME: &str = "selvedge_probe";
/// `r0 = XDP_PASS; exit`.
const PASSING: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];

/// A program, both kinds of maps, and hash maps of more entries and of the largest entry that nfp's messages have room for.
pub(super) fn on_device(index: IfIndex) -> Vec<Trial> {
    let map = |kind, key, value, entries| Load::Map {
        kind,
        key: Bytes(key),
        value: Bytes(value),
        entries: Entries(entries),
    };
    let loads = [
        Load::Program,
        map(MapType::Array, 4, 8, 2),
        map(MapType::Hash, 16, 8, 2),
        map(MapType::Hash, 16, 8, 1 << 10),
        map(MapType::Hash, 16, 8, 1 << 16),
        map(MapType::Hash, 56, 8, 2),
        map(MapType::Hash, 64, 64, 2),
    ];
    loads.into_iter().map(|load| trial(index, load)).collect()
}

fn trial(index: IfIndex, load: Load) -> Trial {
    let result = match &load {
        Load::Program => device::load_program(index.0, NAME, &PASSING).map_err(|error| error.to_string()),
        Load::Map { kind, key, value, entries } => {
            let shape = MapShape { kind: *kind, key: key.0, value: value.0, entries: entries.0 };
            device::create_map(index.0, NAME, shape).map_err(|error| error.to_string())
        }
    };
    // What was loaded goes with its descriptor.
    Trial { mode: Mode::Offload, load, refused: result.err() }
}
