//! A prefilter in front of the full program: where it passes, it goes on there by a tail call.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use selvedge_codegen::assembler::Assembler;
use selvedge_codegen::instruction::{FP, Helper, R1, R2, R3, Width};
use selvedge_codegen::{Counter, DeviceProgram};
use selvedge_hw_profiles::profile::MapType;

use crate::bpf::{Functions, MapKind, code, create_map, load_xdp, lookup, update};

/// Where the context is kept, below what prefilters use of the stack.
const CONTEXT: i16 = -64;

/// Both programs as one.
pub(crate) struct Chain {
    program: OwnedFd,
    maps: Vec<OwnedFd>,
    counters: Vec<(Counter, usize)>,
    /// Instructions of the prefilter.
    pub(crate) instructions: usize,
    /// Its maps of addresses.
    pub(crate) tables: usize,
    _next: OwnedFd,
}

impl Chain {
    pub(crate) fn new(prefilter: &DeviceProgram, full: BorrowedFd<'_>) -> Result<Self> {
        ensure!(prefilter.shed.is_empty(), "drops were shed: {}", prefilter.shed[0]);
        let next = create_map(MapKind::Programs, 4, 4, 1).context("an array of programs")?;
        update(next.as_fd(), &[0; 4], &full.as_raw_fd().to_ne_bytes())
            .context("the full program as the next")?;
        let mut maps = Vec::new();
        for map in &prefilter.maps {
            let kind = match map.kind {
                MapType::Array => MapKind::Array,
                MapType::Hash => MapKind::Hash,
            };
            let made = create_map(kind, map.key_size as usize, map.value_size as usize, map.max_entries)?;
            for (key, value) in &map.entries {
                update(made.as_fd(), key, value)?;
            }
            maps.push(made);
        }
        let descriptors: Vec<i32> = maps.iter().map(AsRawFd::as_raw_fd).collect();
        let own = prefilter.code(&descriptors).context("a descriptor for each map")?;
        let program = load_xdp(&chained(&own, &next), &Functions::default()).context("the prefilter")?;
        let size = |counter: &Counter| prefilter.maps[counter.map].value_size as usize;
        Ok(Self {
            program,
            maps,
            counters: prefilter.counters.iter().map(|counter| (*counter, size(counter))).collect(),
            instructions: prefilter.instructions.len(),
            tables: prefilter.maps.iter().filter(|map| map.kind == MapType::Hash).count(),
            _next: next,
        })
    }

    pub(crate) fn program(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    /// Packets that the prefilter dropped.
    pub(crate) fn dropped(&self) -> Result<u64> {
        let mut sum = 0;
        for (Counter { map, element, offset, .. }, size) in &self.counters {
            let mut value = vec![0; *size];
            lookup(self.maps[*map].as_fd(), &element.to_ne_bytes(), &mut value)?;
            let word = value[*offset as usize..].first_chunk().context("a counter in its element")?;
            sum += u64::from(u32::from_ne_bytes(*word));
        }
        Ok(sum)
    }
}

/// The code with a tail call in the place of its last verdict, which is to pass.
fn chained(own: &[u64], next: &OwnedFd) -> Vec<u64> {
    const VERDICT_AND_EXIT: usize = 2;
    let mut begin = Assembler::default();
    begin.store(Width::Double, FP, CONTEXT, R1);
    let mut end = Assembler::default();
    end.load(Width::Double, R1, FP, CONTEXT);
    end.open_map(R2, next.as_raw_fd());
    end.set(R3, 0);
    end.call(Helper::TailCall);
    let body = own.len() - VERDICT_AND_EXIT;
    [&code(begin), &own[..body], &code(end), &own[body..]].concat()
}
