use super::*;
use crate::assembler::Assembler;
use crate::instruction::{R1, R2, R3, R6, Reg};
use crate::program::{Kind, Map};
use crate::testing::limits;

const DROP: i32 = 1;
const PASS: i32 = 2;

/// A program that has something of everything: a map, a lookup, an atomic, local memory, jumps, two verdicts.
fn sound() -> DeviceProgram {
    with(|_| {})
}

/// The same with more instructions before its end.
fn with(more: impl FnOnce(&mut Assembler)) -> DeviceProgram {
    let mut asm = Assembler::default();
    let (drop, pass) = (asm.label(), asm.label());
    asm.store_constant(Width::Word, FP, -4, 1);
    asm.local(R2, -4);
    asm.map(R1, 0);
    asm.call(Helper::MapLookup);
    asm.jump(If::Equal, R0, 0, pass);
    asm.set(R3, 1);
    asm.atomic_add(R0, 4, R3);
    asm.jump_word(If::AtLeast, R3, 0xffff_fff0, pass);
    more(&mut asm);
    asm.go(drop);
    asm.place(drop);
    asm.set(R0, DROP);
    asm.exit();
    asm.place(pass);
    asm.set(R0, PASS);
    asm.exit();
    let assembled = asm.finish().unwrap();
    DeviceProgram {
        kind: Kind::Prefilter,
        instructions: assembled.instructions,
        relocations: assembled.relocations,
        maps: vec![map("counters", MapType::Array)],
        counters: vec![Counter { rule: 7, map: 0, element: 1, offset: 4 }],
        shed: Vec::new(),
        notes: Vec::new(),
    }
}

fn map(name: &str, kind: MapType) -> Map {
    let entries = vec![(0_u32.to_ne_bytes().to_vec(), vec![0; 8])];
    Map { name: name.into(), kind, key_size: 4, value_size: 8, max_entries: 2, entries }
}

fn refused(program: &DeviceProgram) -> String {
    refused_by(program, &limits("nfp"))
}

fn refused_by(program: &DeviceProgram, limits: &Limits) -> String {
    check(program, limits).expect_err("it is refused").to_string()
}

#[test]
fn a_program_within_all_limits_is_taken_by_both_devices() {
    for profile in ["nfp", "netdevsim"] {
        assert_eq!(check(&sound(), &limits(profile)), Ok(()));
    }
}

#[test]
fn a_program_is_at_most_as_long_as_the_device_takes() {
    let long = with(|asm| (0..4096).for_each(|_| asm.set(R6, 0)));
    assert!(refused(&long).contains("the device takes 4096 instructions"));
    assert_eq!(check(&long, &limits("netdevsim")), Ok(()));
}

#[test]
fn maps_are_as_many_and_as_large_as_the_device_takes() {
    let mut program = sound();
    program.maps = (0..33).map(|index| map(&format!("m{index}"), MapType::Hash)).collect();
    program.counters.clear();
    assert!(refused(&program).contains("33 maps, and the device takes 32 maps"));
    let changed = |change: fn(&mut Map)| {
        let mut program = sound();
        change(&mut program.maps[0]);
        program.maps[0].entries.clear();
        program
    };
    let three = changed(|map| map.max_entries = 3);
    assert_eq!(check(&three, &limits("nfp")), Ok(()));
    assert!(refused_by(&three, &limits("netdevsim")).contains("counters would have 3 entries"));
    let mut few = limits("nfp");
    few.entries = Entries(1);
    assert!(refused_by(&sound(), &few).contains("2 entries together, and the device takes 1 entry"));
    let hash = |change: fn(&mut Map)| {
        let mut program = changed(change);
        (program.maps[0].kind, program.counters) = (MapType::Hash, Vec::new());
        program
    };
    assert!(refused(&hash(|map| map.key_size = 65)).contains("keys of 65 B, and the device takes 64 B"));
    assert!(refused(&changed(|map| map.value_size = 65)).contains("values of 65 B"));
    assert!(refused(&changed(|map| map.value_size = 60)).contains("keys and values of 72 B"));
    assert_eq!(check(&changed(|map| map.value_size = 56), &limits("nfp")), Ok(()));
    let mut no_arrays = limits("nfp");
    no_arrays.map_types.remove(&MapType::Array);
    assert!(refused_by(&sound(), &no_arrays).contains("of the kind array"));
}

