//! Programs written by hand: the floors.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use selvedge_codegen::assembler::{Assembler, Label};
use selvedge_codegen::instruction::{If, R0, R1, R2, R3, R4, R6, Width};

use super::Ready;
use crate::bpf::{Cell, Functions, attach_xdp, code, load_xdp};
use crate::frames::Family;
use crate::stage::Stage;

const XDP_ABORTED: i32 = 0;
const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;

/// A program that counts what it drops by verdict; what it does not understand it drops uncounted.
pub(super) struct Counting {
    program: OwnedFd,
    counter: Cell,
    _link: OwnedFd,
}

impl Ready for Counting {
    fn counted(&mut self) -> Result<u64> {
        Ok(self.counter.count()?)
    }

    fn program(&self) -> Option<BorrowedFd<'_>> {
        Some(self.program.as_fd())
    }
}

/// What a program does with a frame before it counts and drops it; jumps to the label if it is not as expected.
type Body<'a> = &'a dyn Fn(&mut Assembler, Label);

fn counting(stage: &Stage, body: Body<'_>) -> Result<Counting> {
    let counter = Cell::new(&[0; 8])?;
    let mut asm = Assembler::default();
    let unexpected = asm.label();
    body(&mut asm, unexpected);
    counter.load(&mut asm, R1);
    asm.load(Width::Double, R2, R1, 0);
    asm.add(R2, 1);
    asm.store(Width::Double, R1, 0, R2);
    asm.set(R0, XDP_DROP);
    asm.exit();
    asm.place(unexpected);
    asm.set(R0, XDP_ABORTED);
    asm.exit();
    let program = load_xdp(&code(asm), &Functions::default()).context("a hand-written program")?;
    let link = attach_xdp(program.as_fd(), stage.port).context("native XDP on a veth")?;
    Ok(Counting { program, counter, _link: link })
}

pub(super) fn drop(stage: &Stage) -> Result<Counting> {
    // The verifier refuses code that nothing leads to, so something seems to.
    counting(stage, &|asm, unexpected| {
        asm.set(R0, 0);
        asm.jump(If::NotEqual, R0, 0, unexpected);
    })
}

pub(super) fn parse(family: Family, stage: &Stage) -> Result<Counting> {
    counting(stage, &|asm, unexpected| parse_tcp(asm, family, unexpected))
}

/// A program that passes every frame.
pub(super) fn passing() -> Result<OwnedFd> {
    let mut asm = Assembler::default();
    asm.set(R0, XDP_PASS);
    asm.exit();
    load_xdp(&code(asm), &Functions::default()).context("a hand-written program")
}

/// Offsets of what a parser looks at. Constants are as a little-endian load of network byte order sees them.
struct Offsets {
    headers: i32,
    ether_type: i32,
    length: i16,
    /// Bytes of the frame that the length field does not count.
    uncounted: i32,
    protocol: i16,
    tcp: i16,
}

const V4: Offsets =
    Offsets { headers: 54, ether_type: 0x0008, length: 16, uncounted: 14, protocol: 23, tcp: 34 };
const V6: Offsets =
    Offsets { headers: 74, ether_type: 0xdd86, length: 18, uncounted: 54, protocol: 20, tcp: 54 };

fn offsets(family: Family) -> &'static Offsets {
    match family {
        Family::V4 => &V4,
        Family::V6 => &V6,
    }
}

/// Ethernet, IP without options and fragments, and TCP; leaves the frame's start in R6.
fn parse_tcp(asm: &mut Assembler, family: Family, unexpected: Label) {
    const TCP: i32 = 6;
    let at = offsets(family);
    asm.load(Width::Word, R6, R1, 0);
    asm.load(Width::Word, R2, R1, 4);
    asm.copy(R3, R6);
    asm.add(R3, at.headers);
    asm.jump_reg(If::Above, R3, R2, unexpected);
    asm.load(Width::Half, R3, R6, 12);
    asm.jump(If::NotEqual, R3, at.ether_type, unexpected);
    asm.load(Width::Byte, R3, R6, 14);
    match family {
        Family::V4 => {
            asm.jump(If::NotEqual, R3, 0x45, unexpected);
            asm.load(Width::Half, R3, R6, 20);
            asm.and(R3, 0xff3f); // more fragments, or an offset
            asm.jump(If::NotEqual, R3, 0, unexpected);
        }
        Family::V6 => {
            asm.and(R3, 0xf0);
            asm.jump(If::NotEqual, R3, 0x60, unexpected);
        }
    }
    asm.load(Width::Half, R3, R6, at.length);
    asm.swap(R3, 16);
    asm.add(R3, at.uncounted);
    asm.copy(R4, R6);
    asm.add_reg(R4, R3);
    asm.jump_reg(If::Above, R4, R2, unexpected);
    asm.load(Width::Byte, R3, R6, at.protocol);
    asm.jump(If::NotEqual, R3, TCP, unexpected);
    asm.load(Width::Byte, R3, R6, at.tcp + 12);
    asm.jump(If::Below, R3, 0x50, unexpected);
    for port in [at.tcp, at.tcp + 2] {
        asm.load(Width::Half, R3, R6, port);
        asm.jump(If::Equal, R3, 0, unexpected);
    }
}
