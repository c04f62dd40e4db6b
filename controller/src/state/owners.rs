//! Whose an address is: agents know the names of their own workloads only, the controller those of all.

use std::collections::BTreeMap;
use std::net::IpAddr;

use selvedge_proto::{Flow, Observed};
use selvedge_topology::model::Model;
use selvedge_topology::names::WorkloadName;

/// The workloads of a desired state, by address.
#[derive(Clone, Debug, Default)]
pub struct Owners(BTreeMap<IpAddr, WorkloadName>);

impl Owners {
    /// Those of `model`.
    pub fn of(model: &Model) -> Self {
        let workloads = model.workloads.values();
        Self(workloads.flat_map(|w| w.addresses.iter().map(|address| (*address, w.name.clone()))).collect())
    }

    /// Names the ends of `flow` that its agent could not name.
    pub fn name(&self, flow: &mut Flow) {
        let Observed::Ip { source, destination, .. } = &mut flow.packet else { return };
        for end in [source, destination] {
            if end.workload.is_none() {
                end.workload = self.0.get(&end.address).cloned();
            }
        }
    }
}
