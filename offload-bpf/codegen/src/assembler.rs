//! Writing a program: instructions, labels to jump to, and notes for whoever reads it.

use std::os::fd::RawFd;

use crate::instruction::{
    ALU64, ATOMIC, BY_REGISTER, CALL, EXIT, FP, GOTO, Helper, If, Instruction, JMP, JMP32, LDX, MEM, R0, R1,
    R2, Reg, ST, STX, WIDE, Width,
};
use crate::program::{Note, Relocation};

/// `BPF_PSEUDO_MAP_FD`, in the place of a register.
const MAP_DESCRIPTOR: Reg = R1;
/// `BPF_PSEUDO_MAP_VALUE`.
const MAP_VALUE: Reg = R2;

/// A place to jump to, before it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(usize);

/// A program that can't be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// A jump over more instructions than its offset has bits for.
    #[error("the jump at instruction {at} is over {distance} instructions, and one reaches {}", i16::MAX)]
    TooFar {
        /// The jump.
        at: usize,
        /// How far it would be.
        distance: i64,
    },
    /// A jump to a label that was never placed.
    #[error("the jump at instruction {at} goes nowhere")]
    Nowhere {
        /// The jump.
        at: usize,
    },
}

/// What [`Assembler::finish`] makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// The instructions, jumps resolved.
    pub instructions: Vec<Instruction>,
    /// Where maps are named.
    pub relocations: Vec<Relocation>,
    /// What was noted.
    pub notes: Vec<Note>,
}

/// A program being written. Labels must be placed before [`Assembler::finish`].
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    code: Vec<Instruction>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
    relocations: Vec<Relocation>,
    notes: Vec<Note>,
}

impl Assembler {
    /// Instructions so far.
    pub fn length(&self) -> usize {
        self.code.len()
    }

