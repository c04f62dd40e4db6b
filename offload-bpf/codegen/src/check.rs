//! Whether a program is one that the device takes. Drivers check less than devices do (netdevsim takes any helper), so nothing
//! goes to a device that was not checked here.

mod maps;

use std::collections::BTreeSet;

use selvedge_hw_profiles::profile::{MapType, Verdict};
use selvedge_hw_profiles::units::{Bytes, Entries, Instructions, Maps};

use crate::instruction::{
    ALU, ALU64, ATOMIC, BY_REGISTER, CALL, EXIT, FP, Helper, If, Instruction, JMP, JMP32, LDX, MEM, R0, ST,
    STX, WIDE, Width,
};
use crate::limits::Limits;
use crate::program::{Counter, DeviceProgram, Relocation};

/// Why a device does not take a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Too long.
    #[error("the program would have {has}, and the device takes {most}")]
    Instructions {
        /// How long it is.
        has: Instructions,
        /// How long it may be.
        most: Instructions,
    },
    /// Too many maps.
    #[error("the program would have {has}, and the device takes {most}")]
    Maps {
        /// How many there are.
        has: Maps,
        /// How many there may be.
        most: Maps,
    },
    /// Too many entries in one map.
    #[error("map {map} would have {has}, and the device takes {most} in one map")]
    EntriesEach {
        /// The map.
        map: String,
        /// How many it has.
        has: Entries,
        /// How many it may have.
        most: Entries,
    },
    /// Too many entries in all maps.
    #[error("the maps would have {has} together, and the device takes {most}")]
    Entries {
        /// How many they have.
        has: Entries,
        /// How many they may have.
        most: Entries,
    },
    /// A key that is too long.
    #[error("map {map} has keys of {has}, and the device takes {most}")]
    Key {
        /// The map.
        map: String,
        /// Bytes of a key.
        has: Bytes,
        /// Bytes that it may have.
        most: Bytes,
    },
    /// A value that is too long.
    #[error("map {map} has values of {has}, and the device takes {most}")]
    Value {
        /// The map.
        map: String,
        /// Bytes of a value.
        has: Bytes,
        /// Bytes that it may have.
        most: Bytes,
    },
    /// Key and value are too long together.
    #[error("map {map} has keys and values of {has}, each rounded up to 8 B, and the device takes {most}")]
    Entry {
        /// The map.
        map: String,
        /// Bytes of an entry.
        has: Bytes,
        /// Bytes that it may have.
        most: Bytes,
    },
    /// A kind of map that the device does not have.
    #[error("map {map} is of the kind {}, which the device does not have", kind.name())]
    MapType {
        /// The map.
        map: String,
        /// Its kind.
        kind: MapType,
    },
    /// A map that contradicts itself: a name that is too long, an ARRAY whose keys are no indexes, an entry of another size
    /// or beyond the end, no entries at all, or two of one key.
    #[error("map {map} can't be made: {why}")]
    Map {
        /// The map.
        map: String,
        /// What is wrong.
        why: &'static str,
    },
    /// An instruction that the device does not run.
    #[error("instruction {at} (opcode {opcode:#04x}): {why}")]
    Instruction {
        /// Where.
        at: usize,
        /// Its opcode.
        opcode: u8,
        /// What is wrong.
        why: &'static str,
    },
    /// A helper that the device does not have.
    #[error("instruction {at} calls helper {number}, which the device does not have")]
    Helper {
        /// Where.
        at: usize,
        /// The kernel's number.
        number: i32,
    },
    /// Local memory beyond the stack.
    #[error("instruction {at} reaches {has} down the stack, and the device has {most}")]
    Stack {
        /// Where.
        at: usize,
        /// How far.
        has: Bytes,
        /// How far it may.
        most: Bytes,
    },
    /// A verdict that the device does not carry out, or none that can be read off.
    #[error("the program ends at instruction {at} without a verdict that the device carries out")]
    Verdict {
        /// Where.
        at: usize,
    },
    /// A relocation that is not at a wide constant, or names no map; or a counter that is nowhere.
    #[error("relocation or counter {index} names what is not there")]
    Dangling {
        /// Its index in its list.
        index: usize,
    },
}

