//! A matrix of groups and blocks as instructions.
//!
//! In this order: the frame is read ([`frame`]), to the layer-4 key of the packet and that of the connection that it may be an
//! answer in; the groups of its addresses are found ([`addresses`]), by a decision tree or in maps; the pair of groups leads to a
//! block ([`decide`]), which is a decision tree over the keys; what is dropped is counted ([`counters`]).

mod addresses;
mod counters;
mod decide;
mod frame;
mod strict;

use std::collections::BTreeMap;

use selvedge_hw_profiles::units::Instructions;

use crate::assembler::{AssembleError, Assembled, Assembler, Label};
use crate::check::Violation;
use crate::instruction::{If, R0, R6, R7, R8, R9, Reg};
use crate::limits::Limits;
use crate::matrix::Matrix;
use crate::policy::{Family, PortPolicy};
use crate::program::{Counter, DeviceProgram, Kind, Map};

/// The first byte of the frame.
const FRAME: Reg = R6;
/// The layer-4 key by which policy judges the packet itself.
const KEY: Reg = R7;
/// The layer-4 key of a connection in which the packet is an answer, or one of the next two.
const ANSWERS: Reg = R8;
/// The group of the destination.
const DESTINATION: Reg = R9;

/// In [`ANSWERS`]: no answer, and what went before does not count: a SYN, an INIT, ICMP that belongs to no connection.
const OPENS: i32 = i32::MAX;
/// In [`ANSWERS`]: no answer, but maybe of a connection that it opened before: an echo request.
const ASKS: i32 = i32::MAX - 1;

/// `XDP_DROP`
const DROP: i32 = 1;
/// `XDP_PASS`
const PASS: i32 = 2;

/// A program while it is written.
struct Emitter<'a> {
    asm: Assembler,
    /// All of which have to agree to a drop.
    policies: &'a [&'a PortPolicy],
    matrix: &'a Matrix,
    limits: &'a Limits,
    maps: Vec<Map>,
    counters: Vec<Counter>,
    kind: Kind,
    /// Where packets are passed on; those that can't be read with certainty, too.
    pass: Label,
    /// Where those go that end before their transport header does.
    truncated: Label,
    /// Where they are dropped, counted or not.
    drop: Label,
}

/// The program of kind `kind` that a matrix makes, its drops counted or not.
pub(crate) fn emit(
    kind: Kind,
    policies: &[&PortPolicy],
    matrix: &Matrix,
    limits: &Limits,
    counting: Counting,
) -> Result<DeviceProgram, Violation> {
    let mut asm = Assembler::default();
    let (pass, drop) = (asm.label(), asm.label());
    let truncated = match kind {
        Kind::Prefilter => pass,
        Kind::Complete => drop,
    };
    let (maps, counters) = (Vec::new(), Vec::new());
    let mut emitter = Emitter { asm, policies, matrix, limits, maps, counters, kind, pass, truncated, drop };
    if kind == Kind::Complete || emitter.drops_any() {
        emitter.write(counting);
    }
    emitter.finish()
}

/// Whether drops are counted by rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    ByRule,
    Nothing,
}

impl Emitter<'_> {
    /// Whether policy drops anything.
    fn drops_any(&self) -> bool {
        Family::BOTH.into_iter().any(|family| self.matrix.drops_any(family))
    }

    fn write(&mut self, counting: Counting) {
        let rules = match counting {
            Counting::ByRule => self.place_counters(),
            Counting::Nothing => BTreeMap::new(),
        };
        self.frame();
        if self.drops_any() {
            self.decide(&rules);
            self.count(&rules);
        }
        self.asm.note("dropped");
        let drop = self.drop;
        self.asm.place(drop);
        self.asm.set(R0, DROP);
        self.asm.exit();
    }

    fn finish(mut self) -> Result<DeviceProgram, Violation> {
        self.asm.note(match self.kind {
            Kind::Prefilter => "left to the full program",
            Kind::Complete => "passed, or left to the full program",
        });
        self.asm.place(self.pass);
        self.asm.set(R0, PASS);
        self.asm.exit();
        let has = Instructions(u32::try_from(self.asm.length()).unwrap_or(u32::MAX));
        let most = self.limits.instructions;
        let Assembled { instructions, relocations, notes } =
            self.asm.finish().map_err(|error| match error {
                AssembleError::TooFar { .. } => Violation::Instructions { has, most },
                AssembleError::Nowhere { at } => {
                    Violation::Instruction { at, opcode: 0, why: "jumps nowhere" }
                }
            })?;
        let Self { maps, counters, kind, .. } = self;
        Ok(DeviceProgram { kind, instructions, relocations, maps, counters, shed: Vec::new(), notes })
    }

    /// Jumps to the label of the last of `items` whose first value is at most what `register` has. The first one's value is zero.
    fn search(&mut self, register: Reg, items: &[(u32, Label)]) {
        match items {
            [] => {}
            [(_, only)] => self.asm.go(*only),
            [.., (start, last)] if items.len() == 2 || items.len() == 3 => {
                self.asm.jump_word(If::AtLeast, register, *start, *last);
                self.search(register, &items[..items.len() - 1]);
            }
            _ => {
                let (low, high) = items.split_at(items.len() / 2);
                let upper = self.asm.label();
                self.asm.jump_word(If::AtLeast, register, high[0].0, upper);
                self.search(register, low);
                self.asm.place(upper);
                self.search(register, high);
            }
        }
    }
}

/// Items without those that lead where the one before leads.
fn merged(items: impl IntoIterator<Item = (u32, Label)>) -> Vec<(u32, Label)> {
    let mut merged: Vec<(u32, Label)> = Vec::new();
    for (start, label) in items {
        if merged.last().is_none_or(|(_, last)| *last != label) {
            merged.push((start, label));
        }
    }
    merged
}
