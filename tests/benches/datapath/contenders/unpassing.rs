//! Our program, word for word, but for its last: where it would pass a frame, it drops it.
//!
//! A frame that passes goes on into the stack, which costs more than any program; a frame that a contender in the stack
//! lets through must likewise be dropped at its decision. So this is how the whole receive path is compared up to
//! the verdict, and no further.

use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use aya::maps::MapData;
use aya_obj::btf::Btf;
use aya_obj::generated::bpf_insn;
use aya_obj::{Map, Object};
use selvedge_abi::{PROGRAM_XDP, map};
use selvedge_agent::datapath::Pins;

use super::search::{self, Search};
use crate::bpf::{Functions, load_xdp, object_at, update};

const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const PSEUDO_CALL: u8 = 1;
/// What every exit of the main function becomes: if r0 != XDP_PASS goto +1; r0 = XDP_DROP; exit.
const ENDING: [u64; 3] = [0x0000_0002_0001_0055, 0x0000_0001_0000_00b7, EXIT as u64];

/// The program over the maps of `pins`, never passing; where addresses are looked up otherwise, with that.
pub(super) fn load(pins: &Pins, search: Option<&Search>) -> Result<OwnedFd> {
    let mut object = Object::parse(selvedge_object::OBJECT)?;
    let maps = object.maps.clone().into_iter().map(|(name, map)| {
        let fd = opened(pins, &name, &map).with_context(|| format!("map {name}"))?;
        Ok((name, fd, map))
    });
    let maps = maps.collect::<Result<Vec<(String, OwnedFd, Map)>>>()?;
    let texts: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let key = object.programs.get(PROGRAM_XDP).context("the object has no such program")?.function_key();
    let main = object.functions[&key].instructions.len();
    object.relocate_maps(maps.iter().map(|(name, fd, map)| (name.as_str(), fd.as_raw_fd(), map)), &texts)?;
    if let Some(search) = search {
        let mut functions = object.functions.values_mut();
        let replaced = functions.find(|function| function.name == search::FUNCTION);
        replace(&mut replaced.context("nothing looks addresses up")?.instructions, &search.code)?;
    }
    object.relocate_calls(&texts)?;
    let features = aya::features().btf().context("the kernel has no BTF")?;
    let types = object.fixup_and_sanitize_btf(features)?.map(Btf::to_bytes).unwrap_or_default();
    let function = &object.functions[&key];
    let code = unpassing(&function.instructions, main)?;
    let starts = function.func_info.func_info.iter();
    let moved = |start: u32| if start as usize >= main { start + ENDING.len() as u32 } else { start };
    let starts = starts.map(|info| [moved(info.insn_off), info.type_id]).collect();
    load_xdp(&code, &Functions { types, starts }).context("our program, never passing")
}

/// Puts `code` in the place of a function, which keeps its length: what is before it does nothing.
fn replace(function: &mut [bpf_insn], code: &[u64]) -> Result<()> {
    const NOTHING: u64 = 0x05; // goto +0
    let before = function.len().checked_sub(code.len()).context("what replaces it is longer")?;
    let words = std::iter::repeat_n(&NOTHING, before).chain(code);
    for (instruction, word) in function.iter_mut().zip(words) {
        let [code, registers, o0, o1, immediate @ ..] = word.to_le_bytes();
        *instruction = bpf_insn {
            code,
            _bitfield_align_1: [],
            _bitfield_1: bpf_insn::new_bitfield_1(registers & 0xf, registers >> 4),
            off: i16::from_le_bytes([o0, o1]),
            imm: i32::from_le_bytes(immediate),
        };
    }
    Ok(())
}

/// The map where the agent pinned it; one that is no part of the ABI is the program's own, and made anew.
fn opened(pins: &Pins, name: &str, map: &Map) -> Result<OwnedFd> {
    if map::ALL.contains(&name) {
        return Ok(object_at(&pins.map(name))?);
    }
    let made = MapData::create(map.clone(), name, None)?;
    if !map.data().is_empty() {
        update(made.fd().as_fd(), &0_u32.to_ne_bytes(), map.data())?;
    }
    Ok(made.fd().as_fd().try_clone_to_owned()?)
}

/// `code` is the main function, of `main` instructions, and then what it calls. Its exits jump to the ending, which is
/// put between; so calls out of it reach that much further, and nothing else moves.
fn unpassing(code: &[bpf_insn], main: usize) -> Result<Vec<u64>> {
    let (head, tail) = code.split_at(main);
    let mut words: Vec<u64> = head.iter().map(word).collect();
    for (at, instruction) in head.iter().enumerate() {
        match instruction.code {
            EXIT => words[at] = jump(main - at - 1)?,
            CALL if instruction.src_reg() == PSEUDO_CALL => {
                let target = at as i64 + 1 + i64::from(instruction.imm);
                ensure!(target >= main as i64, "the main function calls itself");
                let distance = instruction.imm + ENDING.len() as i32;
                words[at] = words[at] & 0xffff_ffff | u64::from(distance as u32) << 32;
            }
            _ => {}
        }
    }
    words.extend(ENDING);
    words.extend(tail.iter().map(word));
    Ok(words)
}

fn jump(distance: usize) -> Result<u64> {
    const JUMP: u64 = 0x05;
    let distance = u16::try_from(distance).ok().filter(|distance| *distance <= i16::MAX as u16);
    Ok(JUMP | u64::from(distance.context("the program is too long")?) << 16)
}

fn word(instruction: &bpf_insn) -> u64 {
    let [low, high] = instruction.off.to_le_bytes();
    let [a, b, c, d] = instruction.imm.to_le_bytes();
    let registers = instruction.dst_reg() | instruction.src_reg() << 4;
    u64::from_le_bytes([instruction.code, registers, low, high, a, b, c, d])
}
