//! What users demand of their policy: assertions, judged for all packets that they are about.
//!
//! An assertion is judged between ends that neither policy nor the assertion can tell apart, and between two ends for every layer-4
//! key that it names. So one that holds, holds for every workload and address; one that does not has a counterexample.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::compile::{Cidrs, CompileError, resolve};
use crate::diff::ends::Ends;
use crate::diff::intervals::pieces;
use crate::diff::rows::{List, Rows};
use crate::diff::rules::Rules;
use crate::diff::{End, Named, Verdict};
use crate::identity::{Identity, IdentityKey, IdentityTable};
use crate::l4::{L4Match, L4Range};
use crate::labels::Labels;
use crate::model::{CidrBlock, Direction, Entity, Model, Peer, Place, RuleId};
use crate::names::WorkloadName;
use crate::oracle::FlowOutcome;
use crate::plan::PlanSet;

/// Assertions of one document.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The document's name.
    pub name: String,
    /// In the document's order.
    pub assertions: Vec<Assertion>,
}

/// What new connections are to come to.
#[derive(Clone, Debug)]
pub struct Assertion {
    /// What it says, in its author's words.
    pub name: String,
    /// Where they come from.
    pub from: Ground,
    /// Where they go.
    pub to: Ground,
    /// The layer-4 keys: any of these.
    pub ports: BTreeSet<L4Match>,
    /// What is to become of every one of them.
    pub expect: Expect,
    /// Whether it may be about nobody.
    pub allow_empty: bool,
    /// Where the document says it.
    pub place: Place,
}

/// Some of all ends.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Any of these.
    pub any: Vec<Whom>,
    /// And none of these.
    pub except: Vec<Whom>,
}

/// Who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// As in rules.
    Peer(Peer),
    /// One workload.
    Workload(WorkloadName),
}

/// What is to become of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// They pass: both ends allow them, or nobody enforces.
    Allowed,
    /// An end denies them. Where nobody enforces they are not denied.
    Denied,
}

/// What came of an assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Pairs of ends that it is about.
    pub pairs: usize,
    /// Pairs of those that break it.
    pub broken: usize,
    /// One connection of each of some of these.
    pub counterexamples: Vec<Counterexample>,
}

impl Checked {
    /// Whether it holds, and is about somebody where it has to be.
    pub fn holds(&self, assertion: &Assertion) -> bool {
        self.broken == 0 && (self.pairs > 0 || assertion.allow_empty)
    }
}

/// A connection that breaks an assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// Who opens it.
    pub from: (IpAddr, Option<WorkloadName>),
    /// To whom.
    pub to: (IpAddr, Option<WorkloadName>),
    /// With which keys.
    pub range: L4Range,
    /// What becomes of it.
    pub outcome: FlowOutcome,
    /// The rule, or default, by which the source's policy goes; `None` where nobody enforces for it.
    pub egress: Option<Named>,
    /// Likewise the destination's; `None` also where the source's denies.
    pub ingress: Option<Named>,
}

/// Counterexamples of one assertion.
const SHOWN: usize = 5;

/// What comes of `assertions` by the policy of `model`; as many, in their order.
pub fn check(
    model: &Model,
    identities: &IdentityTable,
    assertions: &[&Assertion],
) -> Result<Vec<Checked>, CompileError> {
    let ends = Ends::of([model, model], identities, parts(model, assertions))?;
    let rows = Rows::of(ends.compilers())?;
    let judge = Judge { model, identities, ends: &ends.all, rows, rules: Rules::of([model, model]) };
    Ok(assertions.iter().map(|assertion| judge.check(assertion)).collect())
}

/// What assertions can tell apart, beside what rules can.
fn parts(model: &Model, assertions: &[&Assertion]) -> Cidrs {
    let mut parts = Cidrs::default();
    let grounds = assertions.iter().flat_map(|assertion| [&assertion.from, &assertion.to]);
    for whom in grounds.flat_map(|ground| ground.any.iter().chain(&ground.except)) {
        let blocks: Vec<&CidrBlock> = match whom {
            Whom::Peer(Peer::Cidr(block)) => vec![block],
            Whom::Peer(Peer::Group(name)) => model.cidr_groups.get(name).into_iter().flatten().collect(),
            Whom::Peer(Peer::Selector(_) | Peer::Entity(_)) => Vec::new(),
            Whom::Workload(name) => {
                for address in model.workloads.get(name).into_iter().flat_map(|workload| &workload.addresses)
                {
                    parts.name(IpNet::from(*address));
                }
                continue;
            }
        };
        for cidr in blocks.into_iter().flat_map(|block| block.except.iter().chain([&block.cidr])) {
            parts.name(*cidr);
        }
    }
    parts
}

struct Judge<'m> {
    model: &'m Model,
    identities: &'m IdentityTable,
    ends: &'m [End<'m>],
    rows: Rows<'m>,
    rules: Rules,
}

