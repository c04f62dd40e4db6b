//! Whose an address is: agents know the names of their own workloads only, the controller those of all.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use selvedge_proto::{Flow, Observed};
use selvedge_topology::compile::Before;
use selvedge_topology::model::Model;
use selvedge_topology::names::WorkloadName;

/// The workloads of the desired state, by address. All clones are the same: what one takes over, all know.
#[derive(Clone, Debug, Default)]
pub struct Owners(Arc<RwLock<BTreeMap<IpAddr, WorkloadName>>>);

impl Owners {
    /// Those of `model`.
    pub fn of(model: &Model) -> Self {
        let workloads = model.workloads.values();
        let all = workloads.flat_map(|w| w.addresses.iter().map(|address| (*address, w.name.clone())));
        Self(Arc::new(RwLock::new(all.collect())))
    }

    /// Takes over what changed in `model`, which was as `before` says.
    pub fn update(&self, model: &Model, before: &Before<'_>) {
        let mut owners = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for address in before.workloads.values().flatten().flat_map(|workload| &workload.addresses) {
            owners.remove(address);
        }
        for workload in before.workloads.keys().filter_map(|name| model.workloads.get(*name)) {
            owners.extend(workload.addresses.iter().map(|address| (*address, workload.name.clone())));
        }
    }

    /// Names the ends of `flow` that its agent could not name.
    pub fn name(&self, flow: &mut Flow) {
        let Observed::Ip { source, destination, .. } = &mut flow.packet else { return };
        let owners = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for end in [source, destination] {
            if end.workload.is_none() {
                end.workload = owners.get(&end.address).cloned();
            }
        }
    }
}
