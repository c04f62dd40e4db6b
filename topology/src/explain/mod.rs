//! Why a new connection is allowed or denied: the oracle's walk, tier by tier, for every layer-4 key.
//!
//! Nothing here decides anything. [`crate::oracle`] does, and says on its way which policies select and which rules match.

mod ends;
mod points;
mod ports;

use std::fmt::Display;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

pub use ends::{End, EndKind, NoEnd, end};
pub use points::passed;
pub use ports::{NoPorts, ports};

use crate::l4::{L4Key, L4Range};
use crate::model::{Action, Direction, Model, Place, Policy, Rule, RuleId};
use crate::names::{PolicyName, TierName, WorkloadName};
use crate::oracle::{self, FlowOutcome, Judgement, Side, Stage};
use crate::plan::Outcome;

/// What becomes of new connections from one end to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The addresses for which it holds, source and destination; each pair is of one family.
    pub pairs: Vec<Pair>,
    /// What becomes of them by layer-4 key: in order, no key twice, and all that was asked for.
    pub intervals: Vec<Interval>,
}

/// A source and a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Pair {
    /// Who opens the connection.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
}

/// What becomes of new connections with one of these keys; all for the same reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// The keys.
    #[serde(rename = "ports", serialize_with = "as_text")]
    pub range: L4Range,
    /// What becomes of them.
    pub verdict: FlowOutcome,
    /// What the source's policy says; `None` where nobody enforces for the source.
    pub egress: Option<Trace>,
    /// What the destination's policy says; `None` where nobody enforces for the destination.
    pub ingress: Option<Trace>,
}

impl Interval {
    /// The traces there are.
    pub fn traces(&self) -> impl Iterator<Item = &Trace> {
        self.egress.iter().chain(&self.ingress)
    }
}

/// What one end's policy says, and how it came to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// Whose policy.
    pub workload: WorkloadName,
    /// Seen from it.
    pub direction: Direction,
    /// What it says.
    pub decision: Decision,
    /// What it would say without the rule that decides; `None` where a default does.
    pub next: Option<Decision>,
    /// The tiers that were walked.
    pub tiers: Vec<Step>,
}

/// What policy says of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// What happens.
    #[serde(serialize_with = "as_text")]
    pub outcome: Outcome,
    /// The rule, or default, that decides, as users see it.
    pub rule: String,
    /// Its number.
    #[serde(serialize_with = "as_text")]
    pub id: RuleId,
    /// Where the documents say it; `None` for a default.
    pub place: Option<Place>,
}

/// A tier on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The tier.
    pub tier: TierName,
    /// Its policies that select the workload for the direction.
    pub policies: Vec<PolicyName>,
    /// Their rules that match, those that count most first.
    pub rules: Vec<Matching>,
    /// What the tier came to.
    pub came_to: CameTo,
}

/// A rule that matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Matching {
    /// As users see it.
    pub rule: String,
    /// What it does.
    pub action: Action,
    /// Where the documents say it.
    pub place: Place,
}

/// What a tier comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CameTo {
    /// A rule of it decides.
    Rule,
    /// It isolates, and its default denies.
    Default,
    /// A rule leaves it to the next tier.
    Pass,
    /// Nothing matches, and the next tier is asked.
    Nothing,
}

fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl From<Judgement> for Decision {
    fn from(judgement: Judgement) -> Self {
        let Judgement { outcome, rule: id, display: rule, place, logged: _ } = judgement;
        Self { outcome, rule, id, place }
    }
}

/// What becomes of new connections from `source` to `destination` with keys in `asked`: one answer for each reason that there is for
/// the addresses of the two to differ. None where no address of the one can open a connection to one of the other.
pub fn explain(model: &Model, source: &End, destination: &End, asked: &[L4Range]) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::new();
    for pair in pairs(source, destination) {
        let asked = asked.iter().filter(|range| ports::is_of_family(**range, pair.source));
        let intervals: Vec<Interval> = asked.flat_map(|range| intervals(model, pair, *range)).collect();
        match answers.iter_mut().find(|answer| answer.intervals == intervals) {
            Some(same) => same.pairs.push(pair),
            None if intervals.is_empty() => {}
            None => answers.push(Answer { pairs: vec![pair], intervals }),
        }
    }
    answers
}

/// The addresses between which there can be connections.
fn pairs<'e>(source: &'e End, destination: &'e End) -> impl Iterator<Item = Pair> + 'e {
    let pairs = source.addresses.iter().flat_map(|source| {
        destination.addresses.iter().map(|destination| Pair { source: *source, destination: *destination })
    });
    pairs
        .filter(|pair| pair.source.is_ipv4() == pair.destination.is_ipv4() && pair.source != pair.destination)
}

