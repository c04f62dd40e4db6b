//! A program as text, to be reviewed like code: what it needs, then instruction by instruction, with what each part is for.
//!
//! Instructions are written as the kernel's verifier and `bpftool` write them; `+3` after a jump is how many instructions it
//! goes over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::instruction::{
    ALU, ALU64, ATOMIC, BY_REGISTER, CALL, EXIT, GOTO, Helper, If, Instruction, JMP32, LDX, ST, STX, WIDE,
    Width,
};
use crate::program::{Counter, DeviceProgram, Map};

impl fmt::Display for DeviceProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, instructions, maps, counters, shed, .. } = self;
        let plural = |count: usize, one: &str, many: &str| {
            if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
        };
        let length = plural(instructions.len(), "instruction", "instructions");
        writeln!(f, "{kind}: {length}, {}", plural(maps.len(), "map", "maps"))?;
        for (index, map) in maps.iter().enumerate() {
            write!(f, "map {index}: ")?;
            write_map(map, f)?;
        }
        for Counter { rule, map, element, offset } in counters {
            writeln!(f, "drops of rule {rule}: {}[{element}] at {offset} B", maps[*map].name)?;
        }
        for shed in shed {
            writeln!(f, "shed: {shed}")?;
        }
        self.write_code(f)
    }
}

fn write_map(map: &Map, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    /// Entries that are written out.
    const MOST: usize = 8;
    let Map { name, kind, key_size, value_size, max_entries, entries } = map;
    writeln!(f, "{name} {}[{max_entries}], {key_size} B -> {value_size} B", kind.name())?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for (key, value) in entries.iter().take(MOST) {
        writeln!(f, "    {} -> {}", hex(key), hex(value))?;
    }
    match entries.len().saturating_sub(MOST) {
        0 => Ok(()),
        more => writeln!(f, "    and {more} more"),
    }
}

impl DeviceProgram {
    fn write_code(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut notes: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for note in &self.notes {
            notes.entry(note.instruction).or_default().push(&note.text);
        }
        let targets = self.targets();
        let mut second = false;
        for (at, instruction) in self.instructions.iter().enumerate() {
            for text in notes.get(&at).into_iter().flatten() {
                writeln!(f, "; {text}")?;
            }
            if std::mem::take(&mut second) {
                continue;
            }
            second = instruction.opcode() == WIDE;
            let mark = if targets.contains(&at) { ">" } else { " " };
            write!(f, "{at:5}{mark} ")?;
            match self.relocations.iter().find(|place| place.instruction == at) {
                Some(place) => writeln!(f, "{} = {}", instruction.dst(), self.maps[place.map].name)?,
                None => writeln!(f, "{}", self.instruction(at))?,
            }
        }
        Ok(())
    }

    fn targets(&self) -> BTreeSet<usize> {
        let jumps = self.instructions.iter().enumerate().filter(|(_, instruction)| instruction.is_jump());
        jumps.filter_map(|(at, jump)| (at + 1).checked_add_signed(jump.offset().into())).collect()
    }

    /// An instruction as text; a jump with the instruction it leads to.
    fn instruction(&self, at: usize) -> String {
        let instruction = self.instructions[at];
        let (opcode, dst, src) = (instruction.opcode(), instruction.dst(), instruction.src());
        let (offset, immediate) = (instruction.offset(), instruction.immediate());
        let memory = |base| format!("*(u{} *)({base} {offset:+})", 8 * Width::of(opcode).bytes());
        match instruction.class() {
            _ if opcode == WIDE => {
                let high = self.instructions.get(at + 1).map_or(0, |second| second.immediate());
                format!("{dst} = {:#x} ll", u64::from(high as u32) << 32 | u64::from(immediate as u32))
            }
            LDX => format!("{dst} = {}", memory(src)),
            ST => format!("{} = {immediate}", memory(dst)),
            STX if opcode & 0xe0 == ATOMIC => format!("lock {} += {src}", memory(dst)),
            STX => format!("{} = {src}", memory(dst)),
            ALU | ALU64 => arithmetic(instruction),
            _ if opcode == CALL => {
                let helper = Helper::from_number(immediate);
                format!(
                    "call {}",
                    helper.map_or_else(|| immediate.to_string(), |helper| helper.name().to_owned())
                )
            }
            _ if opcode == EXIT => "exit".to_owned(),
            _ => jump(instruction, at),
        }
    }
}

fn jump(instruction: Instruction, at: usize) -> String {
    let target = (at as i64 + 1).saturating_add(instruction.offset().into());
    let opcode = instruction.opcode();
    if opcode == GOTO {
        return format!("goto {target}");
    }
    let (dst, src) = (instruction.dst(), instruction.src());
    let sign = If::of(opcode).map_or("?", If::sign);
    let is_word = instruction.class() == JMP32;
    let left = if is_word { dst.to_string().replace('r', "w") } else { dst.to_string() };
    let right = match (opcode & BY_REGISTER != 0, is_word) {
        (true, true) => src.to_string().replace('r', "w"),
        (true, false) => src.to_string(),
        (false, true) => format!("{:#x}", instruction.immediate() as u32),
        (false, false) => format!("{:#x}", instruction.immediate()),
    };
    format!("if {left} {sign} {right} goto {target}")
}

fn arithmetic(instruction: Instruction) -> String {
    const SIGNS: [&str; 13] =
        ["+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "neg", "%=", "^=", "=", "s>>="];
    let (opcode, dst) = (instruction.opcode(), instruction.dst());
    let name = |register: crate::instruction::Reg| match instruction.class() {
        ALU => register.to_string().replace('r', "w"),
        _ => register.to_string(),
    };
    let right = match opcode & BY_REGISTER != 0 {
        true => name(instruction.src()),
        false => match instruction.immediate() {
            small @ -255..=255 => small.to_string(),
            large => format!("{large:#x}"),
        },
    };
    match SIGNS.get(usize::from(opcode >> 4)) {
        Some(sign) => format!("{} {sign} {right}", name(dst)),
        None => format!("{dst} = be{} {dst}", instruction.immediate()),
    }
}
