//! A small assembler for BPF: the programs that are the floor, the feeder and the kernel's own tables.

use std::os::fd::{AsRawFd, BorrowedFd};

/// A register.
#[derive(Clone, Copy)]
pub(crate) struct Reg(u8);

pub(crate) const R0: Reg = Reg(0);
pub(crate) const R1: Reg = Reg(1);
pub(crate) const R2: Reg = Reg(2);
pub(crate) const R3: Reg = Reg(3);
pub(crate) const R4: Reg = Reg(4);
pub(crate) const R6: Reg = Reg(6);
pub(crate) const R7: Reg = Reg(7);
pub(crate) const R8: Reg = Reg(8);
/// The frame pointer: locals are at negative offsets.
pub(crate) const FP: Reg = Reg(10);

/// Width of a load or store; the numbers are the kernel's.
#[derive(Clone, Copy)]
pub(crate) enum Width {
    Word = 0x00,
    Half = 0x08,
    Byte = 0x10,
    Double = 0x18,
}

/// A conditional jump against a constant.
#[derive(Clone, Copy)]
pub(crate) enum If {
    Equal = 0x15,
    NotEqual = 0x55,
    AtLeast = 0x35,
    Below = 0xa5,
}

/// A helper of the kernel.
#[derive(Clone, Copy)]
pub(crate) enum Helper {
    MapLookup = 1,
    Redirect = 23,
}

/// A place to jump to, before it is known.
#[derive(Clone, Copy)]
pub(crate) struct Label(usize);

/// A program being written. Labels must be placed before [`Assembler::finish`].
#[derive(Default)]
pub(crate) struct Assembler {
    code: Vec<u64>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

fn encode(opcode: u8, dst: Reg, src: Reg, offset: i16, immediate: i32) -> u64 {
    let [low, high] = offset.to_le_bytes();
    let [a, b, c, d] = immediate.to_le_bytes();
    u64::from_le_bytes([opcode, dst.0 | src.0 << 4, low, high, a, b, c, d])
}

impl Assembler {
    fn push(&mut self, opcode: u8, dst: Reg, src: Reg, offset: i16, immediate: i32) {
        self.code.push(encode(opcode, dst, src, offset, immediate));
    }

    pub(crate) fn set(&mut self, dst: Reg, value: i32) {
        self.push(0xb7, dst, R0, 0, value);
    }

    pub(crate) fn copy(&mut self, dst: Reg, src: Reg) {
        self.push(0xbf, dst, src, 0, 0);
    }

    pub(crate) fn add(&mut self, dst: Reg, value: i32) {
        self.push(0x07, dst, R0, 0, value);
    }

    pub(crate) fn add_reg(&mut self, dst: Reg, src: Reg) {
        self.push(0x0f, dst, src, 0, 0);
    }

    pub(crate) fn multiply(&mut self, dst: Reg, value: i32) {
        self.push(0x27, dst, R0, 0, value);
    }

    pub(crate) fn and(&mut self, dst: Reg, value: i32) {
        self.push(0x57, dst, R0, 0, value);
    }

    /// The low 16 bits from network to host byte order, or back.
    /// Turns the low `bits` of a register from network byte order, or into it, and clears the others.
    pub(crate) fn swap(&mut self, dst: Reg, bits: i32) {
        self.push(0xdc, dst, R0, 0, bits);
    }

    pub(crate) fn load(&mut self, width: Width, dst: Reg, base: Reg, offset: i16) {
        self.push(0x61 | width as u8, dst, base, offset, 0);
    }

    pub(crate) fn store(&mut self, width: Width, base: Reg, offset: i16, src: Reg) {
        self.push(0x63 | width as u8, base, src, offset, 0);
    }

    /// Copies `bytes` (a multiple of two) through `scratch`, in the widest steps that fit.
    pub(crate) fn copy_bytes(&mut self, to: (Reg, i16), from: (Reg, i16), bytes: i16, scratch: Reg) {
        let mut at = 0;
        while at < bytes {
            let (width, step) = match bytes - at {
                8.. => (Width::Double, 8),
                4.. => (Width::Word, 4),
                _ => (Width::Half, 2),
            };
            self.load(width, scratch, from.0, from.1 + at);
            self.store(width, to.0, to.1 + at, scratch);
            at += step;
        }
    }

    /// The address of a cell's memory, at `offset`.
    pub(crate) fn cell(&mut self, dst: Reg, cell: BorrowedFd<'_>, offset: i32) {
        const MAP_VALUE: Reg = Reg(2);
        self.push(0x18, dst, MAP_VALUE, 0, cell.as_raw_fd());
        self.push(0, R0, R0, 0, offset);
    }

    /// A map, as helpers want it.
    pub(crate) fn map(&mut self, dst: Reg, map: BorrowedFd<'_>) {
        const MAP_FD: Reg = Reg(1);
        self.push(0x18, dst, MAP_FD, 0, map.as_raw_fd());
        self.push(0, R0, R0, 0, 0);
    }

    pub(crate) fn call(&mut self, helper: Helper) {
        self.push(0x85, R0, R0, 0, helper as i32);
    }

    pub(crate) fn exit(&mut self) {
        self.push(0x95, R0, R0, 0, 0);
    }

    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    pub(crate) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    pub(crate) fn jump(&mut self, condition: If, register: Reg, value: i32, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(condition as u8, register, R0, 0, value);
    }

    /// Jumps where `left` is greater than `right`.
    pub(crate) fn jump_greater(&mut self, left: Reg, right: Reg, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(0x2d, left, right, 0, 0);
    }

    /// The instructions, jumps resolved.
    pub(crate) fn finish(mut self) -> Vec<u64> {
        for (at, label) in self.jumps {
            let target = self.labels[label.0].expect("every label is placed");
            let distance = target as i64 - at as i64 - 1;
            let distance = i16::try_from(distance).expect("these programs are short");
            self.code[at] |= u64::from(distance as u16) << 16;
        }
        self.code
    }
}
