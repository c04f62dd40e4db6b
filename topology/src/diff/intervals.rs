//! What becomes of every layer-4 key between two ends: the decision lists of both, of before and after, laid over each other.

use std::collections::BTreeSet;

use super::ends::Both;
use crate::l4::{L4Key, L4Range};
use crate::model::Established;
use crate::oracle::FlowOutcome;
use crate::plan::{Decision, Outcome, PlanSet};

/// What a change does to new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// They were denied, and pass.
    Opens,
    /// They passed, and are denied.
    Closes,
    /// They pass as before, or are denied as before, but another rule says so, or says it otherwise: logged or not, tracked or not, and what
    /// becomes of connections established before.
    Reattributes,
}

/// What the ends of a connection say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Verdict {
    /// What the source's policy says; `None` where nobody enforces for the source.
    pub egress: Option<Decision>,
    /// What the destination's policy says; `None` where nobody enforces for the destination, or where it is not asked because the
    /// source's denies.
    pub ingress: Option<Decision>,
}

impl Verdict {
    pub(crate) fn of(egress: Option<Decision>, ingress: Option<Decision>) -> Self {
        let asked = egress.is_none_or(|decision| decision.outcome.is_allowed());
        Self { egress, ingress: ingress.filter(|_| asked) }
    }

    /// What happens to the connection.
    pub fn outcome(&self) -> FlowOutcome {
        let mut decisions = self.egress.iter().chain(&self.ingress).peekable();
        if decisions.peek().is_none() {
            FlowOutcome::Unenforced
        } else if decisions.all(|decision| decision.outcome.is_allowed()) {
            FlowOutcome::Allowed
        } else {
            FlowOutcome::Denied
        }
    }
}

/// Keys of which the same becomes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Changed {
    pub(super) kind: Kind,
    pub(super) verdicts: Both<Verdict>,
    /// What becomes of established connections, where it closes.
    pub(super) established: Option<Established>,
    /// Sorted, apart from each other.
    pub(super) ranges: Vec<L4Range>,
}

/// What changes, of all keys, where these are the decision lists of source and destination, before and after. Sorted.
pub(super) fn changed(egress: Both<Option<&PlanSet>>, ingress: Both<Option<&PlanSet>>) -> Vec<Changed> {
    let mut all: Vec<Changed> = Vec::new();
    for range in pieces(egress.into_iter().chain(ingress).flatten()) {
        let decide = |list: Option<&PlanSet>| list.and_then(|list| list.decide(range.first));
        let said = [0, 1].map(|side: usize| [decide(egress[side]), decide(ingress[side])]);
        let verdicts = said.map(|[egress, ingress]| Verdict::of(egress, ingress));
        let Some(kind) = kind(verdicts) else { continue };
        let established = (kind == Kind::Closes).then(|| established(said[1]));
        let alike =
            |changed: &&mut Changed| changed.verdicts == verdicts && changed.established == established;
        let same = all.iter_mut().find(alike);
        match same {
            Some(changed) => match changed.ranges.last_mut() {
                Some(before) if before.last.next() == Some(range.first) => before.last = range.last,
                _ => changed.ranges.push(range),
            },
            None => all.push(Changed { kind, verdicts, established, ranges: vec![range] }),
        }
    }
    all.sort();
    all
}

/// All keys, cut wherever an interval of `lists` begins: what they say does not change inside.
pub(crate) fn pieces<'s>(lists: impl Iterator<Item = &'s PlanSet>) -> Vec<L4Range> {
    let firsts = lists.flat_map(|list| &list.intervals).map(|interval| interval.first);
    let firsts: BTreeSet<L4Key> = firsts.chain([L4Key::FIRST]).collect();
    let lasts = firsts.iter().skip(1).filter_map(|next| next.previous()).chain([L4Key::LAST]);
    firsts.iter().zip(lasts).map(|(first, last)| L4Range { first: *first, last }).collect()
}

fn kind([before, after]: Both<Verdict>) -> Option<Kind> {
    let passes = |verdict: Verdict| verdict.outcome() != FlowOutcome::Denied;
    match (passes(before), passes(after)) {
        (false, true) => Some(Kind::Opens),
        (true, false) => Some(Kind::Closes),
        _ => (before != after).then_some(Kind::Reattributes),
    }
}

/// What becomes of connections that were established before: each end that denies them says, and cutting goes before draining.
fn established(said: [Option<Decision>; 2]) -> Established {
    let cuts = |decision: &Decision| decision.outcome == Outcome::Denied;
    if said.iter().flatten().any(cuts) { Established::Cut } else { Established::Drain }
}