/// Whether the device that `limits` are of takes `program`: the first thing that it would not.
pub fn check(program: &DeviceProgram, limits: &Limits) -> Result<(), Violation> {
    let (has, most) = (Instructions(count(program.instructions.len())), limits.instructions);
    if has > most {
        return Err(Violation::Instructions { has, most });
    }
    maps::check(program, limits)?;
    check_places(program)?;
    let seconds = second_halves(program);
    for at in (0..program.instructions.len()).filter(|at| !seconds.contains(at)) {
        check_instruction(program, at, &seconds, limits)?;
    }
    Ok(())
}

/// A length, as quantities have it.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Relocations and counters are of maps that are there.
fn check_places(program: &DeviceProgram) -> Result<(), Violation> {
    let named = |place: &Relocation| {
        let opcode = program.instructions.get(place.instruction).map(|instruction| instruction.opcode());
        opcode == Some(WIDE) && place.map < program.maps.len()
    };
    let counts = |counter: &Counter| {
        program.maps.get(counter.map).is_some_and(|map| {
            let inside = counter.element < map.max_entries && counter.offset + 4 <= map.value_size;
            map.kind == MapType::Array && inside && counter.offset.is_multiple_of(4)
        })
    };
    let dangling = (program.relocations.iter().position(|place| !named(place)))
        .or_else(|| program.counters.iter().position(|counter| !counts(counter)));
    dangling.map_or(Ok(()), |index| Err(Violation::Dangling { index }))
}

/// The second instructions of wide constants: nothing to run, or to jump to.
fn second_halves(program: &DeviceProgram) -> BTreeSet<usize> {
    let mut halves = BTreeSet::new();
    for (at, instruction) in program.instructions.iter().enumerate() {
        if instruction.opcode() == WIDE && !halves.contains(&at) {
            halves.insert(at + 1);
        }
    }
    halves
}

fn check_instruction(
    program: &DeviceProgram,
    at: usize,
    seconds: &BTreeSet<usize>,
    limits: &Limits,
) -> Result<(), Violation> {
    let code = &program.instructions;
    let instruction = code[at];
    let opcode = instruction.opcode();
    let refuse = |why| Err(Violation::Instruction { at, opcode, why });
    match instruction.class() {
        _ if opcode == WIDE => {
            let is_map = program.relocations.iter().any(|place| place.instruction == at);
            let second = code.get(at + 1).copied();
            match second {
                Some(second) if second.0 as u32 == 0 && instruction.src() == R0 => {
                    let value = instruction.immediate() | second.immediate();
                    if is_map && value != 0 { refuse("a map's place is not zero") } else { Ok(()) }
                }
                Some(_) => refuse("a constant that is data of this machine, or not whole"),
                None => refuse("half a constant"),
            }
        }
        ALU | ALU64 => arithmetic(instruction).map_or(Ok(()), refuse),
        LDX | ST | STX => memory(instruction).map_or(Ok(()), refuse),
        JMP if opcode == CALL => check_call(at, instruction, limits),
        JMP if opcode == EXIT => check_exit(at, code, limits),
        JMP | JMP32 => check_jump(at, code, seconds),
        _ => refuse("an opcode that no device has"),
    }?;
    let is_last = at + 1 == code.len();
    if is_last && opcode != EXIT {
        return refuse("the program goes on past its end");
    }
    check_stack(code, at, limits)
}

/// What is wrong with arithmetic: devices multiply 32 bits, and divide by constants.
fn arithmetic(instruction: Instruction) -> Option<&'static str> {
    const MULTIPLY: u8 = 0x20;
    const DIVIDE: u8 = 0x30;
    const MODULO: u8 = 0x90;
    const SWAP: u8 = 0xd0;
    const HIGHEST: u8 = 0xd0;
    let opcode = instruction.opcode();
    let by_register = opcode & BY_REGISTER != 0;
    match opcode & 0xf0 {
        _ if instruction.offset() != 0 => Some("of -mcpu v4"),
        _ if instruction.dst() == FP => Some("the frame pointer can't be changed"),
        MULTIPLY if instruction.class() == ALU64 => Some("operands of a multiplication may be above 32 bits"),
        DIVIDE if by_register => Some("divides by what is not constant"),
        DIVIDE if instruction.immediate() == 0 => Some("divides by zero"),
        MODULO => Some("takes a remainder"),
        SWAP if instruction.class() == ALU64 => Some("of -mcpu v4"),
        HIGHEST.. if opcode & 0xf0 > HIGHEST => Some("an opcode that no device has"),
        _ => None,
    }
}

