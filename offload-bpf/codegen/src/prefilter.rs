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
use crate::program::{DeviceProgram, Drops, Kind, Shed, Worth};

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
    let drops = by_worth(&whole, hits);
    let without = |count: usize| {
        let shed: BTreeSet<Drops> = drops[..count].iter().map(|(_, drops)| *drops).collect();
        either(&matrix(policies, &shed))
    };
    // Fewer drops make a shorter program, if not always; what is taken at the end was checked.
    let (mut fails, mut fits) = (0, drops.len());
    let mut program = without(fits)?;
    while fits - fails > 1 {
        let middle = fails + (fits - fails) / 2;
        match without(middle) {
            Ok(smaller) => (fits, program) = (middle, smaller),
            Err(_) => fails = middle,
        }
    }
    let left = drops[..fits].iter();
    let shed = left.map(|(worth, drops)| Shed { drops: *drops, worth: *worth, why: why.clone() });
    program.shed = shed.collect();
    Ok(program)
}

/// All drops, those worth least first.
fn by_worth(matrix: &Matrix, hits: Option<&Hits>) -> Vec<(Worth, Drops)> {
    let worth = |(drops, breadth): (&Drops, &u128)| {
        let packets = hits.map(|hits| hits.get(&drops.rule).copied().unwrap_or_default());
        (Worth { packets, breadth: *breadth }, *drops)
    };
    let mut all: Vec<(Worth, Drops)> = matrix.breadths.iter().map(worth).collect();
    all.sort_unstable();
    all
}

fn matrix(policies: &[&PortPolicy], shed: &BTreeSet<Drops>) -> Matrix {
    Matrix::new(policies, &|sources, destinations| {
        let blocks = policies.iter().zip(sources).zip(destinations);
        let mut both: Option<Block> = None;
        for ((policy, source), destination) in blocks {
            let own = block(policy, *source, *destination);
            both = Some(match both {
                None => own,
                Some(Block { forward, reverse }) => Block {
                    forward: outcome::weaker(&forward, &own.forward),
                    reverse: outcome::weaker(&reverse, &own.reverse),
                },
            });
        }
        let Block { forward, reverse } = both.unwrap_or_else(|| Block::of(Outcome::Left));
        let is_shed = |rule| shed.contains(&Drops::between(rule, sources, destinations));
        let kept =
            |outcome: Outcome| if outcome.rule().is_some_and(is_shed) { Outcome::Left } else { outcome };
        Block { forward: outcome::map(&forward, kept), reverse }
    })
}

/// What one policy drops of the packets between two ends.
fn block(policy: &PortPolicy, source: Who, destination: Who) -> Block {
    let (Who::Party(source), Who::Party(destination)) = (source, destination) else {
        return Block::of(Outcome::Left);
    };
    if source.subject.is_none() && destination.subject.is_none() {
        return Block::of(Outcome::Left);
    }
    Block {
        forward: outcome::of(&policy.asked(source, destination)),
        reverse: opened(&outcome::of(&policy.asked(destination, source))),
    }
}

/// Whether connections of each key may be there, by whichever rule they can't.
fn opened(outcomes: &Outcomes) -> Outcomes {
    outcome::map(outcomes, |outcome| match outcome {
        Outcome::Denied(_) => Outcome::Denied(0),
        Outcome::Left | Outcome::DeniedNew(_) => Outcome::Left,
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use selvedge_abi::{AddressEntry, DECISION_ALLOW, Interval, NodeRole, PortRole};
    use selvedge_hw_profiles::units::{Instructions, Maps};

    use super::*;
    use crate::policy::{Prefix, Row, Subject};
    use crate::testing::limits;

    /// The narrow rule denies every second port of one workload, the wide one all that another is sent.
    const NARROW: u32 = 1;
    const WIDE: u32 = 2;

    fn policy() -> PortPolicy {
        let decision = |port: u32| if port.is_multiple_of(2) { 0 } else { DECISION_ALLOW };
        let narrow = (0..40).map(|port| Interval { start: port, rule: NARROW, decision: decision(port) });
        let narrow = narrow.chain([Interval { start: 40, rule: NARROW, decision: DECISION_ALLOW }]);
        let subject = |list: Vec<Interval>| Subject {
            ingress: Row { default: Some(list.into()), peers: BTreeMap::new() },
            ..Subject::default()
        };
        let wide = subject(vec![Interval { start: 0, rule: WIDE, decision: 0 }]);
        let workload = |last, identity| {
            let address = Prefix::new(Ipv4Addr::new(10, 0, 0, last).into(), 32).unwrap();
            (address, AddressEntry { identity, class: identity, ifindex: 2 })
        };
        PortPolicy {
            port: PortRole::Uplink,
            ifindex: 1,
            node: NodeRole::Host,
            addresses: BTreeMap::from([workload(1, 256), workload(2, 257)]),
            subjects: BTreeMap::from([(256, subject(narrow.collect())), (257, wide)]),
            failsafe: BTreeSet::new(),
            rules: BTreeMap::new(),
        }
    }

    fn within(most: usize, hits: Option<&Hits>) -> DeviceProgram {
        // Without maps there are no counters, which would give way first.
        let limits = Limits { instructions: Instructions(most as u32), maps: Maps(0), ..limits("nfp") };
        let program = prefilter(&policy(), &limits, hits).unwrap();
        assert!(program.instructions.len() <= most);
        program
    }

    fn shed(program: &DeviceProgram) -> Vec<u32> {
        program.shed.iter().map(|shed| shed.drops.rule).collect()
    }

    #[test]
    fn what_is_worth_least_is_shed_by_breadth_or_by_what_was_counted() {
        let whole = within(4096, None);
        assert_eq!(shed(&whole), []);
        let little_room = whole.instructions.len() - 1;
        assert_eq!(shed(&within(little_room, None)), [NARROW]);
        let counted = Hits::from([(NARROW, 5), (WIDE, 3)]);
        assert_eq!(shed(&within(little_room, Some(&counted))), [WIDE]);
        let no_room = within(2, None);
        assert_eq!((shed(&no_room), no_room.is_idle()), (vec![NARROW, WIDE], true));
        let said = "drops by rule 1 to identity 256 (not counted, ";
        assert!(no_room.shed[0].to_string().starts_with(said), "{}", no_room.shed[0]);
    }

    #[test]
    fn a_device_that_does_not_even_pass_gets_no_program() {
        let limits = Limits { instructions: Instructions(1), ..limits("nfp") };
        assert!(matches!(prefilter(&policy(), &limits, None), Err(Violation::Instructions { .. })));
    }
}