    /// Says what the instructions from here on are for.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(Note { instruction: self.code.len(), text: text.into() });
    }

    fn push(&mut self, opcode: u8, dst: Reg, src: Reg, offset: i16, immediate: i32) {
        self.code.push(Instruction::new(opcode, dst, src, offset, immediate));
    }

    fn operate(&mut self, operation: u8, dst: Reg, value: i32) {
        self.push(ALU64 | operation, dst, R0, 0, value);
    }

    /// `dst = value`
    pub fn set(&mut self, dst: Reg, value: i32) {
        self.operate(0xb0, dst, value);
    }

    /// `dst = src`
    pub fn copy(&mut self, dst: Reg, src: Reg) {
        self.push(ALU64 | BY_REGISTER | 0xb0, dst, src, 0, 0);
    }

    /// `dst += value`
    pub fn add(&mut self, dst: Reg, value: i32) {
        self.operate(0x00, dst, value);
    }

    /// `dst += src`
    pub fn add_reg(&mut self, dst: Reg, src: Reg) {
        self.push(ALU64 | BY_REGISTER, dst, src, 0, 0);
    }

    /// `dst *= value`
    pub fn multiply(&mut self, dst: Reg, value: i32) {
        self.operate(0x20, dst, value);
    }

    /// `dst &= value`
    pub fn and(&mut self, dst: Reg, value: i32) {
        self.operate(0x50, dst, value);
    }

    /// `dst |= src`
    pub fn or_reg(&mut self, dst: Reg, src: Reg) {
        self.push(ALU64 | BY_REGISTER | 0x40, dst, src, 0, 0);
    }

    /// `dst <<= bits`
    pub fn shift_left(&mut self, dst: Reg, bits: i32) {
        self.operate(0x60, dst, bits);
    }

    /// `dst >>= bits`
    pub fn shift_right(&mut self, dst: Reg, bits: i32) {
        self.operate(0x70, dst, bits);
    }

    /// Turns the low `bits` of a register from network byte order, or into it, and clears the others.
    pub fn swap(&mut self, dst: Reg, bits: i32) {
        const TO_NETWORK_ORDER: u8 = 0xdc;
        self.push(TO_NETWORK_ORDER, dst, R0, 0, bits);
    }

    /// `dst = *(base + offset)`
    pub fn load(&mut self, width: Width, dst: Reg, base: Reg, offset: i16) {
        self.push(LDX | MEM | width as u8, dst, base, offset, 0);
    }

    /// `*(base + offset) = src`
    pub fn store(&mut self, width: Width, base: Reg, offset: i16, src: Reg) {
        self.push(STX | MEM | width as u8, base, src, offset, 0);
    }

    /// `*(base + offset) = value`
    pub fn store_constant(&mut self, width: Width, base: Reg, offset: i16, value: i32) {
        self.push(ST | MEM | width as u8, base, R0, offset, value);
    }

    /// `*(u32 *)(base + offset) += src`, at once
    pub fn atomic_add(&mut self, base: Reg, offset: i16, src: Reg) {
        self.push(STX | ATOMIC | Width::Word as u8, base, src, offset, 0);
    }

    /// Copies `bytes` (a multiple of two) through `scratch`, in the widest steps that fit.
    pub fn copy_bytes(&mut self, to: (Reg, i16), from: (Reg, i16), bytes: i16, scratch: Reg) {
        let mut at = 0;
        while at < bytes {
            let width = match bytes - at {
                8.. => Width::Double,
                4.. => Width::Word,
                _ => Width::Half,
            };
            self.load(width, scratch, from.0, from.1 + at);
            self.store(width, to.0, to.1 + at, scratch);
            at += width.bytes();
        }
    }

    /// A constant of 64 bits; `kind` says what it stands for (`BPF_PSEUDO_*`).
    fn wide(&mut self, dst: Reg, kind: Reg, low: i32, high: i32) {
        self.push(WIDE, dst, kind, 0, low);
        self.push(0, R0, R0, 0, high);
    }

    /// The map that the program's list has at `map`, as helpers want it; the loader says which it is.
    pub fn map(&mut self, dst: Reg, map: usize) {
        self.relocations.push(Relocation { instruction: self.code.len(), map });
        self.wide(dst, R0, 0, 0);
    }

    /// A map of this process.
    pub fn open_map(&mut self, dst: Reg, map: RawFd) {
        self.wide(dst, MAP_DESCRIPTOR, map, 0);
    }

    /// The address of the first value of an ARRAY of this process, at `offset`. No device takes it.
    pub fn open_value(&mut self, dst: Reg, map: RawFd, offset: i32) {
        self.wide(dst, MAP_VALUE, map, offset);
    }

    /// `dst` is the address of local memory, at a negative offset.
    pub fn local(&mut self, dst: Reg, offset: i16) {
        self.copy(dst, FP);
        self.add(dst, offset.into());
    }

    /// Calls a helper: arguments in [`crate::instruction::R1`] and following, the result in [`R0`].
    pub fn call(&mut self, helper: Helper) {
        self.push(CALL, R0, R0, 0, helper as i32);
    }

    /// Ends the program with the verdict in [`R0`].
    pub fn exit(&mut self) {
        self.push(EXIT, R0, R0, 0, 0);
    }

    /// A label, to be placed.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label is here.
    pub fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    /// Jumps where all 64 bits of the register are so; `value` is extended by its sign.
    pub fn jump(&mut self, condition: If, register: Reg, value: i32, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(JMP | condition as u8, register, R0, 0, value);
    }

    /// Jumps where the low 32 bits of the register are so.
    pub fn jump_word(&mut self, condition: If, register: Reg, value: u32, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(JMP32 | condition as u8, register, R0, 0, value as i32);
    }

    /// Jumps where all 64 bits of two registers are so.
    pub fn jump_reg(&mut self, condition: If, left: Reg, right: Reg, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(JMP | BY_REGISTER | condition as u8, left, right, 0, 0);
    }

    /// Goes on at the label.
    pub fn go(&mut self, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(GOTO, R0, R0, 0, 0);
    }

    /// The program, jumps resolved.
    pub fn finish(mut self) -> Result<Assembled, AssembleError> {
        for (at, label) in self.jumps {
            let target = self.labels[label.0].ok_or(AssembleError::Nowhere { at })?;
            let distance = target as i64 - at as i64 - 1;
            let offset = i16::try_from(distance).map_err(|_| AssembleError::TooFar { at, distance })?;
            self.code[at] = self.code[at].with_offset(offset);
        }
        let Self { code: instructions, relocations, notes, .. } = self;
        Ok(Assembled { instructions, relocations, notes })
    }
}
