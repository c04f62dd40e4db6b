//! Programs that drop, before the full program, what that one would drop whatever connections there are.
//!
//! A packet is dropped only if all of this holds, by each of the policies that are given:
//! - it is plain: Ethernet, IPv4 without options or IPv6 without extension headers, no fragment;
//! - it is no control traffic, no ICMP error, and of no failsafe flow;
//! - its source may send it there, and this node enforces for one of its ends;
//! - new-connection policy denies it, by a rule that does not want it logged;
//! - it is no packet of a connection: it opens one (a SYN, an INIT), or belongs to none (ICMP but echo); or else policy denies it
//!   and what it may be an answer to, and does not let what is established drain.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{Violation, check};
use crate::emit::{Counting, emit};
use crate::limits::Limits;
use crate::matrix::{Block, Matrix};
use crate::outcome::{self, Outcome, Outcomes};
use crate::policy::{PortPolicy, Who};
use crate::program::{DeviceProgram, Kind, Shed, Worth};

/// Packets that rules have counted, by rule: what their drops in the device are worth.
pub type Hits = BTreeMap<u32, u64>;

/// The prefilter of a port within `limits`. Where not all of it fits, the drops that are worth least are shed: by `hits`, or by
/// breadth where there are none.
///
/// # Errors
/// Where the device does not take even a program that passes everything.
pub fn prefilter(
    policy: &PortPolicy,
    limits: &Limits,
    hits: Option<&Hits>,
) -> Result<DeviceProgram, Violation> {
    of_all(&[policy], limits, hits)
}

/// One that drops what every one of `policies` drops.
pub(crate) fn of_all(
    policies: &[&PortPolicy],
    limits: &Limits,
    hits: Option<&Hits>,
) -> Result<DeviceProgram, Violation> {
    let whole = matrix(policies, &BTreeSet::new());
    let attempt = |matrix: &Matrix, counting| {
        let program = emit(Kind::Prefilter, policies, matrix, limits, counting)?;
        check(&program, limits).map(|()| program)
    };
    let either =
        |matrix: &Matrix| attempt(matrix, Counting::ByRule).or_else(|_| attempt(matrix, Counting::Nothing));
    let why = match either(&whole) {
        Ok(program) => return Ok(program),
        Err(why) => why,
    };
    let rules = by_worth(&whole, hits);
    let without = |count: usize| {
        let shed: BTreeSet<u32> = rules[..count].iter().map(|(_, rule)| *rule).collect();
        either(&matrix(policies, &shed))
    };
    // More rules without their drops make a shorter program, if not always; what is taken at the end was checked.
    let (mut fails, mut fits) = (0, rules.len());
    let mut program = without(fits)?;
    while fits - fails > 1 {
        let middle = fails + (fits - fails) / 2;
        match without(middle) {
            Ok(smaller) => (fits, program) = (middle, smaller),
            Err(_) => fails = middle,
        }
    }
    let shed =
        rules[..fits].iter().map(|(worth, rule)| Shed { rule: *rule, worth: *worth, why: why.clone() });
    program.shed = shed.collect();
    Ok(program)
}

/// The rules that deny, those worth least first.
fn by_worth(matrix: &Matrix, hits: Option<&Hits>) -> Vec<(Worth, u32)> {
    let mut rules: Vec<(Worth, u32)> = matrix
        .breadths()
        .into_iter()
        .map(|(rule, breadth)| {
            let packets = hits.map(|hits| hits.get(&rule).copied().unwrap_or_default());
            (Worth { packets, breadth }, rule)
        })
        .collect();
    rules.sort_unstable();
    rules
}

fn matrix(policies: &[&PortPolicy], shed: &BTreeSet<u32>) -> Matrix {
    Matrix::new(policies, &|sources, destinations| {
        let blocks = policies.iter().zip(sources).zip(destinations);
        let mut both: Option<Block> = None;
        for ((policy, source), destination) in blocks {
            let own = block(policy, *source, *destination, shed);
            both = Some(match both {
                None => own,
                Some(Block { forward, reverse }) => Block {
                    forward: outcome::weaker(&forward, &own.forward),
                    reverse: outcome::weaker(&reverse, &own.reverse),
                },
            });
        }
        both.unwrap_or_else(|| Block::of(Outcome::Left))
    })
}

/// What one policy drops of the packets between two ends.
fn block(policy: &PortPolicy, source: Who, destination: Who, shed: &BTreeSet<u32>) -> Block {
    let (Who::Party(source), Who::Party(destination)) = (source, destination) else {
        return Block::of(Outcome::Left);
    };
    if source.subject.is_none() && destination.subject.is_none() {
        return Block::of(Outcome::Left);
    }
    let is_shed = |outcome: Outcome| outcome.rule().is_some_and(|rule| shed.contains(&rule));
    let forward = outcome::of(&policy.asked(source, destination));
    Block {
        forward: outcome::map(&forward, |one| if is_shed(one) { Outcome::Left } else { one }),
        reverse: opened(&outcome::of(&policy.asked(destination, source))),
    }
}

/// Whether connections of each key may be there, by whichever rule they can't.
fn opened(outcomes: &Outcomes) -> Outcomes {
    outcome::map(outcomes, |outcome| match outcome {
        Outcome::Denied(_) => Outcome::Denied(0),
        Outcome::Left | Outcome::UnlessFailsafe | Outcome::DeniedNew(_) => Outcome::Left,
    })
}
