//! From addresses to groups: a decision tree for few runs, one exact-match map per prefix length for many.

use std::collections::BTreeMap;
use std::ops::Range;

use selvedge_hw_profiles::profile::MapType;

use super::{Emitter, FRAME, merged};
use crate::assembler::Label;
use crate::instruction::{FP, Helper, If, R0, R1, R2, R3, Reg, Width};
use crate::matrix::{Directory, LEFT};
use crate::policy::Family;
use crate::prefixes::Labelled;
use crate::program::Map;

/// Runs of addresses that a decision tree is still better for than maps.
const STRAIGHT: usize = 64;
/// Bits of the words that addresses are compared by.
const WORD: u32 = 32;

/// One of the addresses of a packet.
#[derive(Clone, Copy)]
pub(super) struct Address {
    pub(super) family: Family,
    /// Where it is in the frame.
    pub(super) at: i16,
    /// What it is called, in notes and in the names of maps.
    pub(super) name: &'static str,
    /// Where its group goes.
    pub(super) group: Reg,
}

impl Emitter<'_> {
    /// Finds the group of an address, and goes on at `found`.
    pub(super) fn address(&mut self, address: Address, directory: &Directory, found: Label) {
        let Address { family, name, .. } = address;
        self.asm.note(format!("{family} {name}"));
        if directory.runs.len() <= STRAIGHT || !self.has_room_for(directory) {
            let mut groups: BTreeMap<u32, Label> = BTreeMap::from([(LEFT, self.pass)]);
            for (_, group) in &directory.runs {
                groups.entry(*group).or_insert_with(|| self.asm.label());
            }
            self.tree(address, 0, &directory.runs, (0, family.last()), &groups);
            self.set_groups(address, directory, &groups, found);
        } else {
            self.maps(address, directory, found);
        }
    }

    fn set_groups(
        &mut self,
        address: Address,
        directory: &Directory,
        groups: &BTreeMap<u32, Label>,
        found: Label,
    ) {
        for (group, label) in groups.iter().filter(|(group, _)| **group != LEFT) {
            self.asm.note(format!(
                "{} group {group}: {}",
                address.name,
                prefixes(address.family, directory, *group)
            ));
            self.asm.place(*label);
            self.asm.set(address.group, *group as i32);
            self.asm.go(found);
        }
    }

    /// Whether the device has tables for it, beside those that the program has already.
    fn has_room_for(&self, directory: &Directory) -> bool {
        let limits = self.limits;
        let lengths = by_length(directory);
        let most = lengths.values().map(Vec::len).max().unwrap_or_default();
        let entries: usize = lengths.values().map(Vec::len).sum();
        let taken: u32 = self.maps.iter().map(|map| map.max_entries).sum();
        limits.map_types.contains(&MapType::Hash)
            && limits.helpers.contains(Helper::MapLookup.name())
            && self.maps.len() + lengths.len() <= limits.maps.0 as usize
            && most as u64 <= u64::from(limits.entries_each.0)
            && entries as u64 + u64::from(taken) <= u64::from(limits.entries.0)
    }

    /// A decision tree over the word at `depth` of the addresses `within`, which agree in the words before; where a word does not
    /// decide, one over the next word.
    fn tree(
        &mut self,
        address: Address,
        depth: u32,
        runs: &[(u128, u32)],
        within: (u128, u128),
        groups: &BTreeMap<u32, Label>,
    ) {
        let shift = u32::from(address.family.width()) - (depth + 1) * WORD;
        let word = |address: u128| (address >> shift) as u32;
        let parts = parts(runs, within, shift);
        let mut deeper: Vec<(Label, Part)> = Vec::new();
        let mut items = Vec::new();
        for part in parts {
            let label = match runs[part.runs.clone()] {
                [(_, group)] => groups[&group],
                _ => self.asm.label(),
            };
            items.push((word(part.first), label));
            if part.runs.len() > 1 {
                deeper.push((label, part));
            }
        }
        let items = merged(items);
        if items.len() > 1 {
            self.asm.load(Width::Word, R1, FRAME, address.at + (depth * WORD / 8) as i16);
            self.asm.swap(R1, 32);
        }
        self.search(R1, &items);
        for (label, Part { first, runs: range, last }) in deeper {
            self.asm.place(label);
            self.tree(address, depth + 1, &runs[range], (first, last), groups);
        }
    }

    /// Asks the maps, the longest prefixes first.
    fn maps(&mut self, address: Address, directory: &Directory, found: Label) {
        const KEY: i16 = -16;
        let bytes = i16::from(address.family.width()) / 8;
        let default = directory.nested.first().map_or(0, |all| all.label);
        for (length, prefixes) in by_length(directory).into_iter().rev() {
            let map = self.maps.len();
            self.maps.push(table(address, length, &prefixes));
            let longer = self.asm.label();
            self.asm.note(format!("{} {} prefixes of {length} bits", prefixes.len(), address.name));
            for at in (0..bytes).step_by(4) {
                let bits = u32::from(length).saturating_sub(at as u32 * 8).min(WORD);
                self.masked_word(address.at + at, KEY + at, bits);
            }
            self.asm.local(R2, KEY);
            self.asm.map(R1, map);
            self.asm.call(Helper::MapLookup);
            self.asm.jump(If::Equal, R0, 0, longer);
            self.asm.load(Width::Word, address.group, R0, 0);
            self.asm.go(found);
            self.asm.place(longer);
        }
        self.asm.note(format!("all other {} addresses", address.name));
        self.asm.set(address.group, default as i32);
        self.asm.go(found);
    }

    /// The first `bits` of a word of the frame, the others zero, to the stack.
    fn masked_word(&mut self, from: i16, to: i16, bits: u32) {
        if bits == 0 {
            self.asm.store_constant(Width::Word, FP, to, 0);
            return;
        }
        self.asm.load(Width::Word, R3, FRAME, from);
        if bits < WORD {
            // The frame is in network byte order, and so the mask.
            self.asm.and(R3, (u32::MAX << (WORD - bits)).swap_bytes() as i32);
        }
        self.asm.store(Width::Word, FP, to, R3);
    }
}