/// What is wrong with a load or store: packets and values are only read, counters only added to.
fn memory(instruction: Instruction) -> Option<&'static str> {
    const ADD: i32 = 0;
    let opcode = instruction.opcode();
    match (instruction.class(), opcode & 0xe0) {
        (LDX, MEM) => None,
        (ST | STX, MEM) if instruction.dst() == FP => None,
        (ST | STX, MEM) => Some("stores elsewhere than on the stack"),
        (STX, ATOMIC) if Width::of(opcode) != Width::Word => Some("an atomic of other than 4 bytes"),
        (STX, ATOMIC) if instruction.immediate() != ADD => Some("an atomic that does more than add"),
        (STX, ATOMIC) if instruction.offset() % 4 != 0 => Some("an atomic across words"),
        (STX, ATOMIC) => None,
        _ => Some("an opcode that no device has"),
    }
}

/// Local memory is reached by the frame pointer, or by a copy that the next instruction moves to it.
fn check_stack(code: &[Instruction], at: usize, limits: &Limits) -> Result<(), Violation> {
    const COPY: u8 = ALU64 | BY_REGISTER | 0xb0;
    const ADD: u8 = ALU64;
    let instruction = code[at];
    let stack_of = |depth: i64| match u32::try_from(depth) {
        Ok(depth) if depth > 0 && Bytes(depth) <= limits.stack => Ok(()),
        depth => Err(Violation::Stack { at, has: Bytes(depth.unwrap_or_default()), most: limits.stack }),
    };
    let base = match instruction.class() {
        LDX => instruction.src(),
        ST | STX => instruction.dst(),
        _ if instruction.opcode() == COPY && instruction.src() == FP => {
            let next =
                code.get(at + 1).filter(|next| next.opcode() == ADD && next.dst() == instruction.dst());
            return stack_of(next.map_or(0, |next| -i64::from(next.immediate())));
        }
        _ => return Ok(()),
    };
    if base == FP { stack_of(-i64::from(instruction.offset())) } else { Ok(()) }
}

fn check_call(at: usize, instruction: Instruction, limits: &Limits) -> Result<(), Violation> {
    let number = instruction.immediate();
    let helper = Helper::from_number(number).filter(|_| instruction.src() == R0);
    match helper {
        Some(helper) if limits.helpers.contains(helper.name()) => Ok(()),
        _ => Err(Violation::Helper { at, number }),
    }
}

/// Each exit follows its verdict, a constant.
fn check_exit(at: usize, code: &[Instruction], limits: &Limits) -> Result<(), Violation> {
    const SET: u8 = ALU64 | 0xb0;
    let before = at.checked_sub(1).map(|before| code[before]);
    let verdict = before.filter(|before| before.opcode() == SET && before.dst() == R0);
    let verdict = verdict.and_then(|before| match before.immediate() {
        0 => Some(Verdict::Aborted),
        1 => Some(Verdict::Drop),
        2 => Some(Verdict::Pass),
        3 => Some(Verdict::Tx),
        _ => None,
    });
    if verdict.is_some_and(|verdict| limits.verdicts.contains(&verdict)) {
        Ok(())
    } else {
        Err(Violation::Verdict { at })
    }
}

/// Jumps lead forward, to the begin of an instruction.
fn check_jump(at: usize, code: &[Instruction], seconds: &BTreeSet<usize>) -> Result<(), Violation> {
    let instruction = code[at];
    let opcode = instruction.opcode();
    let refuse = |why| Err(Violation::Instruction { at, opcode, why });
    let is_goto = opcode & 0xf0 == 0;
    if is_goto && (instruction.class() == JMP32 || opcode & BY_REGISTER != 0) {
        return refuse("of -mcpu v4");
    }
    if !is_goto && If::of(opcode).is_none() {
        return refuse("a comparison with signs");
    }
    let Ok(distance) = usize::try_from(instruction.offset()) else {
        return refuse("jumps back");
    };
    let target = at + 1 + distance;
    if target >= code.len() || seconds.contains(&target) { refuse("jumps to no instruction") } else { Ok(()) }
}

#[cfg(test)]
mod tests;
