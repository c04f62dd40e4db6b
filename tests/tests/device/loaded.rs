//! A device program in this kernel, bound to no device: the very bytecode, run by `BPF_PROG_TEST_RUN`.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use selvedge_codegen::{Counter, DeviceProgram};
use selvedge_hw_profiles::profile::MapType;
use selvedge_tests::bpf::{Functions, MapKind, create_map, load_xdp, lookup, test_run, update};

/// A loaded program and its maps.
pub(super) struct Loaded {
    program: OwnedFd,
    maps: Vec<OwnedFd>,
    counters: Vec<(Counter, u32)>,
}

impl Loaded {
    /// Makes the maps, fills them, and loads the program.
    pub(super) fn new(program: &DeviceProgram) -> Self {
        let maps: Vec<OwnedFd> = program.maps.iter().map(make).collect();
        let descriptors: Vec<_> = maps.iter().map(AsRawFd::as_raw_fd).collect();
        let code = program.code(&descriptors).unwrap();
        let loaded = load_xdp(&code, &Functions::default())
            .unwrap_or_else(|error| panic!("the verifier refuses it (as root?): {error}\n{program}"));
        let size = |counter: &Counter| program.maps[counter.map].value_size;
        let counters = program.counters.iter().map(|counter| (*counter, size(counter))).collect();
        Self { program: loaded, maps, counters }
    }

    /// Whether it drops a frame.
    pub(super) fn drops(&self, frame: &[u8]) -> bool {
        match test_run(self.program.as_fd(), frame, 1, 1).unwrap().verdict {
            1 => true,
            2 => false,
            other => panic!("the program returned {other}"),
        }
    }

    /// What it has counted, by rule; only what is not zero.
    pub(super) fn counted(&self) -> BTreeMap<u32, u64> {
        let counts = self.counters.iter().map(|(counter, size)| {
            let mut value = vec![0; *size as usize];
            lookup(self.maps[counter.map].as_fd(), &counter.element.to_ne_bytes(), &mut value).unwrap();
            let word = value[counter.offset as usize..][..4].try_into().unwrap();
            (counter.rule, u64::from(u32::from_ne_bytes(word)))
        });
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

fn make(map: &selvedge_codegen::Map) -> OwnedFd {
    let kind = match map.kind {
        MapType::Array => MapKind::Array,
        MapType::Hash => MapKind::Hash,
    };
    let made = create_map(kind, map.key_size as usize, map.value_size as usize, map.max_entries).unwrap();
    for (key, value) in &map.entries {
        update(made.as_fd(), key, value).unwrap();
    }
    made
}