/// A part of the addresses that one comparison of a word tells from the others.
struct Part {
    first: u128,
    /// The runs in it.
    runs: Range<usize>,
    last: u128,
}

/// Parts of the addresses from `first` to `last`: of whole values of the word above `shift`, each of one run; or of one value, with
/// several.
fn parts(runs: &[(u128, u32)], (first, last): (u128, u128), shift: u32) -> Vec<Part> {
    let low = (1_u128 << shift) - 1;
    let mut parts: Vec<Part> = Vec::new();
    let mut at = first;
    while at <= last {
        let run = runs.partition_point(|(first, _)| *first <= at) - 1;
        let value_end = at | low;
        let run_end = runs.get(run + 1).map_or(last, |(next, _)| next - 1);
        let part = if run_end < value_end {
            let beyond = runs.partition_point(|(first, _)| *first <= value_end);
            Part { first: at, runs: run..beyond, last: value_end }
        } else {
            let whole = if run_end & low == low { run_end } else { (run_end & !low) - 1 };
            Part { first: at, runs: run..run + 1, last: whole }
        };
        let next = part.last.checked_add(1);
        parts.push(part);
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    parts
}

/// The prefixes of each length but the whole family.
fn by_length(directory: &Directory) -> BTreeMap<u8, Vec<&Labelled<u32>>> {
    let mut lengths: BTreeMap<u8, Vec<&Labelled<u32>>> = BTreeMap::new();
    for prefix in directory.nested.iter().filter(|prefix| prefix.length > 0) {
        lengths.entry(prefix.length).or_default().push(prefix);
    }
    lengths
}

fn table(address: Address, length: u8, prefixes: &[&Labelled<u32>]) -> Map {
    let version = match address.family {
        Family::V4 => 4,
        Family::V6 => 6,
    };
    let entry = |prefix: &&Labelled<u32>| {
        let key = match address.family {
            Family::V4 => (prefix.network as u32).to_be_bytes().to_vec(),
            Family::V6 => prefix.network.to_be_bytes().to_vec(),
        };
        (key, prefix.label.to_ne_bytes().to_vec())
    };
    Map {
        // `source4_24`, `dest6_128`: within the 15 bytes that a name may have.
        name: format!("{}{version}_{length}", &address.name[..address.name.len().min(6)]),
        kind: MapType::Hash,
        key_size: u32::from(address.family.width()) / 8,
        value_size: 4,
        max_entries: prefixes.len() as u32,
        entries: prefixes.iter().map(entry).collect(),
    }
}

/// The first prefixes of a group, as people write them.
fn prefixes(family: Family, directory: &Directory, group: u32) -> String {
    const MOST: usize = 4;
    let of_group: Vec<_> = directory.nested.iter().filter(|prefix| prefix.label == group).collect();
    let mut shown: Vec<String> =
        of_group.iter().take(MOST).map(|prefix| family.show(prefix.network, prefix.length)).collect();
    if of_group.len() > MOST {
        shown.push(format!("{} more", of_group.len() - MOST));
    }
    shown.join(", ")
}
