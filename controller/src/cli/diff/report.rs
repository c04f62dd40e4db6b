//! What a change means, with stable field names for `-o json|yaml`, and made of it the text.

use std::collections::BTreeSet;

use selvedge_topology::diff::{Change, Difference, End, Kind, Named, Nodes, Pairs, Place, Room, Verdict};
use selvedge_topology::model::Established;
use selvedge_topology::names::{NodeName, WorkloadName};
use selvedge_topology::oracle::FlowOutcome;
use selvedge_topology::plan::{Decision, Outcome};
use serde::Serialize;

use super::super::somebody::Somebody;

/// All of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// What it is compared with.
    pub(super) against: String,
    /// Documents that differ.
    pub(super) documents: usize,
    /// Pairs of ends between which connections are opened, for some ports.
    pub(super) opens: usize,
    pub(super) closes: usize,
    pub(super) reattributes: usize,
    pub(super) changes: Vec<Shown>,
    pub(super) nodes: ShownNodes,
    /// Addresses that nobody had before, or nobody has after.
    pub(super) passing: Vec<ShownEnd>,
    /// The ends that changes name by number.
    ends: Vec<ShownEnd>,
}

/// What it means for nodes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownNodes {
    /// Those whose tables need other room.
    pub(super) touched: usize,
    /// On those of them that need most.
    pub(super) rooms: Vec<ShownRoom>,
    /// Why it would be refused: plans that don't fit, and what is known to go unenforced.
    pub(super) refused: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownRoom {
    pub(super) node: NodeName,
    pub(super) table: String,
    pub(super) before: usize,
    pub(super) after: usize,
    pub(super) room: usize,
}

/// The same change of the same ports, between some ends.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    pub(super) kind: Kind,
    pub(super) ports: Vec<String>,
    pub(super) before: ShownVerdict,
    pub(super) after: ShownVerdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) established: Option<Established>,
    pub(super) between: Vec<Between>,
}

#[derive(Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownVerdict {
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) egress: Option<ShownDecision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ingress: Option<ShownDecision>,
}

#[derive(Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownDecision {
    pub(super) verdict: String,
    pub(super) rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<String>,
    pub(super) logged: bool,
}

/// All pairs of some sources and some destinations.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Between {
    pub(super) sources: String,
    pub(super) destinations: String,
    from: Vec<usize>,
    to: Vec<usize>,
    /// Whether an end of each pair comes or goes.
    pub(super) passing: bool,
    pub(super) pairs: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) example: Option<Example>,
}

#[derive(Serialize)]
pub(super) struct Example {
    pub(super) from: Somebody,
    pub(super) to: Somebody,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownEnd {
    pub(super) name: String,
    /// Of workloads and nodes; 1 for addresses that nobody has.
    pub(super) addresses: usize,
    /// Some of them.
    pub(super) workloads: Vec<WorkloadName>,
}

impl Report {
    pub(super) fn of(difference: &Difference<'_>, nodes: &Nodes, against: &str, documents: usize) -> Self {
        let pairs = |kind: Kind| {
            let of_kind = difference.changes.iter().filter(|change| change.kind == kind);
            let pairs: BTreeSet<(usize, usize)> =
                of_kind.flat_map(|change| &change.pairs).flat_map(each).collect();
            pairs.len()
        };
        Self {
            against: against.to_owned(),
            documents,
            opens: pairs(Kind::Opens),
            closes: pairs(Kind::Closes),
            reattributes: pairs(Kind::Reattributes),
            changes: difference.changes.iter().map(|change| shown(difference, change)).collect(),
            nodes: shown_nodes(nodes),
            passing: passing(difference),
            ends: ends(difference),
        }
    }

    pub(super) fn pairs(&self, kind: Kind) -> usize {
        match kind {
            Kind::Opens => self.opens,
            Kind::Closes => self.closes,
            Kind::Reattributes => self.reattributes,
        }
    }
}

fn shown_nodes(Nodes { touched, rooms, exceeding, holes, demands }: &Nodes) -> ShownNodes {
    let room = |Room { node, table, needed: [before, after] }: &Room| ShownRoom {
        node: node.clone(),
        table: table.to_string(),
        before: *before,
        after: *after,
        room: table.room(),
    };
    let refused = exceeding.iter().map(ToString::to_string).chain(holes.iter().map(ToString::to_string));
    ShownNodes {
        touched: touched.len(),
        rooms: rooms.iter().map(room).collect(),
        refused: refused.chain(demands.iter().map(ToString::to_string)).collect(),
    }
}

fn each(pairs: &Pairs) -> impl Iterator<Item = (usize, usize)> + '_ {
    pairs.from.iter().flat_map(|from| pairs.to.iter().map(|to| (*from, *to)))
}

fn shown(difference: &Difference<'_>, change: &Change) -> Shown {
    let verdict = |side: usize| shown_verdict(difference, side, &change.verdicts[side]);
    Shown {
        kind: change.kind,
        ports: change.ranges.iter().map(ToString::to_string).collect(),
        before: verdict(0),
        after: verdict(1),
        established: change.established,
        between: change.pairs.iter().map(|pairs| between(difference, pairs)).collect(),
    }
}

fn between(difference: &Difference<'_>, pairs: &Pairs) -> Between {
    let somebody = |place: Place<'_>| Somebody { workload: place.workload.cloned(), address: place.address };
    let example = difference.example(pairs);
    Between {
        sources: difference.words(&pairs.from),
        destinations: difference.words(&pairs.to),
        from: pairs.from.clone(),
        to: pairs.to.clone(),
        passing: difference.comes_or_goes(pairs),
        pairs: pairs.len(),
        example: example.map(|(from, to)| Example { from: somebody(from), to: somebody(to) }),
    }
}

fn shown_verdict(difference: &Difference<'_>, side: usize, verdict: &Verdict) -> ShownVerdict {
    let decision = |decision: &Decision| {
        let named = difference.rule(side, decision.rule);
        let Named { display, place } =
            named.cloned().unwrap_or_else(|| Named { display: decision.rule.to_string(), place: None });
        ShownDecision {
            verdict: outcome(decision.outcome).to_owned(),
            rule: display,
            place: place.map(|place| place.to_string()),
            logged: decision.logged,
        }
    };
    ShownVerdict {
        verdict: match verdict.outcome() {
            FlowOutcome::Allowed => "allowed",
            FlowOutcome::Denied => "denied",
            FlowOutcome::Unenforced => "unenforced",
        },
        egress: verdict.egress.as_ref().map(decision),
        ingress: verdict.ingress.as_ref().map(decision),
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allowed => "allowed",
        Outcome::AllowedStateless => "allowed, stateless",
        Outcome::Denied => "denied",
        Outcome::DeniedDraining => "denied, draining",
    }
}

fn ends(difference: &Difference<'_>) -> Vec<ShownEnd> {
    difference.ends().iter().enumerate().map(|(number, end)| shown_end(difference, number, end)).collect()
}

fn passing(difference: &Difference<'_>) -> Vec<ShownEnd> {
    let ends = difference.ends().iter().enumerate().filter(|(_, end)| end.comes_or_goes());
    ends.map(|(number, end)| shown_end(difference, number, end)).collect()
}

fn shown_end(difference: &Difference<'_>, number: usize, end: &End<'_>) -> ShownEnd {
    const SOME: usize = 5;
    ShownEnd {
        name: difference.words(&[number]),
        addresses: end.len(),
        workloads: end.workloads().take(SOME).cloned().collect(),
    }
}
