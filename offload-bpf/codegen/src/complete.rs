//! Programs that decide on every plain packet: where nothing has to be remembered, logged or told.

use selvedge_abi::{DECISION_ALLOW, DECISION_DRAIN, DECISION_LOG, DECISION_STATELESS, Interval, NodeRole};

use crate::check::{Violation, check};
use crate::emit::{Counting, emit};
use crate::limits::Limits;
use crate::matrix::{Block, Matrix};
use crate::outcome::{self, Outcome};
use crate::policy::{PortPolicy, Who};
use crate::program::{DeviceProgram, Kind};

/// Why a port's device can't decide on every plain packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// It faces workloads, whose own words have to be checked against where they are.
    #[error("the port faces workloads: only what comes from the fabric can be decided in the device alone")]
    WorkloadPort,
    /// A rule that needs connections.
    #[error("{rule} is not `stateless: true`, so connections have to be tracked")]
    Tracks {
        /// The rule, as users see it.
        rule: String,
    },
    /// A denial that lets what is established go on.
    #[error("{rule} denies with `established: drain`, so connections have to be remembered")]
    Drains {
        /// The rule, as users see it.
        rule: String,
    },
    /// A rule that wants its decisions logged.
    #[error("{rule} is to be logged, and a device tells nothing")]
    Logs {
        /// The rule, as users see it.
        rule: String,
    },
    /// The device has no room for it, and nothing of it may be left out.
    #[error(transparent)]
    DoesNotFit(#[from] Violation),
}

/// The program that decides on what the port receives from the fabric as the full program would, whatever connections that one
/// knows of. What it can't read it leaves to it.
///
/// # Errors
/// Where a rule of a workload behind this node, in either direction, needs the full program, or the device has no room.
pub fn complete(policy: &PortPolicy, limits: &Limits) -> Result<DeviceProgram, Incomplete> {
    if policy.is_workload_port() {
        return Err(Incomplete::WorkloadPort);
    }
    for interval in policy.intervals() {
        needs_no_memory(policy, interval)?;
    }
    let matrix = Matrix::new(&[policy], &|sources, destinations| {
        let ends = sources.iter().zip(destinations).next();
        ends.map_or_else(|| Block::of(Outcome::Denied(0)), |(from, to)| block(policy, *from, *to))
    });
    let attempt = |counting| {
        let program = emit(Kind::Complete, &[policy], &matrix, limits, counting)?;
        check(&program, limits).map(|()| program)
    };
    Ok(attempt(Counting::ByRule).or_else(|_| attempt(Counting::Nothing))?)
}

fn needs_no_memory(policy: &PortPolicy, interval: &Interval) -> Result<(), Incomplete> {
    let Interval { rule, decision, .. } = *interval;
    let rule = || policy.rule_name(rule);
    let tracks = decision & (DECISION_ALLOW | DECISION_STATELESS) == DECISION_ALLOW;
    match decision {
        _ if tracks => Err(Incomplete::Tracks { rule: rule() }),
        _ if decision & DECISION_DRAIN != 0 => Err(Incomplete::Drains { rule: rule() }),
        _ if decision & DECISION_LOG != 0 => Err(Incomplete::Logs { rule: rule() }),
        _ => Ok(()),
    }
}

/// What becomes of packets between two ends; [`Outcome::Left`] is passed to the host.
fn block(policy: &PortPolicy, source: Who, destination: Who) -> Block {
    let (Who::Party(source), destination) = (source, destination) else {
        return Block::of(Outcome::Denied(0)); // it can't have come from there
    };
    match destination {
        Who::Host => Block::of(Outcome::Left),
        Who::Nobody if matches!(policy.node, NodeRole::Switch) => Block::of(Outcome::Left),
        Who::Nobody => Block::of(Outcome::Denied(0)),
        Who::Party(destination) => {
            let forward = outcome::of(&policy.asked(source, destination));
            Block { forward, ..Block::of(Outcome::Left) }
        }
    }
}
