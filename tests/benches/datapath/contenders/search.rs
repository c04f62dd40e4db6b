//! Other shapes of table under our own program: what it calls to look an address up, written anew over a kernel's table.
//!
//! All else is the same, to the instruction: the packet, both ends looked up, policy, counters.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use selvedge_abi::End;
use selvedge_codegen::assembler::Assembler;
use selvedge_codegen::instruction::{FP, Helper, If, R0, R1, R2, R3, Width};
use selvedge_topology::plan::Plan;

use crate::bpf::{self, MapKind, table, update};
use crate::frames::Family;

/// The function that is replaced: `u32 selvedge_search(u32 slot, u64 high, u64 low)`, of an address in two halves, the number of
/// its entry.
pub(super) const FUNCTION: &str = "selvedge_search";

/// That function over another table, which it holds.
pub(super) struct Search {
    pub(super) code: Vec<u64>,
    _table: OwnedFd,
}

impl Search {
    /// The addresses of `plan`, which are all of one family and no prefixes, in a table of this kind. One slot is enough.
    pub(super) fn new(plan: &Plan, family: Family, kind: MapKind) -> Result<Self> {
        let size = key_size(family, kind);
        let table = table(kind, size, plan.addresses.len() as u32)?;
        let mut entries = 0;
        for address in &plan.addresses {
            let is_here =
                plan.workloads.iter().any(|workload| workload.addresses.contains(&address.prefix.addr()));
            // As the agent numbers them: one that is behind the node has an entry of its own.
            let end = if is_here { End::Indexed(entries) } else { End::Elsewhere(address.identity.0) };
            entries += u32::from(is_here);
            let key = key(address.prefix.addr(), kind);
            update(table.as_fd(), &key, &end.to_number().to_ne_bytes()).context("the other table")?;
        }
        Ok(Self { code: code(family, kind, &table), _table: table })
    }
}

fn key_size(family: Family, kind: MapKind) -> usize {
    let address = match family {
        Family::V4 => 4,
        Family::V6 => 16,
    };
    if kind == MapKind::LpmTrie { 4 + address } else { address }
}

/// A trie wants the length of the prefix, and network byte order; for a HASH any order will do, so it is spared the turning.
fn key(address: IpAddr, kind: MapKind) -> Vec<u8> {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    if kind == MapKind::LpmTrie {
        let bits = octets.len() as u32 * 8;
        return [&bits.to_ne_bytes()[..], &octets].concat();
    }
    match address {
        IpAddr::V4(address) => u32::from(address).to_ne_bytes().to_vec(),
        IpAddr::V6(address) => {
            let number = u128::from(address);
            [(number >> 64) as u64, number as u64].map(u64::to_ne_bytes).concat()
        }
    }
}

fn code(family: Family, kind: MapKind, table: &OwnedFd) -> Vec<u64> {
    let mut asm = Assembler::default();
    let none = asm.label();
    let trie = kind == MapKind::LpmTrie;
    match family {
        Family::V4 => {
            asm.jump(If::NotEqual, R2, 0, none);
            if trie {
                asm.swap(R3, 32);
            }
            asm.store(Width::Word, FP, -4, R3);
        }
        Family::V6 => {
            asm.jump(If::Equal, R2, 0, none);
            if trie {
                asm.swap(R2, 64);
                asm.swap(R3, 64);
            }
            asm.store(Width::Double, FP, -16, R2);
            asm.store(Width::Double, FP, -8, R3);
        }
    }
    let size = key_size(family, kind) as i16;
    if trie {
        asm.set(R1, i32::from(size - 4) * 8);
        asm.store(Width::Word, FP, -size, R1);
    }
    asm.open_map(R1, table.as_raw_fd());
    asm.copy(R2, FP);
    asm.add(R2, i32::from(-size));
    asm.call(Helper::MapLookup);
    asm.jump(If::Equal, R0, 0, none);
    asm.load(Width::Word, R0, R0, 0);
    asm.exit();
    asm.place(none);
    asm.set(R0, 0);
    asm.exit();
    bpf::code(asm)
}
