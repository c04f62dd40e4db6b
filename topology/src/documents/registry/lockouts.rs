//! Whom policy would cut off, without a look at all workloads.

use std::collections::BTreeSet;

use super::Registry;
use crate::failsafe::{Dependent, Lockout, Need, lockouts_among};
use crate::model::Workload;

impl Registry {
    /// What policy would cut off of `needs`: as [`crate::failsafe::lockouts`] says, at a cost of the needs.
    pub fn lockouts(&self, needs: &BTreeSet<Need>) -> Vec<Lockout> {
        let concerned = needs.iter().flat_map(|need| self.concerned(need));
        lockouts_among(&self.model, concerned, needs)
    }

    /// The workloads that a need may be about.
    fn concerned<'r>(&'r self, need: &Need) -> impl Iterator<Item = &'r Workload> + use<'r> {
        let Need { dependent, address, .. } = need;
        let (asker, node) = match dependent {
            Dependent::Asker(address) => (Some(address), None),
            Dependent::Node(node) => (None, Some(node)),
        };
        let here = asker.into_iter().chain([address]);
        let owners: Vec<_> = here.filter_map(|address| self.held.claims.get(address)?.workload()).collect();
        let machine =
            node.and_then(|node| self.held.machines.get(node)).map(|machine| machine.workload.clone());
        owners.into_iter().chain(machine).filter_map(move |name| self.model.workloads.get(&name))
    }
}