/// What becomes of new connections with keys in `range`, in as few intervals as all their reasons allow.
fn intervals(model: &Model, Pair { source, destination }: Pair, range: L4Range) -> Vec<Interval> {
    let ends = oracle::sides(model, source, destination).map(|side| side.map(|side| Seat::new(model, side)));
    let cuts = ends.iter().flatten().flat_map(Seat::cuts).collect();
    let mut intervals: Vec<Interval> = Vec::new();
    for range in ports::pieces(range, &cuts) {
        let [egress, ingress] = ends.each_ref().map(|seat| Some(seat.as_ref()?.trace(model, range.first)));
        let outcomes = egress.iter().chain(&ingress).map(|trace| trace.decision.outcome);
        let verdict = oracle::fate(outcomes);
        match intervals.last_mut() {
            Some(last) if (last.verdict, &last.egress, &last.ingress) == (verdict, &egress, &ingress) => {
                last.range.last = range.last;
            }
            _ => intervals.push(Interval { range, verdict, egress, ingress }),
        }
    }
    intervals
}

/// An end that is enforced for, and the policies that select it.
struct Seat<'m> {
    side: Side<'m>,
    selecting: Vec<&'m Policy>,
}

impl<'m> Seat<'m> {
    fn new(model: &'m Model, side: Side<'m>) -> Self {
        Self { side, selecting: oracle::selecting(model, side.subject) }
    }

    /// Where what the policies say may change: the first key of every range that a rule matches, and the first one behind it.
    fn cuts(&self) -> impl Iterator<Item = L4Key> {
        let rules = self.selecting.iter().flat_map(|policy| policy.rules(self.side.direction)).flatten();
        let ranges =
            rules.flat_map(|rule| &rule.ports).filter_map(|matched| ports::range_of(matched, &self.side));
        ranges.flat_map(|range| [Some(range.first), range.last.next()]).flatten()
    }

    fn judged(&self, model: &'m Model, selecting: &[&'m Policy], key: L4Key) -> oracle::Walk<'m> {
        oracle::walk(model, selecting, self.side.subject, self.side.direction, &self.side.peer, key)
    }

    fn trace(&self, model: &'m Model, key: L4Key) -> Trace {
        let oracle::Walk { stages, judgement } = self.judged(model, &self.selecting, key);
        let direction = self.side.direction;
        Trace {
            workload: self.side.subject.name.clone(),
            direction,
            next: self.without(model, judgement.rule, key),
            decision: judgement.into(),
            tiers: stages.iter().map(|stage| step(stage, direction)).collect(),
        }
    }

    /// What the policies would say if rule `id` were not there; `None` where none of them has it.
    fn without(&self, model: &Model, id: RuleId, key: L4Key) -> Option<Decision> {
        let has = |policy: &&Policy| policy.all_rules().any(|rule| rule.id == id);
        let index = self.selecting.iter().position(has)?;
        let mut policy = self.selecting[index].clone();
        for rules in [&mut policy.ingress, &mut policy.egress].into_iter().flatten() {
            rules.retain(|rule| rule.id != id);
        }
        let mut selecting = self.selecting.clone();
        selecting[index] = &policy;
        let Side { subject, direction, peer } = &self.side;
        Some(oracle::judge_by(model, &selecting, subject, *direction, peer, key).into())
    }
}

fn step(stage: &Stage<'_>, direction: Direction) -> Step {
    let Stage { tier, policies, matching } = stage;
    let came_to = match stage.deciding() {
        Some((_, Rule { action: Action::Pass, .. })) => CameTo::Pass,
        Some(_) => CameTo::Rule,
        None if stage.denies_by_default() => CameTo::Default,
        None => CameTo::Nothing,
    };
    let matching_rule = |(policy, rule): &(&Policy, &Rule)| Matching {
        rule: crate::rules::display(&policy.name, direction, rule),
        action: rule.action,
        place: rule.place.clone(),
    };
    // As `Stage::deciding` reads them.
    let rank = |(_, rule): &&(&Policy, &Rule)| match rule.action {
        Action::Deny => 0,
        Action::Allow => 1,
        Action::Pass => 2,
    };
    let mut rules: Vec<_> = matching.iter().collect();
    rules.sort_by_key(rank);
    Step {
        tier: tier.name.clone(),
        policies: policies.iter().map(|policy| policy.name.clone()).collect(),
        rules: rules.into_iter().map(matching_rule).collect(),
        came_to,
    }
}