#[test]
fn a_map_that_contradicts_itself_is_refused() {
    type Break = fn(&mut Map);
    let cases: [(Break, &str); 8] = [
        (|map| map.name = "a_name_too_long_".into(), "its name"),
        (|map| map.name = "a name".into(), "its name"),
        (|map| map.max_entries = 0, "no room"),
        (|map| map.key_size = 8, "an ARRAY has keys of 4 B"),
        (|map| map.entries[0].1 = vec![0; 7], "another size"),
        (|map| map.entries.push(map.entries[0].clone()), "two entries have one key"),
        (|map| map.entries[0].0 = 2_u32.to_ne_bytes().to_vec(), "beyond its end"),
        (|map| map.entries[0].0 = vec![0; 3], "another size"),
    ];
    for (change, why) in cases {
        let mut program = sound();
        change(&mut program.maps[0]);
        assert!(refused(&program).contains(why), "{}", refused(&program));
    }
}

#[test]
fn relocations_and_counters_are_of_maps_that_are_there() {
    type Break = fn(&mut DeviceProgram);
    let cases: [Break; 6] = [
        |program| program.relocations[0].map = 1,
        |program| program.relocations[0].instruction = 0,
        |program| program.counters[0].map = 1,
        |program| program.counters[0].element = 2,
        |program| program.counters[0].offset = 8,
        |program| program.counters[0].offset = 2,
    ];
    for change in cases {
        let mut program = sound();
        change(&mut program);
        assert_eq!(check(&program, &limits("nfp")), Err(Violation::Dangling { index: 0 }));
    }
}

/// An instruction that no generator here writes.
fn raw(opcode: u8, dst: Reg, src: Reg, offset: i16, immediate: i32) -> DeviceProgram {
    let mut program = with(|asm| asm.set(R6, 0));
    let at = program.instructions.iter().position(|instruction| instruction.dst() == R6).unwrap();
    program.instructions[at] = Instruction::new(opcode, dst, src, offset, immediate);
    program
}

#[test]
fn instructions_that_a_device_does_not_run_are_refused() {
    let cases = [
        (raw(0x27, R6, R0, 0, 3), "multiplication"),
        (raw(0x2f, R6, R1, 0, 0), "multiplication"),
        (raw(0x3f, R6, R1, 0, 0), "divides by what is not constant"),
        (raw(0x37, R6, R0, 0, 0), "divides by zero"),
        (raw(0x97, R6, R0, 0, 3), "remainder"),
        (raw(0x9c, R6, R1, 0, 0), "remainder"),
        (raw(0x37, R6, R0, 1, 3), "-mcpu v4"),
        (raw(0xbf, R6, R1, 8, 0), "-mcpu v4"),
        (raw(0xd7, R6, R0, 0, 16), "-mcpu v4"),
        (raw(0x06, R0, R0, 0, 1), "-mcpu v4"),
        (raw(0x07, FP, R0, 0, -8), "frame pointer"),
        (raw(0xe7, R6, R0, 0, 0), "no device has"),
        (raw(0x81, R6, R1, 0, 0), "no device has"),
        (raw(0x30, R0, R0, 0, 12), "no device has"),
        (raw(0x62, R0, R0, 0, 1), "elsewhere than on the stack"),
        (raw(0x7b, R1, R6, 0, 0), "elsewhere than on the stack"),
        (raw(0xdb, R0, R3, 0, 0), "other than 4 bytes"),
        (raw(0xc3, R0, R3, 0, 0x40), "more than add"),
        (raw(0xc3, R0, R3, 0, 1), "more than add"),
        (raw(0xc3, R0, R3, 2, 0), "across words"),
        (raw(0x65, R6, R0, 0, 1), "comparison with signs"),
        (raw(0x15, R6, R0, -2, 1), "jumps back"),
        (raw(0x15, R6, R0, 99, 1), "jumps to no instruction"),
        (raw(0x85, R0, R1, 0, 1), "helper"),
        (raw(0x85, R0, R0, 0, 5), "calls helper 5"),
        (raw(0x85, R0, R0, 0, 23), "calls helper 23"),
    ];
    for (program, why) in cases {
        assert!(refused(&program).contains(why), "{why}: {}", refused(&program));
    }
}

