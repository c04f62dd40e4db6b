//! Where drops are counted: words of as few elements as the device's entries allow, because entries are scarce there.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_hw_profiles::profile::MapType;

use super::Emitter;
use crate::assembler::Label;
use crate::instruction::{FP, Helper, If, R0, R1, R2, Width};
use crate::program::{Counter, Map};

/// Bytes of a counter: a word, the most that devices add to at once.
const WORD: u32 = 4;
/// A key of an ARRAY.
const KEY: u32 = 4;
/// Words of one element at most, so that reading one is cheap.
const MOST_WORDS: u32 = 14;

/// Where packets that a rule denies are dropped.
pub(super) type Drops = BTreeMap<u32, Label>;

impl Emitter<'_> {
    /// Makes room for a counter of each rule that denies; the labels of the code that counts them.
    pub(super) fn place_counters(&mut self) -> Drops {
        let blocks = self.matrix.blocks.iter().flat_map(|block| &block.forward);
        let rules: BTreeSet<u32> =
            blocks.filter_map(|(_, outcome)| outcome.rule()).filter(|rule| *rule != 0).collect();
        let limits = self.limits;
        let room = limits.entry.0.saturating_sub(KEY.next_multiple_of(8)).min(limits.value.0) & !7;
        let words = (room / WORD).clamp(1, MOST_WORDS);
        let each = limits.entries_each.0.max(1);
        let elements = (rules.len() as u32).div_ceil(words);
        let base = self.maps.len();
        self.counters = (0..)
            .zip(&rules)
            .map(|(index, rule)| Counter {
                rule: *rule,
                map: base + (index / words / each) as usize,
                element: index / words % each,
                offset: index % words * WORD,
            })
            .collect();
        for first in (0..elements).step_by(each as usize) {
            self.maps.push(Map {
                name: format!("drops_{}", first / each),
                kind: MapType::Array,
                key_size: KEY,
                value_size: words * WORD,
                max_entries: each.min(elements - first),
                entries: Vec::new(),
            });
        }
        rules.into_iter().map(|rule| (rule, self.asm.label())).collect()
    }

    /// Counts each rule's drops, then drops.
    pub(super) fn count(&mut self, drops: &Drops) {
        const ELEMENT: i16 = -4;
        let counters = self.counters.clone();
        for Counter { rule, map, element, offset } in counters {
            let name = self.policies.last().map(|policy| policy.rule_name(rule)).unwrap_or_default();
            self.asm.note(format!("denied by {name}"));
            self.asm.place(drops[&rule]);
            self.asm.store_constant(Width::Word, FP, ELEMENT, element as i32);
            self.asm.local(R2, ELEMENT);
            self.asm.map(R1, map);
            self.asm.call(Helper::MapLookup);
            self.asm.jump(If::Equal, R0, 0, self.drop);
            self.asm.set(R1, 1);
            self.asm.atomic_add(R0, offset as i16, R1);
            self.asm.go(self.drop);
        }
    }
}
