//! Policy: which rule decides a layer-4 key between two ends, and how.

use selvedge_abi::{
    AddressEntry, DECISION_ALLOW, DECISION_LOG, DECISION_STATELESS, Direction, Interval, MAX_SEARCH_STEPS,
    PolicyEntry, PolicyKey,
};

use crate::{
    ends::{Ends, Node},
    tables::Tables,
};

/// What policy says of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// Allowed with an entry in the connection table.
    Tracked,
    /// Allowed without one.
    Stateless,
    Denied,
    /// The tables say nothing, which they should.
    NoPolicy,
}

/// A ruling and the rules behind it; 0 where none spoke.
#[derive(Clone, Copy)]
pub(crate) struct Judgement {
    pub(crate) ruling: Ruling,
    pub(crate) egress_rule: u32,
    pub(crate) ingress_rule: u32,
    /// One of the rules wants its decisions logged.
    pub(crate) logged: bool,
}

impl Judgement {
    /// The rule to name: the one that denied, or that of the stricter end.
    #[inline(always)]
    pub(crate) fn rule(&self) -> u32 {
        match self.ruling {
            Ruling::NoPolicy => 0,
            _ if self.ingress_rule != 0 => self.ingress_rule,
            _ => self.egress_rule,
        }
    }

    /// Adds what the next end says. One stateless end makes the connection stateless: an entry would let
    /// replies past the end that did not ask for one.
    #[inline(always)]
    fn and(&mut self, decided: Option<Interval>) -> u32 {
        let Some(Interval { rule, decision, .. }) = decided else {
            self.ruling = Ruling::NoPolicy;
            return 0;
        };
        self.logged |= decision & DECISION_LOG != 0;
        if decision & DECISION_ALLOW == 0 {
            self.ruling = Ruling::Denied;
        } else if decision & DECISION_STATELESS != 0 {
            self.ruling = Ruling::Stateless;
        }
        rule
    }
}

/// Egress policy of a source behind this node, then ingress policy of a destination behind this node.
#[inline(always)]
pub(crate) fn judge<T: Tables>(node: &Node<'_, T>, ends: &Ends, key: u32) -> Judgement {
    let mut judgement = Judgement { ruling: Ruling::Tracked, egress_rule: 0, ingress_rule: 0, logged: false };
    if ends.source.ifindex != 0 {
        judgement.egress_rule =
            judgement.and(decide(node, ends.source, ends.destination, Direction::Egress, key));
    }
    if ends.destination.ifindex != 0 && matches!(judgement.ruling, Ruling::Tracked | Ruling::Stateless) {
        judgement.ingress_rule =
            judgement.and(decide(node, ends.destination, ends.source, Direction::Ingress, key));
    }
    judgement
}

#[inline(always)]
fn decide<T: Tables>(
    node: &Node<'_, T>,
    subject: AddressEntry,
    peer: AddressEntry,
    direction: Direction,
    key: u32,
) -> Option<Interval> {
    const ROW_DEFAULT: u32 = 0;
    let mut policy = PolicyKey {
        slot: node.slot,
        subject: subject.identity,
        peer: peer.class,
        direction: direction as u32,
    };
    let found = node.tables.policy(&policy).or_else(|| {
        policy.peer = ROW_DEFAULT;
        node.tables.policy(&policy)
    })?;
    search(node.tables, found, key)
}

/// The last interval that starts at or before `key`. Halves the run a fixed number of times, so that the
/// verifier sees it end.
#[inline(always)]
fn search<T: Tables>(tables: &T, run: PolicyEntry, key: u32) -> Option<Interval> {
    let (mut first, mut count) = (run.first, run.count);
    for _ in 0..MAX_SEARCH_STEPS {
        if count <= 1 {
            break;
        }
        let half = count / 2;
        let middle = first.wrapping_add(half);
        if tables.interval(middle)?.start <= key {
            first = middle;
        }
        count -= half;
    }
    if count != 1 {
        return None; // empty, or longer than a slot
    }
    tables.interval(first).filter(|interval| interval.start <= key)
}
