//! One eBPF instruction, as the kernel has it (`struct bpf_insn`, include/uapi/linux/bpf.h), and its parts.

use std::fmt;

/// Class `BPF_LD`: here only a constant, or a map, of 64 bits.
pub const LD: u8 = 0x00;
/// Class `BPF_LDX`: loads.
pub const LDX: u8 = 0x01;
/// Class `BPF_ST`: stores of constants.
pub const ST: u8 = 0x02;
/// Class `BPF_STX`: stores of registers, and atomics.
pub const STX: u8 = 0x03;
/// Class `BPF_ALU`: arithmetic on 32 bits.
pub const ALU: u8 = 0x04;
/// Class `BPF_JMP`: jumps that compare 64 bits, calls, exit.
pub const JMP: u8 = 0x05;
/// Class `BPF_JMP32`: jumps that compare 32 bits.
pub const JMP32: u8 = 0x06;
/// Class `BPF_ALU64`: arithmetic on 64 bits.
pub const ALU64: u8 = 0x07;

/// The operand is a register (`BPF_X`), not the immediate (`BPF_K`).
pub const BY_REGISTER: u8 = 0x08;
/// Mode `BPF_MEM` of loads and stores.
pub const MEM: u8 = 0x60;
/// Mode `BPF_ATOMIC` of stores.
pub const ATOMIC: u8 = 0xc0;
/// `BPF_LD | BPF_IMM | BPF_DW`: takes two instructions.
pub const WIDE: u8 = 0x18;
/// `BPF_JMP | BPF_JA`.
pub const GOTO: u8 = 0x05;
/// `BPF_JMP | BPF_CALL`.
pub const CALL: u8 = 0x85;
/// `BPF_JMP | BPF_EXIT`.
pub const EXIT: u8 = 0x95;

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg(u8);

/// The result of calls and of the program.
pub const R0: Reg = Reg(0);
/// The context; first argument of calls.
pub const R1: Reg = Reg(1);
/// Second argument of calls.
pub const R2: Reg = Reg(2);
/// Lost in calls.
pub const R3: Reg = Reg(3);
/// Lost in calls.
pub const R4: Reg = Reg(4);
/// Lost in calls.
pub const R5: Reg = Reg(5);
/// Kept by calls.
pub const R6: Reg = Reg(6);
/// Kept by calls.
pub const R7: Reg = Reg(7);
/// Kept by calls.
pub const R8: Reg = Reg(8);
/// Kept by calls.
pub const R9: Reg = Reg(9);
/// The frame pointer: locals are at negative offsets.
pub const FP: Reg = Reg(10);

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// Width of a load or store; the numbers are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Four bytes.
    Word = 0x00,
    /// Two bytes.
    Half = 0x08,
    /// One byte.
    Byte = 0x10,
    /// Eight bytes.
    Double = 0x18,
}

impl Width {
    /// Bytes.
    pub const fn bytes(self) -> i16 {
        match self {
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
            Self::Double => 8,
        }
    }

    pub(crate) const fn of(opcode: u8) -> Self {
        match opcode & 0x18 {
            0x00 => Self::Word,
            0x08 => Self::Half,
            0x10 => Self::Byte,
            _ => Self::Double,
        }
    }
}

/// What a conditional jump asks of its operands, without sign; the numbers are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum If {
    /// `==`
    Equal = 0x10,
    /// `!=`
    NotEqual = 0x50,
    /// `>`
    Above = 0x20,
    /// `>=`
    AtLeast = 0x30,
    /// `<`
    Below = 0xa0,
    /// `<=`
    AtMost = 0xb0,
    /// `&`: a bit is set in both.
    Shares = 0x40,
}

impl If {
    pub(crate) fn of(opcode: u8) -> Option<Self> {
        let all = [
            Self::Equal,
            Self::NotEqual,
            Self::Above,
            Self::AtLeast,
            Self::Below,
            Self::AtMost,
            Self::Shares,
        ];
        all.into_iter().find(|condition| *condition as u8 == opcode & 0xf0)
    }

    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Shares => "&",
        }
    }
}

/// A helper of the kernel; the numbers are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Helper {
    /// `bpf_map_lookup_elem`
    MapLookup = 1,
    /// `bpf_tail_call`
    TailCall = 12,
    /// `bpf_redirect`
    Redirect = 23,
}

impl Helper {
    /// As profiles call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MapLookup => "map_lookup_elem",
            Self::TailCall => "tail_call",
            Self::Redirect => "redirect",
        }
    }

    /// The helper with the kernel's number.
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::MapLookup, Self::TailCall, Self::Redirect].into_iter().find(|helper| *helper as i32 == number)
    }
}

/// One instruction: opcode, registers, offset, immediate, from the lowest byte up, as a little-endian machine has
/// `struct bpf_insn` in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Instruction(pub u64);

impl Instruction {
    /// Of its parts.
    pub const fn new(opcode: u8, dst: Reg, src: Reg, offset: i16, immediate: i32) -> Self {
        let registers = (dst.0 | src.0 << 4) as u64;
        let (offset, immediate) = (offset as u16 as u64, immediate as u32 as u64);
        Self(opcode as u64 | registers << 8 | offset << 16 | immediate << 32)
    }

    /// What it does.
    pub const fn opcode(self) -> u8 {
        self.0 as u8
    }

    /// The lowest three bits of the opcode.
    pub const fn class(self) -> u8 {
        self.opcode() & 7
    }

    /// The register that it changes, or compares.
    pub const fn dst(self) -> Reg {
        Reg((self.0 >> 8 & 0xf) as u8)
    }

    /// The other register.
    pub const fn src(self) -> Reg {
        Reg((self.0 >> 12 & 0xf) as u8)
    }

    /// Bytes from a base register; of jumps, instructions from the next one on.
    pub const fn offset(self) -> i16 {
        (self.0 >> 16) as i16
    }

    /// The constant.
    pub const fn immediate(self) -> i32 {
        (self.0 >> 32) as i32
    }

    /// Whether it may go on elsewhere than at the next one.
    pub const fn is_jump(self) -> bool {
        matches!(self.class(), JMP | JMP32) && !matches!(self.opcode(), CALL | EXIT)
    }

    pub(crate) const fn with_offset(self, offset: i16) -> Self {
        Self(self.0 & !(0xffff << 16) | (offset as u16 as u64) << 16)
    }

    /// A wide constant's first half that stands for the map with this descriptor (`BPF_PSEUDO_MAP_FD`).
    pub(crate) const fn of_map(self, descriptor: i32) -> Self {
        const MAP_DESCRIPTOR: Reg = Reg(1);
        Self::new(WIDE, self.dst(), MAP_DESCRIPTOR, 0, descriptor)
    }
}
