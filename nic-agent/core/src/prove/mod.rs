//! Proof: before a slot is put in use, one packet of every equivalence class of the plan is judged by it.
//!
//! What each packet should come to is read from the plan by [`PolicyIndex`], which `tests/tests/oracle_and_compiler.rs` holds
//! to the oracle; an agent has no documents to ask the oracle itself. Nothing here looks at the tables or at how they are
//! lowered, so a mistake in lowering, in a write or in the program shows as a [`Mismatch`]. What no packet shows of a decision
//! is read back ([`written`]).
//!
//! Where it is known what a slot holds, because it was proven and nobody wrote to it since, packets are of what was touched since, and of
//! some of the rest in turn ([`Touched`]); else of everything.
//!
//! A *class* is a workload's identity, a direction, a class of peers, and an interval of their decision list. It gets a packet
//! at each end of the interval, and some inside of it where other lists begin one, over IPv4 and IPv6 and as far as there are
//! such packets. Its addresses are taken in turn from all that have the identity or class, so that each has its turn.

mod choose;
mod classes;
mod ends;
mod expect;
mod ground;
mod keys;
mod packet;
mod part;
mod ruling;
mod written;

use std::collections::BTreeMap;
use std::fmt;

use selvedge_abi::{Config, PortEntry, Timeouts};
#[cfg(doc)]
use selvedge_topology::plan::PolicyIndex;
use selvedge_topology::plan::{Generation, Plan};

pub use choose::{Coverage, LIMIT};
pub use packet::Packet;
pub use ruling::{Expected, Found, Misjudged, Mismatch, RuleName, RuleNames, Ruling};
pub use written::{Asked, Miswritten, ReadSlot, Wording};

use crate::change::Touched;
use crate::lower;
use crate::machine::{IfIndex, Machine};
use crate::reconcile::Hook;
use crate::tables::Slot;

/// A packet, where it is judged, and what should become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The packet.
    pub packet: Packet,
    /// Whether it is received, or the node's own.
    pub hook: Hook,
    /// The port's interface.
    pub port: IfIndex,
    /// What the plan says.
    pub expected: Expected,
    /// What it says of each end that this node enforces for: of the source's egress, then of the destination's ingress.
    pub asked: [Option<Asked>; 2],
}

/// All that a slot is to be tried by. What runs it gives the program these ports and this configuration, tables as they are, and
/// an empty connection and failsafe table of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Puts the slot in use. With its timeouts no connection outlives the packet that opened it, so every packet is judged by
    /// policy.
    pub config: Config,
    /// The plan's ports.
    pub ports: BTreeMap<IfIndex, PortEntry>,
    /// The packets.
    pub cases: Vec<Case>,
    /// What they cover.
    pub coverage: Coverage,
    /// What rules are called.
    pub names: RuleNames,
}

/// What came of a trial that found nothing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Every packet was judged as the plan says.
    Proven(Coverage),
    /// The kernel can't run the program on packets of the agent's making. The slot is as good as its writes.
    Unproven {
        /// The kernel's words.
        reason: String,
    },
}

/// The trial of `slot` as `generation` of `plan`: of what was `touched` since it was proven, and some of the rest; where nothing is
/// known of it, of at most about `limit` classes.
pub fn trial(
    plan: &Plan,
    machine: &Machine,
    generation: Generation,
    slot: Slot,
    (touched, limit): (&Touched, usize),
) -> Trial {
    let config = Config {
        timeouts: Timeouts::default(),
        event_share: u32::MAX, // each packet is to tell
        ..lower::config(plan, generation, slot)
    };
    let ports = lower::ports(plan, machine).into_values().collect();
    let (cases, coverage) = choose::choose(plan, machine, generation.0, (touched, limit));
    Trial { config, ports, cases, coverage, names: plan.rules.clone() }
}

impl Trial {
    /// Whether `found` is what the plan says of `case`.
    pub fn check(&self, case: &Case, found: &Found) -> Result<(), Box<Mismatch>> {
        if case.expected.agrees(found) {
            return Ok(());
        }
        Err(Box::new(Misjudged::new(case, found, &self.names).into()))
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proven(coverage) => write!(f, "proven: {coverage}"),
            Self::Unproven { reason } => write!(f, "unproven: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests;
