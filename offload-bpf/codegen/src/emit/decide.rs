//! From a pair of groups to its block, and from the packet's keys to what becomes of it.

use std::collections::{BTreeMap, BTreeSet};

use super::counters::Drops;
use super::{ANSWERS, ASKS, DESTINATION, Emitter, KEY, OPENS, merged};
use crate::assembler::Label;
use crate::instruction::{If, R1, Reg};
use crate::matrix::{Block, LEFT};
use crate::outcome::{Outcome, Outcomes};
use crate::program::Kind;

/// The group of the source: found last, so no call takes it away.
pub(super) const SOURCE: Reg = R1;

impl Emitter<'_> {
    /// Leads [`DESTINATION`] and [`SOURCE`] to a block, and through it to what becomes of the packet.
    pub(super) fn decide(&mut self, drops: &Drops) {
        let matrix = self.matrix;
        let used: BTreeSet<u32> = matrix.cells.iter().flatten().copied().collect();
        let mut blocks: BTreeMap<u32, Label> = BTreeMap::from([(LEFT, self.pass)]);
        for block in used.iter().filter(|block| **block != LEFT) {
            blocks.insert(*block, self.asm.label());
        }
        let rows: Vec<Label> = matrix.cells.iter().map(|_| self.asm.label()).collect();
        self.asm.note("who to");
        let labels =
            rows.iter().enumerate().map(|(group, label)| if group == 0 { self.pass } else { *label });
        let labels = merged((0..).zip(labels));
        self.search(DESTINATION, &labels);
        for (group, row) in matrix.cells.iter().enumerate().skip(1) {
            self.asm.note(format!("to destination group {group}: who from"));
            self.asm.place(rows[group]);
            let items = merged((0..).zip(row.iter().map(|block| blocks[block])));
            self.search(SOURCE, &items);
        }
        for block in used.into_iter().filter(|block| *block != LEFT) {
            self.asm.note(format!("block {block}: {}", self.pairs(block)));
            self.asm.place(blocks[&block]);
            self.block(&matrix.blocks[block as usize], drops);
        }
    }

    /// Who is meant by a block.
    fn pairs(&self, block: u32) -> String {
        let rows = self.matrix.cells.iter().enumerate().filter_map(|(to, row)| {
            let from: Vec<String> = row
                .iter()
                .enumerate()
                .filter(|(_, of)| **of == block)
                .map(|(from, _)| from.to_string())
                .collect();
            (!from.is_empty()).then(|| format!("to group {to} from group {}", from.join(", ")))
        });
        rows.collect::<Vec<_>>().join("; ")
    }

    fn block(&mut self, block: &Block, drops: &Drops) {
        self.answers(&block.reverse);
        for (start, outcome) in &block.forward {
            self.asm.note(format!("from {}: {}", show_key(*start), self.show(*outcome)));
        }
        let mut stubs: BTreeMap<u32, Label> = BTreeMap::new();
        let mut items = Vec::new();
        for (start, outcome) in &block.forward {
            let label = match outcome {
                Outcome::Left => self.pass,
                Outcome::Denied(rule) => self.dropped(drops, *rule),
                Outcome::DeniedNew(rule) => *stubs.entry(*rule).or_insert_with(|| self.asm.label()),
            };
            items.push((*start, label));
        }
        self.search(KEY, &merged(items));
        for (rule, stub) in stubs {
            self.asm.note(format!("{} denies new ones only", self.rule(rule)));
            self.asm.place(stub);
            let dropped = self.dropped(drops, rule);
            self.asm.jump_word(If::Equal, ANSWERS, OPENS as u32, dropped);
            self.asm.go(self.pass);
        }
    }

    /// Passes what may be an answer; goes on with all else.
    fn answers(&mut self, reverse: &Outcomes) {
        let is_left = |outcome: &Outcome| *outcome == Outcome::Left;
        if !reverse.iter().any(|(_, outcome)| is_left(outcome)) {
            return;
        }
        if reverse.iter().all(|(_, outcome)| is_left(outcome)) {
            self.asm.note("what is no opening may be an answer");
            self.asm.jump_word(If::Below, ANSWERS, ASKS as u32, self.pass);
            return;
        }
        let forward = self.asm.label();
        self.asm.jump_word(If::AtLeast, ANSWERS, ASKS as u32, forward);
        for (start, outcome) in reverse {
            let may = if is_left(outcome) {
                "may have been opened, so this may be an answer"
            } else {
                "can't have been opened"
            };
            self.asm.note(format!("the other way from {}: {may}", show_key(*start)));
        }
        let label = |outcome: &Outcome, pass| if is_left(outcome) { pass } else { forward };
        let items = merged(reverse.iter().map(|(start, outcome)| (*start, label(outcome, self.pass))));
        self.search(ANSWERS, &items);
        self.asm.place(forward);
    }

    fn dropped(&self, drops: &Drops, rule: u32) -> Label {
        drops.get(&rule).copied().unwrap_or(self.drop)
    }

    fn rule(&self, rule: u32) -> String {
        self.policies.last().map(|policy| policy.rule_name(rule)).unwrap_or_default()
    }

    fn show(&self, outcome: Outcome) -> String {
        match outcome {
            Outcome::Left if self.kind == Kind::Prefilter => "left".to_owned(),
            Outcome::Left => "passes".to_owned(),
            Outcome::Denied(0) => "dropped".to_owned(),
            Outcome::Denied(rule) | Outcome::DeniedNew(rule) => format!("denied by {}", self.rule(rule)),
        }
    }
}

/// A layer-4 key, as people write it.
fn show_key(key: u32) -> String {
    let (protocol, low) = (key >> 16, key & 0xffff);
    let [icmp_type, code] = (low as u16).to_be_bytes();
    match protocol {
        _ if key == 0 => "the first key".to_owned(),
        1 => format!("ICMP type {icmp_type} code {code}"),
        6 => format!("TCP {low}"),
        17 => format!("UDP {low}"),
        58 => format!("ICMPv6 type {icmp_type} code {code}"),
        132 => format!("SCTP {low}"),
        other => format!("protocol {other}"),
    }
}
