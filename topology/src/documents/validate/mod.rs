//! Decoded documents → [`Model`]: names, references, addresses and roles, with nothing left to doubt.

mod addresses;
mod demands;
mod fabric;
mod labels;
mod policies;
mod rest;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};

use super::codes::Code;
use super::decode::Located;
use super::kinds::{CidrGroupSpec, FabricSpec, Kind, SegmentationPolicySpec, WorkloadSpec};
use super::limits;
use super::sink::{Completeness, Sink, quoted, suggestion};
use super::tree::Span;
use crate::model::{CidrBlock, Model, Policy, Workload};
use crate::names::{GroupName, PolicyName, WorkloadName};
use crate::rules::Numbers;
use addresses::AddressBook;
pub(crate) use addresses::{Claim, Claims};
use fabric::{Frame, Wires};
use labels::LabelBook;
pub(crate) use policies::{entity_or_block, port_match, selector};
pub(crate) use rest::Groups;
pub(crate) use rest::{Going, Rest};
pub(crate) use workloads::{Machine, Machines};

/// A document whose `spec` could be read at least in part.
#[derive(Debug)]
pub(crate) struct Named<N, T> {
    pub(crate) name: Located<N>,
    pub(crate) description: String,
    pub(crate) spec: T,
}

/// Every document, decoded, by kind.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) fabrics: Vec<Named<crate::names::FabricName, FabricSpec>>,
    pub(crate) workloads: Vec<Named<WorkloadName, WorkloadSpec>>,
    pub(crate) policies: Vec<Named<PolicyName, SegmentationPolicySpec>>,
    pub(crate) groups: Vec<Named<GroupName, CidrGroupSpec>>,
}

/// All that documents say, and what it takes to judge another document without reading them again.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) model: Model,
    pub(crate) held: Held,
    pub(crate) numbers: Numbers,
}

/// Who has what of which there is one only.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) wires: Wires,
    pub(crate) labels: LabelBook,
    pub(crate) claims: Claims,
    pub(crate) machines: Machines,
}

/// Documents beside the fabric, valid.
#[derive(Debug, Default)]
pub(crate) struct Valid {
    pub(crate) workloads: BTreeMap<WorkloadName, Workload>,
    pub(crate) policies: BTreeMap<PolicyName, Policy>,
    pub(crate) groups: BTreeMap<GroupName, BTreeSet<CidrBlock>>,
    pub(crate) claims: Claims,
    pub(crate) machines: Machines,
}

/// Makes the model, or reports why there is none.
pub(crate) fn whole(mut decoded: Decoded, sink: &mut Sink<'_>) -> Option<Whole> {
    let fabrics = &mut decoded.fabrics;
    for second in fabrics.iter().skip(1) {
        let first = sink.place(fabrics[0].name.span);
        let help = format!("the first is at {first}");
        sink.error(Code::TwoFabrics, second.name.span, "there are two fabrics", help);
    }
    fabrics.truncate(1);
    let mut book = AddressBook::new(Rest::Nothing);
    let drawn = match fabrics.pop() {
        Some(spec) => Some(fabric::fabric(spec, &mut book, sink)),
        None => {
            report_no_fabric(sink);
            None
        }
    };
    let frame = drawn.as_ref().map(fabric::Drawn::frame);
    let valid = others(decoded, frame, book, sink);
    if sink.has_errors() {
        return None;
    }
    let Valid { workloads, mut policies, groups, claims, machines } = valid;
    let fabric::Drawn { mut fabric, labels, wires } = drawn?;
    let numbers = Numbers::give(&mut fabric, &mut policies);
    let model = Model { fabric, workloads, policies, cidr_groups: groups };
    Some(Whole { model, held: Held { wires, labels, claims, machines }, numbers })
}

/// Judges documents that are to stand beside `rest`. Rules have no numbers yet.
pub(crate) fn beside(decoded: Decoded, rest: Rest<'_>, sink: &mut Sink<'_>) -> Valid {
    others(decoded, rest.frame(), AddressBook::new(rest), sink)
}

fn others(
    decoded: Decoded,
    frame: Option<Frame<'_>>,
    mut book: AddressBook<'_>,
    sink: &mut Sink<'_>,
) -> Valid {
    let Decoded { fabrics: _, workloads, policies, groups } = decoded;
    let rest = book.rest;
    // Named also where what is in them is wrong.
    let names: BTreeSet<GroupName> = groups.iter().map(|group| group.name.value.clone()).collect();
    let groups = cidr_groups(groups, rest, sink);
    let (workloads, machines) = workloads::workloads(workloads, frame, &mut book, sink);
    let policies = policies::policies(policies, frame, &Groups { names, rest }, sink);
    Valid { workloads, policies, groups, claims: book.claims, machines }
}

fn report_no_fabric(sink: &mut Sink<'_>) {
    if sink.completeness() == Completeness::Complete {
        let span = Span { file: 0, line: 1, column: 1, width: 1 };
        let help = "one document must have `kind: Fabric`: it names nodes, ports and links".to_owned();
        sink.error(Code::NoFabric, span, "there is no fabric", help);
    }
}

fn cidr_groups(
    groups: Vec<Named<GroupName, CidrGroupSpec>>,
    rest: Rest<'_>,
    sink: &mut Sink<'_>,
) -> BTreeMap<GroupName, BTreeSet<CidrBlock>> {
    at_most(limits::GROUPS, "CidrGroups", rest.count(Kind::CidrGroup), &groups, sink);
    let mut names = Names::new("CidrGroup");
    let mut all = BTreeMap::new();
    for Named { name, spec, .. } in groups {
        if names.claim(&name, sink) {
            let blocks = spec.cidrs.given().into_iter().flat_map(|cidrs| &cidrs.value.0);
            let blocks = blocks.filter_map(|block| policies::block_of_group(&block.value, sink)).collect();
            all.insert(name.value, blocks);
        }
    }
    all
}

/// Reports more than `most` documents of a kind, `held` of which are there already.
fn at_most<N, T>(most: usize, what: &str, held: usize, documents: &[Named<N, T>], sink: &mut Sink<'_>) {
    if let Some(over) = documents.get(most.saturating_sub(held)) {
        let message = format!("there are {} {what}, at most {most} are allowed", held + documents.len());
        sink.error(Code::TooMany, over.name.span, message, None);
    }
}

/// Names of one kind, each with the place that has it.
struct Names<N> {
    of: &'static str,
    taken: BTreeMap<N, Span>,
}

impl<N: Ord + Clone + ToString> Names<N> {
    fn new(of: &'static str) -> Self {
        Self { of, taken: BTreeMap::new() }
    }

    /// Takes a name; false, with an error that names both places, where it is taken.
    fn claim(&mut self, name: &Located<N>, sink: &mut Sink<'_>) -> bool {
        let Some(first) = self.taken.get(&name.value) else {
            self.taken.insert(name.value.clone(), name.span);
            return true;
        };
        let message = format!("there is another {} `{}`", self.of, name.value.to_string());
        let help = format!("the first is at {}", sink.place(*first));
        sink.error(Code::DuplicateName, name.span, message, help);
        false
    }
}

/// Reports a name that nothing has. Says nothing where documents are missing that might have it.
pub(crate) fn unknown<'n>(
    what: &str,
    name: &str,
    span: Span,
    names: impl Iterator<Item = &'n str>,
    sink: &mut Sink<'_>,
) {
    if sink.completeness() == Completeness::Complete {
        let message = format!("there is no {what} {}", quoted(name));
        sink.error(Code::UnknownReference, span, message, suggestion(name, names));
    }
}
