//! Decoded documents → [`Model`]: names, references, addresses and roles, with nothing left to doubt.

mod addresses;
mod demands;
mod fabric;
mod labels;
mod policies;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};

use super::codes::Code;
use super::decode::Located;
use super::kinds::{CidrGroupSpec, FabricSpec, SegmentationPolicySpec, WorkloadSpec};
use super::limits;
use super::sink::{Completeness, Sink, quoted, suggestion};
use super::tree::Span;
use crate::model::{CidrBlock, Model};
use crate::names::{GroupName, PolicyName, WorkloadName};
use crate::rules;
use addresses::AddressBook;

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

/// Makes the model, or reports why there is none.
pub(crate) fn validate(decoded: Decoded, sink: &mut Sink<'_>) -> Option<Model> {
    let Decoded { mut fabrics, workloads, policies, groups } = decoded;
    let mut book = AddressBook::default();
    let group_names: BTreeSet<GroupName> = groups.iter().map(|group| group.name.value.clone()).collect();
    let cidr_groups = cidr_groups(groups, sink);
    for second in fabrics.iter().skip(1) {
        let first = sink.place(fabrics[0].name.span);
        let help = format!("the first is at {first}");
        sink.error(Code::TwoFabrics, second.name.span, "there are two fabrics", help);
    }
    fabrics.truncate(1);
    let fabric = match fabrics.pop() {
        Some(spec) => fabric::fabric(spec, &mut book, sink),
        None => {
            report_no_fabric(sink);
            None
        }
    };
    let frame = fabric.as_ref();
    let workloads = workloads::workloads(workloads, frame, &mut book, sink);
    let mut policies = policies::policies(policies, frame, &group_names, sink);
    if sink.has_errors() {
        return None;
    }
    let fabric::Frame { mut fabric, .. } = fabric?;
    rules::number(&mut fabric, &mut policies);
    Some(Model { fabric, workloads, policies, cidr_groups })
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
    sink: &mut Sink<'_>,
) -> BTreeMap<GroupName, BTreeSet<CidrBlock>> {
    at_most(limits::GROUPS, "CidrGroups", &groups, sink);
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

/// Reports more than `most` documents of a kind.
fn at_most<N, T>(most: usize, what: &str, documents: &[Named<N, T>], sink: &mut Sink<'_>) {
    if let Some(over) = documents.get(most) {
        let message = format!("there are {} {what}, at most {most} are allowed", documents.len());
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
fn unknown<'n>(
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
