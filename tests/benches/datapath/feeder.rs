//! The feeder: an XDP program that turns each live frame into the next of a list and redirects it to a port.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};

use selvedge_codegen::assembler::Assembler;
use selvedge_codegen::instruction::{Helper, If, R0, R1, R2, R3, R4, R6, R7, R8, Width};

use crate::bpf::{Cell, Functions, LiveRun, code, live_run, load_xdp};
use crate::frames::{Family, layout, record};

/// A list of frames of one family and equal length, ready to be sent.
pub(crate) struct Feeder {
    program: OwnedFd,
    position: Cell,
    _records: Cell,
    template: Vec<u8>,
    count: u32,
}

impl Feeder {
    /// Feeds `frames` into the interface `to`, in order and round again.
    pub(crate) fn new(family: Family, frames: &[Vec<u8>], to: u32) -> Result<Self> {
        let records: Vec<u8> = frames.iter().flat_map(|frame| record(family, frame)).collect();
        let records = Cell::new(&records).context("memory for the frames")?;
        let position = Cell::new(&[0; 8])?;
        let template = frames.first().context("a list of frames is never empty")?.clone();
        let count = u32::try_from(frames.len())?;
        let code = program(family, &records, &position, count, template.len(), to);
        let program = load_xdp(&code, &Functions::default()).context("the feeder")?;
        Ok(Self { program, position, _records: records, template, count })
    }

    /// Number of frames in the list.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Sends `packets` frames, beginning with that at `from`; returns nanoseconds a packet.
    pub(crate) fn send(&self, from: u32, packets: u32) -> Result<u32> {
        self.position.write(&u64::from(from % self.count).to_ne_bytes())?;
        let run = LiveRun { program: self.program.as_fd(), frame: &self.template, repeat: packets };
        live_run(&run).context("live frames (BPF_F_TEST_XDP_LIVE_FRAMES needs Linux 5.18)")
    }
}

fn program(family: Family, records: &Cell, position: &Cell, count: u32, length: usize, to: u32) -> Vec<u64> {
    let layout = layout(family);
    let (count, to) = (count as i32, to as i32);
    let mut asm = Assembler::default();
    let abort = asm.label();
    asm.load(Width::Word, R6, R1, 0);
    asm.load(Width::Word, R2, R1, 4);
    asm.copy(R3, R6);
    asm.add(R3, length as i32);
    asm.jump_reg(If::Above, R3, R2, abort);
    // Where are we? The next frame begins a new round after the last.
    position.load(&mut asm, R1);
    asm.load(Width::Double, R7, R1, 0);
    asm.jump(If::AtLeast, R7, count, abort);
    asm.copy(R8, R7);
    asm.add(R8, 1);
    let inside = asm.label();
    asm.jump(If::Below, R8, count, inside);
    asm.set(R8, 0);
    asm.place(inside);
    asm.store(Width::Double, R1, 0, R8);
    asm.multiply(R7, layout.bytes as i32);
    records.load(&mut asm, R4);
    asm.add_reg(R4, R7);
    for varying in layout.varying {
        asm.copy_bytes((R6, varying.frame), (R4, varying.record), varying.bytes, R2);
    }
    asm.set(R1, to);
    asm.set(R2, 0);
    asm.call(Helper::Redirect);
    asm.exit();
    asm.place(abort);
    asm.set(R0, 0);
    asm.exit();
    code(asm)
}
