//! What the plan says of a packet, and of each end of it.

use selvedge_abi::Reason;
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::l4::L4Key;
use selvedge_topology::model::Direction;
use selvedge_topology::plan::{Decision, Outcome, PlanSet};

use super::choose::Chooser;
use super::ends::{End, Place};
use super::packet::Packet;
use super::{Asked, Case, Expected};
use crate::machine::IfIndex;
use crate::reconcile::Hook;

/// The way of a packet: from whom, to whom, and where it is judged.
#[derive(Clone, Copy)]
pub(super) struct Route {
    pub(super) source: End,
    pub(super) destination: End,
    pub(super) at: (Hook, IfIndex),
}

/// A decision list that was looked up already.
#[derive(Clone, Copy)]
pub(super) struct Known<'p> {
    pub(super) subject: Identity,
    pub(super) direction: Direction,
    pub(super) peer: Class,
    pub(super) set: &'p PlanSet,
}

impl Known<'_> {
    /// Whether it is what the plan says of these.
    fn is_of(&self, subject: Identity, direction: Direction, peer: Class) -> bool {
        (self.subject, self.direction, self.peer) == (subject, direction, peer)
    }
}

impl Chooser<'_> {
    /// The way of a packet; `None` where there is no such packet.
    pub(super) fn route(&self, direction: Direction, (subject, peer): (usize, usize)) -> Option<Route> {
        let (subject, peer) = (self.ends.all[subject], self.ends.all[peer]);
        let (source, destination) = match direction {
            Direction::Ingress => (peer, subject),
            Direction::Egress => (subject, peer),
        };
        let at = match (source.place, destination.place) {
            (Place::Behind(port), _) => (Hook::Ingress, port),
            (Place::Away, _) if source.identity != Identity::HOST => (Hook::Ingress, self.outside?),
            // The node's own, as itself or as a workload. What stays in its stack leaves by no port.
            (Place::Away | Place::Here(_), Place::Behind(port)) => (Hook::Egress, port),
            (Place::Here(port), Place::Away) if destination.identity != Identity::HOST => {
                (Hook::Egress, port)
            }
            (Place::Away | Place::Here(_) | Place::Mute, _) => return None,
        };
        (source.address != destination.address).then_some(Route { source, destination, at })
    }

    /// Its packet, and what the plan says of that.
    pub(super) fn case_on(&self, route: Route, key: L4Key, known: Option<Known<'_>>) -> Case {
        let Route { source, destination, at: (hook, port) } = route;
        let packet = Packet { source: source.address, destination: destination.address, key };
        let asked = self.asked(&source, &destination, key, known);
        Case { packet, hook, port, expected: expect(&source, &destination, &asked), asked }
    }

    /// What is asked of the ends behind this node, each as if it were alone.
    fn asked(
        &self,
        source: &End,
        destination: &End,
        key: L4Key,
        known: Option<Known<'_>>,
    ) -> [Option<Asked>; 2] {
        let ask = |this: &End, direction, other: &End| {
            let (subject, peer) = (this.identity, other.class);
            let decide = || match known {
                Some(known) if known.is_of(subject, direction, peer) => known.set.decide(key),
                _ => self.index.decide(subject, direction, peer, key),
            };
            let decision = if this.is_local() { decide() } else { None };
            this.is_local().then_some(Asked { subject, direction, peer, key, decision })
        };
        [ask(source, Direction::Egress, destination), ask(destination, Direction::Ingress, source)]
    }
}

/// What the plan says: egress of a source behind this node, then ingress of a destination behind this node.
fn expect(source: &End, destination: &End, asked: &[Option<Asked>; 2]) -> Expected {
    let (mut decisions, mut count) = ([None::<Decision>; 2], 0);
    for asked in asked.iter().flatten() {
        if decisions[..count].iter().all(|decided| decided.is_some_and(|d| d.outcome.is_allowed())) {
            decisions[count] = asked.decision;
            count += 1;
        }
    }
    let decisions = &decisions[..count];
    let reason = if decisions.iter().any(Option::is_none) {
        Reason::NoPolicy
    } else if decisions.iter().flatten().any(|decision| !decision.outcome.is_allowed()) {
        Reason::PolicyDeny
    } else if decisions.iter().flatten().all(|decision| decision.outcome == Outcome::AllowedStateless) {
        Reason::Stateless // an end that tracks gets its entry, though the other doesn't
    } else {
        Reason::PolicyAllow
    };
    let mut rules = decisions.iter().rev().flatten().map(|decision| decision.rule);
    let rule = if reason == Reason::NoPolicy { None } else { rules.next() };
    Expected {
        reason,
        rule,
        other: rules.next().filter(|other| Some(*other) != rule),
        logged: decisions.iter().flatten().any(|decision| decision.logged),
        identities: [source.identity, destination.identity],
    }
}