impl Judge<'_> {
    fn check(&self, assertion: &Assertion) -> Checked {
        let within = |ground: &Ground| -> Vec<&End<'_>> {
            let meant = |end: &&End<'_>| {
                ground.any.iter().any(|whom| self.is(end, whom))
                    && !ground.except.iter().any(|whom| self.is(end, whom))
            };
            self.ends.iter().filter(meant).collect()
        };
        let (sources, destinations) = (within(&assertion.from), within(&assertion.to));
        let mut checked = Checked { pairs: 0, broken: 0, counterexamples: Vec::new() };
        for destination in destinations {
            let ranges = self.ranges(assertion, destination);
            if ranges.is_empty() {
                continue;
            }
            let mut known: HashMap<(List, List), Option<(L4Range, Verdict)>> = HashMap::new();
            for source in &sources {
                let [egress, _] = self.rows.between(source, Direction::Egress, destination);
                let [ingress, _] = self.rows.between(destination, Direction::Ingress, source);
                let broken = *known.entry((egress, ingress)).or_insert_with(|| {
                    let (egress, ingress) = (self.rows.list(egress), self.rows.list(ingress));
                    ranges.iter().find_map(|range| breaks(assertion.expect, *range, egress, ingress))
                });
                let Some((from, to)) = source.pair(destination) else { continue };
                checked.pairs += 1;
                let Some((range, verdict)) = broken else { continue };
                checked.broken += 1;
                if checked.counterexamples.len() < SHOWN {
                    checked.counterexamples.push(Counterexample {
                        from: (from.address, from.workload.cloned()),
                        to: (to.address, to.workload.cloned()),
                        range,
                        outcome: verdict.outcome(),
                        egress: verdict.egress.map(|decision| self.rule(decision.rule)),
                        ingress: verdict.ingress.map(|decision| self.rule(decision.rule)),
                    });
                }
            }
        }
        checked
    }

    /// The keys that an assertion is about where this is the destination.
    fn ranges(&self, assertion: &Assertion, destination: &End<'_>) -> Vec<L4Range> {
        let workload = destination.workloads().next().and_then(|name| self.model.workloads.get(name));
        assertion.ports.iter().filter_map(|port| resolve(port, workload)).collect()
    }

    fn rule(&self, rule: RuleId) -> Named {
        self.rules.get(0, rule).cloned().unwrap_or_else(|| Named { display: rule.to_string(), place: None })
    }

    /// Whether the addresses of `end` are meant; as parted, all of them are or none.
    fn is(&self, end: &End<'_>, whom: &Whom) -> bool {
        let identity = end.taken[0].identity;
        let holds = |block: &CidrBlock| end.address().is_some_and(|address| block.contains(address));
        match whom {
            Whom::Workload(name) => end.workloads().any(|workload| workload == name),
            Whom::Peer(Peer::Selector(selector)) => {
                self.labels(identity).is_some_and(|labels| selector.matches(&labels))
            }
            Whom::Peer(Peer::Entity(entity)) => match entity {
                Entity::Any => true,
                Entity::World => identity == Identity::WORLD,
                Entity::Host => identity == Identity::HOST,
                Entity::RemoteNode => identity == Identity::REMOTE_NODE,
                Entity::Unmanaged => self.labels(identity).is_some() && end.is_unmanaged(),
            },
            Whom::Peer(Peer::Cidr(block)) => holds(block),
            Whom::Peer(Peer::Group(name)) => {
                self.model.cidr_groups.get(name).into_iter().flatten().any(holds)
            }
        }
    }

    /// The labels of workloads; `None` for who is none.
    fn labels(&self, identity: Identity) -> Option<Labels> {
        match self.identities.key(identity) {
            Some(IdentityKey::Labels(labels)) => Some(labels.labels().clone()),
            Some(IdentityKey::Cidr(_)) => None,
            None => (identity == Identity::UNMANAGED).then(Labels::default),
        }
    }
}

/// The first keys of `range` of which something else becomes than is expected.
fn breaks(
    expect: Expect,
    range: L4Range,
    egress: Option<&PlanSet>,
    ingress: Option<&PlanSet>,
) -> Option<(L4Range, Verdict)> {
    pieces([egress, ingress].into_iter().flatten()).into_iter().find_map(|piece| {
        let (first, last) = (piece.first.max(range.first), piece.last.min(range.last));
        if first > last {
            return None;
        }
        let decide = |list: Option<&PlanSet>| list.and_then(|list| list.decide(first));
        let verdict = Verdict::of(decide(egress), decide(ingress));
        let denied = verdict.outcome() == FlowOutcome::Denied;
        (denied != (expect == Expect::Denied)).then_some((L4Range { first, last }, verdict))
    })
}
