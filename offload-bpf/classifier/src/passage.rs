//! The short way of packets whose like passed a moment ago.
//!
//! Notes are of packets that change nothing when they pass again: of an assured connection that covers both ends, is of
//! this generation and isn't ending, whole, and neither opening, ending nor quoting. One that ends a connection takes back the
//! notes of both directions, so that the next packet of either is seen by the connection. What a noted packet leaves out
//! is the time of the last one, which the entry has to within the life of a note.

use selvedge_abi::{CONNECTION_ASSURED, CONNECTION_CLOSING, CONNECTION_RESET, Flow};

use crate::{
    ends::Node,
    policy::{Judgement, Ruling},
    report::Seen,
    tables::Tables,
    transport::{Segment, Stage, TCP},
};

/// What a packet means to the notes of its flow.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Noting {
    #[default]
    Nothing,
    /// The like of it may pass for a moment.
    Passes,
    /// It ends the connection: both directions are to be looked at again.
    Ends,
    /// Policy denies it, whatever its source port, by one rule that has counted it.
    Denied,
}

/// What tells a connection that is to last: one more packet of it changes no flag.
const STAYS: u32 = CONNECTION_ASSURED | CONNECTION_CLOSING | CONNECTION_RESET;

impl Noting {
    /// Of a packet that passes by a connection alone, which has `flags` from now on.
    #[inline(always)]
    pub(crate) fn of(stage: Stage, flags: u32) -> Self {
        match stage {
            Stage::Closes | Stage::Resets => Self::Ends,
            _ if is_plain(stage) && flags & STAYS == CONNECTION_ASSURED => Self::Passes,
            _ => Self::Nothing,
        }
    }

    /// Of an opening packet that policy refuses.
    #[inline(always)]
    pub(crate) fn of_denial(segment: &Segment, judgement: &Judgement) -> Self {
        let Judgement { ruling, egress_rule, ingress_rule, logged, .. } = *judgement;
        let one_rule = (egress_rule == 0) != (ingress_rule == 0);
        match segment.protocol {
            TCP if ruling == Ruling::Denied && one_rule && !logged => Self::Denied,
            _ => Self::Nothing,
        }
    }
}

/// Whether the packet's like passed a moment ago.
#[inline(always)]
pub(crate) fn is_known<T: Tables>(node: &Node<'_, T>, seen: &Seen, segment: &Segment) -> bool {
    node.has_generation() && is_plain(segment.stage) && seen.part.is_whole() && recall(node, segment)
}

/// Notes what is to be noted of a packet that was judged.
#[inline(always)]
pub(crate) fn note<T: Tables>(node: &Node<'_, T>, seen: &Seen, segment: &Segment) {
    match seen.noting {
        Noting::Passes if seen.part.is_whole() => remember(node, segment),
        Noting::Ends => forget(node, segment),
        Noting::Denied if seen.part.is_whole() => remember_denial(node, segment, seen.rule),
        _ => {}
    }
}

/// Takes back what a packet that the node sends ends. Notes are of packets that are received: one of the other way would let
/// them come in from where they go.
#[inline(always)]
pub(crate) fn note_sent<T: Tables>(node: &Node<'_, T>, seen: &Seen, segment: &Segment) {
    if seen.noting == Noting::Ends {
        forget(node, segment);
    }
}

#[inline(always)]
fn is_plain(stage: Stage) -> bool {
    matches!(stage, Stage::Continues | Stage::Any)
}

/// With a stack frame of its own (see `lib.rs`), as the next two.
#[inline(never)]
fn recall<T: Tables>(node: &Node<'_, T>, segment: &Segment) -> bool {
    node.tables.passed_unhurried(&node.passage(flow(segment)))
}

#[inline(never)]
fn remember<T: Tables>(node: &Node<'_, T>, segment: &Segment) {
    if node.is_near() {
        node.tables.note_passage(&node.passage(flow(segment)));
    }
}

#[inline(never)]
fn remember_denial<T: Tables>(node: &Node<'_, T>, segment: &Segment, rule: u32) {
    let flow = flow(segment);
    if node.is_near() {
        node.tables.note_denial(&node.passage(Flow { ports: flow.ports & 0xffff, ..flow }), rule);
    }
}

#[inline(never)]
fn forget<T: Tables>(node: &Node<'_, T>, segment: &Segment) {
    let there = flow(segment);
    node.tables.forget_passages(&there);
    node.tables.forget_passages(&there.reversed());
}

#[inline(always)]
fn flow(segment: &Segment) -> Flow {
    let tuple = &segment.tuple;
    let family = if tuple.source.is_v4() { 0 } else { Flow::IPV6 };
    Flow {
        source: tuple.source.address(),
        destination: tuple.destination.address(),
        ports: ((tuple.source_port as u32) << 16) | tuple.destination_port as u32,
        protocol: tuple.protocol as u32 | family,
    }
}
