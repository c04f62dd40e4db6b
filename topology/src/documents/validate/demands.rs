//! What is demanded of the modes of ports.

use std::collections::BTreeMap;

use selvedge_hw_profiles::profile_names;

use super::super::codes::Code;
use super::super::decode::{Field, Located};
use super::super::kinds::{DemandSpec, FabricSpec, HardwareSpec};
use super::super::sink::{Sink, suggestion};
use super::super::tree::Span;
use super::Names;
use crate::demands::Demand;
use crate::names::ProfileName;

/// What is written under `xdp`; anything goes where nothing is.
pub(super) fn demand(spec: &Field<DemandSpec>, sink: &mut Sink<'_>) -> Demand {
    let Some(Located { value: DemandSpec { require, at_most, forbid }, span }) = spec.given() else {
        return Demand::default();
    };
    let forbid = forbid.value().into_iter().flat_map(|modes| &modes.0).map(|mode| mode.value);
    let demand = Demand {
        require: require.value().copied(),
        at_most: at_most.value().copied(),
        forbid: forbid.collect(),
    };
    possible(&demand, *span, sink);
    demand
}

/// What is demanded of a node's port: by the node, and by the port itself.
pub(super) fn both(of_node: &Demand, spec: &Field<DemandSpec>, sink: &mut Sink<'_>) -> Demand {
    let own = demand(spec, sink);
    let all = of_node.and(&own);
    if let Some(Located { span, .. }) = spec.given().filter(|_| own.can_be_met() && of_node.can_be_met()) {
        possible(&all, *span, sink);
    }
    all
}

fn possible(demand: &Demand, span: Span, sink: &mut Sink<'_>) {
    if !demand.can_be_met() {
        let message = format!("no mode is left: {demand}");
        let help = "modes are, the best first: offload, native, generic".to_owned();
        sink.error(Code::ConflictingFields, span, message, help);
    }
}

/// What is demanded of kinds of devices.
pub(super) fn of_profiles(spec: &FabricSpec, sink: &mut Sink<'_>) -> BTreeMap<ProfileName, Demand> {
    let mut names: Names<ProfileName> = Names::new("hardware profile");
    let mut demands = BTreeMap::new();
    for Located { value: HardwareSpec { profile, xdp }, .. } in
        spec.hardware.value().into_iter().flat_map(|hardware| &hardware.0)
    {
        let Some(name) = profile.given() else { continue };
        let demand = demand(xdp, sink);
        if names.claim(name, sink) {
            known(name, sink);
            demands.insert(name.value.clone(), demand);
        }
    }
    demands
}

/// Agents may have profiles of their own, so another name is no error.
fn known(name: &Located<ProfileName>, sink: &mut Sink<'_>) {
    if profile_names().any(|known| known == name.value.as_str()) {
        return;
    }
    let message = format!("no hardware profile `{}` comes with Selvedge", name.value);
    let own = || "it is one of the agents' own, then (`selvedge-agent run --profiles`)".to_owned();
    let help = suggestion(name.value.as_str(), profile_names()).unwrap_or_else(own);
    sink.warning(Code::UnknownReference, name.span, message, help);
}
