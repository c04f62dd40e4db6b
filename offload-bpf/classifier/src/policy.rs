//! Policy: which rule decides a layer-4 key between two ends, and how.

use selvedge_abi::{
    AddressEntry, DECISION_ALLOW, DECISION_DRAIN, DECISION_LOG, DECISION_STATELESS, Direction, Interval,
    MAX_SEARCH_STEPS, PolicyKey, Reason, Run,
};

use crate::{
    ends::{Ends, Node},
    tables::Tables,
};

/// The ends that are asked, or that have answered: bits, in the direction of the packet.
pub(crate) type Sides = u32;
/// Egress policy of the source.
pub(crate) const EGRESS: Sides = 1;
/// Ingress policy of the destination.
pub(crate) const INGRESS: Sides = 2;
pub(crate) const BOTH: Sides = EGRESS | INGRESS;
/// How far above the sides that are asked those stand of which the connection is established, so that it may drain.
const ESTABLISHED: u32 = 2;

/// Both sides, about a connection that is established at `covered`.
#[inline(always)]
pub(crate) fn again(covered: Sides) -> Sides {
    BOTH | covered << ESTABLISHED
}

/// The same ends, in the other direction.
#[inline(always)]
pub(crate) fn reversed(sides: Sides) -> Sides {
    (sides & EGRESS) << 1 | (sides & INGRESS) >> 1
}

/// What policy says of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// Allowed, and no end wants an entry in the connection table. The first, so that [`Judgement::NONE`] is all zeroes:
    /// another constant would be copied from a map of its own.
    Stateless,
    /// Allowed, and an end wants one.
    Tracked,
    Denied,
    /// An end denies, and lets what is established at it go on; the other end doesn't object.
    Draining,
    /// The tables say nothing, which they should.
    NoPolicy,
}

/// A ruling and the rules behind it; 0 where none spoke.
#[derive(Clone, Copy)]
pub(crate) struct Judgement {
    pub(crate) ruling: Ruling,
    /// Sides that allow without an entry. Each end is asked as if it were alone on its node, so one that tracks gets its
    /// entry though the other doesn't; the entry then covers the one end only.
    pub(crate) untracked: Sides,
    pub(crate) egress_rule: u32,
    pub(crate) ingress_rule: u32,
    /// One of the rules wants its decisions logged.
    pub(crate) logged: bool,
}

impl Judgement {
    pub(crate) const NONE: Self =
        Self { ruling: Ruling::Stateless, untracked: 0, egress_rule: 0, ingress_rule: 0, logged: false };

    /// The rule to name: the one that denied, or that of the stricter end.
    #[inline(always)]
    pub(crate) fn rule(&self) -> u32 {
        match self.ruling {
            Ruling::NoPolicy => 0,
            _ if self.ingress_rule != 0 => self.ingress_rule,
            _ => self.egress_rule,
        }
    }

    /// The reason of a packet that is not allowed by itself.
    #[inline(always)]
    pub(crate) fn refusal(&self) -> Option<Reason> {
        match self.ruling {
            Ruling::NoPolicy => Some(Reason::NoPolicy),
            Ruling::Denied | Ruling::Draining => Some(Reason::PolicyDeny),
            Ruling::Tracked | Ruling::Stateless => None,
        }
    }

    /// Adds what the next end says of `sides`; the rule behind it. Next to one that lets drain, one that allows has no part.
    #[inline(always)]
    fn and(&mut self, decided: Option<Decided>, side: Sides, sides: Sides) -> u32 {
        let Some(Decided { rule, decision }) = decided else {
            self.ruling = Ruling::NoPolicy;
            return 0;
        };
        self.logged |= decision & DECISION_LOG != 0;
        let drains = self.ruling == Ruling::Draining;
        if decision & DECISION_ALLOW == 0 {
            let established = sides & side << ESTABLISHED != 0;
            let drains = established && decision & DECISION_DRAIN != 0;
            self.ruling = if drains { Ruling::Draining } else { Ruling::Denied };
            return rule;
        }
        if decision & DECISION_STATELESS != 0 {
            self.untracked |= side;
        } else if !drains {
            self.ruling = Ruling::Tracked;
        }
        if drains { 0 } else { rule }
    }
}

/// Egress policy of a source behind this node, then ingress policy of a destination behind this node, of those sides
/// that are asked. Not inlined: two ways lead here, and one copy is enough.
#[inline(never)]
pub(crate) fn judge<T: Tables>(
    node: &Node<'_, T>,
    ends: &Ends,
    key: u32,
    sides: Sides,
    judgement: &mut Judgement,
) {
    if sides & EGRESS != 0 && ends.source.ifindex != 0 {
        let decided = decide(node, ends.source, ends.destination, Direction::Egress, key);
        judgement.egress_rule = judgement.and(decided, EGRESS, sides);
    }
    let open = !matches!(judgement.ruling, Ruling::Denied | Ruling::NoPolicy);
    if open && sides & INGRESS != 0 && ends.destination.ifindex != 0 {
        let decided = decide(node, ends.destination, ends.source, Direction::Ingress, key);
        judgement.ingress_rule = judgement.and(decided, INGRESS, sides);
    }
}

#[inline(always)]
fn decide<T: Tables>(
    node: &Node<'_, T>,
    subject: AddressEntry,
    peer: AddressEntry,
    direction: Direction,
    key: u32,
) -> Option<Decided> {
    let policy = PolicyKey {
        slot: node.slot,
        subject: subject.identity,
        peer: peer.class,
        direction: direction as u32,
    };
    node.tables.decide(policy, key)
}

/// What the tables say of a layer-4 key: the policy towards the peer's class, else the row's default. [`Tables::decide`] by
/// lookups, for whoever has nothing better.
#[inline(always)]
pub fn look_up<T: Tables>(tables: &T, mut policy: PolicyKey, key: u32) -> Option<Decided> {
    const ROW_DEFAULT: u32 = 0;
    let found = tables.policy(&policy).or_else(|| {
        policy.peer = ROW_DEFAULT;
        tables.policy(&policy)
    })?;
    let decisive = match found.run() {
        Some(run) => search(tables, run, key),
        None => found.find(key),
    };
    let Interval { rule, decision, .. } = decisive?;
    Some(Decided { rule, decision })
}

/// What policy says of a layer-4 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The rule, or tier default.
    pub rule: u32,
    /// Bits `DECISION_*`.
    pub decision: u32,
}

/// The last interval that starts at or before `key`. Halves the run a fixed number of times, so that the
/// verifier sees it end.
#[inline(always)]
fn search<T: Tables>(tables: &T, run: Run, key: u32) -> Option<Interval> {
    let Run { mut first, mut count } = run;
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