#[test]
fn what_devices_can_divide_and_multiply_is_taken() {
    for program in [raw(0x37, R6, R0, 0, 3), raw(0x24, R6, R0, 0, 3)] {
        assert_eq!(check(&program, &limits("nfp")), Ok(()));
    }
}

#[test]
fn a_constant_of_64_bits_is_whole_and_no_memory_of_this_machine() {
    assert_eq!(check(&with(|asm| asm.open_map(R6, 0)), &limits("nfp")).unwrap_err().to_string(), {
        "instruction 10 (opcode 0x18): a constant that is data of this machine, or not whole"
    });
    assert!(refused(&with(|asm| asm.open_value(R6, 3, 0))).contains("data of this machine"));
    assert!(refused(&raw(WIDE, R6, R0, 0, 3)).contains("not whole"));
    let mut named = sound();
    let at = named.relocations[0].instruction;
    named.instructions[at] = Instruction::new(WIDE, R1, R0, 0, 5);
    assert!(refused(&named).contains("a map's place is not zero"));
    let mut into = with(|asm| {
        let beyond = asm.label();
        asm.jump(If::Equal, R6, 0, beyond);
        asm.map(R6, 0);
        asm.place(beyond);
    });
    let jump = into.instructions.iter().position(|jump| jump.opcode() == 0x15 && jump.dst() == R6).unwrap();
    into.instructions[jump] = into.instructions[jump].with_offset(1);
    assert!(refused(&into).contains("jumps to no instruction"));
}

#[test]
fn local_memory_is_on_the_stack() {
    let mut shallow = limits("nfp");
    shallow.stack = Bytes(64);
    let cases = [
        with(|asm| asm.store_constant(Width::Word, FP, -68, 0)),
        with(|asm| asm.load(Width::Word, R6, FP, -68)),
        with(|asm| asm.local(R6, -68)),
        with(|asm| asm.copy(R6, FP)),
        with(|asm| asm.store_constant(Width::Word, FP, 0, 0)),
    ];
    for program in cases {
        assert!(refused_by(&program, &shallow).contains("the device has 64 B"));
    }
    assert_eq!(check(&with(|asm| asm.local(R6, -64)), &shallow), Ok(()));
}

#[test]
fn a_program_ends_with_a_verdict_that_the_device_carries_out() {
    let mut no_drop = limits("nfp");
    no_drop.verdicts.remove(&Verdict::Drop);
    assert!(refused_by(&sound(), &no_drop).contains("without a verdict"));
    let redirect = with(|asm| {
        asm.set(R0, 4);
        asm.exit();
    });
    assert!(refused(&redirect).contains("without a verdict"));
    let unset = with(Assembler::exit);
    assert!(refused(&unset).contains("without a verdict"));
    let mut open = sound();
    open.instructions.pop();
    assert!(refused(&open).contains("goes on past its end") || refused(&open).contains("no instruction"));
}

#[test]
fn the_maps_of_a_program_take_their_places_in_its_code() {
    let program = sound();
    let at = program.relocations[0].instruction;
    let code = program.code(&[9]).unwrap();
    assert_eq!(code[at], 0x0000_0009_0000_1118);
    assert_eq!(code.len(), program.instructions.len());
    assert_eq!(program.code(&[]), None);
}

#[test]
fn a_program_reads_as_bpftool_would_show_it() {
    let mut program = sound();
    program.notes.push(crate::program::Note { instruction: 0, text: "counts".into() });
    let text = program.to_string();
    let expected = "\
prefilter: 15 instructions, 1 map
map 0: counters array[2], 4 B -> 8 B
    00000000 -> 0000000000000000
drops of rule 7: counters[1] at 4 B
; counts
    0  *(u32 *)(r10 -4) = 1
    1  r2 = r10
    2  r2 += -4
    3  r1 = counters
    5  call map_lookup_elem
    6  if r0 == 0x0 goto 13
    7  r3 = 1
    8  lock *(u32 *)(r0 +4) += r3
    9  if w3 >= 0xfffffff0 goto 13
   10  goto 11
   11> r0 = 1
   12  exit
   13> r0 = 2
   14  exit
";
    assert_eq!(text, expected);
}
