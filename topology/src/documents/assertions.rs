//! Documents of assertions: read beside a fabric, of which they are no part.

use std::collections::BTreeSet;

use super::decode::{Decode, Field, List, Located};
use super::files::{Files, Piece};
use super::kinds::{AssertionSpec, ENVELOPE, POLICY_TEST, PolicyTestSpec, WhomSpec};
use super::load::{envelope, refuse_size};
use super::sink::Sink;
use super::tree::{Node, Typed};
use super::validate::{Groups, Rest, entity_or_block, port_match, selector, unknown};
use super::{Diagnostic, SourceFile, limits, parse};
use crate::assertions::{Assertion, Ground, Suite, Whom};
use crate::model::{Model, Peer};
use crate::names::WorkloadName;

/// Reads assertions about `model` from files, in their order; or every error that they have.
pub fn load_tests(files: &[SourceFile], model: &Model) -> Result<Vec<Suite>, Vec<Diagnostic>> {
    let mut names = Files::default();
    let pieces: Vec<_> = files.iter().map(|file| Piece::of_file(file, &mut names)).collect();
    let mut sink = Sink::new(&names, pieces.clone());
    let (mut suites, mut total) = (Vec::new(), 0_usize);
    for piece in &pieces {
        total = total.saturating_add(piece.text.len());
        if !refuse_size(piece, total, &mut sink) {
            parse::documents(*piece, &mut sink, |root, _, sink| suites.extend(suite(root, model, sink)));
        }
    }
    if sink.has_errors() { Err(sink.finish(Vec::new())) } else { Ok(suites) }
}

fn suite(root: &Node, model: &Model, sink: &mut Sink<'_>) -> Option<Suite> {
    if root.typed() == Some(Typed::Null) {
        return None;
    }
    let envelope = envelope(root, &[(POLICY_TEST, ())], sink)?;
    let spec = PolicyTestSpec::decode(&envelope.spec.node, &ENVELOPE[3], sink)?;
    let groups = Groups { names: model.cidr_groups.keys().cloned().collect(), rest: Rest::Nothing };
    let assertions = spec.assertions.value().into_iter().flat_map(|list| &list.0);
    let assertions = assertions.filter_map(|located| assertion(located, model, &groups, sink)).collect();
    Some(Suite { name: envelope.name?.value.0.to_string(), assertions })
}

fn assertion(
    Located { value: spec, span }: &Located<AssertionSpec>,
    model: &Model,
    groups: &Groups<'_>,
    sink: &mut Sink<'_>,
) -> Option<Assertion> {
    let from = ground(&spec.from, &spec.except_from, (model, groups), sink);
    let to = ground(&spec.to, &spec.except_to, (model, groups), sink);
    let ports = spec.ports.value().into_iter().flat_map(|ports| &ports.0);
    let ports: BTreeSet<_> = ports.filter_map(|port| port_match(&port.value, sink)).collect();
    Some(Assertion {
        name: spec.name.value()?.0.clone(),
        from,
        to,
        ports,
        expect: *spec.expect.value()?,
        allow_empty: spec.allow_empty.or(false)?,
        place: sink.place(*span),
    })
}

type Whoms = Field<List<WhomSpec, 1, { limits::PEERS }>>;

fn ground(any: &Whoms, except: &Whoms, of: (&Model, &Groups<'_>), sink: &mut Sink<'_>) -> Ground {
    let mut whoms = |field: &Whoms| -> Vec<Whom> {
        let specs = field.value().into_iter().flat_map(|list| &list.0);
        specs.filter_map(|spec| whom(&spec.value, of, sink)).collect()
    };
    Ground { any: whoms(any), except: whoms(except) }
}

fn whom(spec: &WhomSpec, (model, groups): (&Model, &Groups<'_>), sink: &mut Sink<'_>) -> Option<Whom> {
    if let Some(name) = spec.workload.given() {
        if !model.workloads.contains_key(&name.value) {
            let names = model.workloads.keys().map(WorkloadName::as_str);
            unknown("Workload", name.value.as_str(), name.span, names, sink);
            return None;
        }
        return Some(Whom::Workload(name.value.clone()));
    }
    if let Some(spec) = spec.selector.value() {
        return selector(spec).map(|selector| Whom::Peer(Peer::Selector(selector)));
    }
    entity_or_block(&spec.entity, &spec.cidr, &spec.except, &spec.cidr_group, groups, sink).map(Whom::Peer)
}
