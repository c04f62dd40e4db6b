//! The way back from a draft.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_proto::Sources;
use selvedge_topology::compile::Before;
use selvedge_topology::documents::Key;
use selvedge_topology::model::{CidrBlock, Model, Policy, Workload};
use selvedge_topology::names::{GroupName, PolicyName, WorkloadName};

use super::desk::Made;

/// How what was made of documents becomes again what it was.
pub(super) enum Back {
    /// By an update to the documents as they were, whose chunks these are.
    Update(Sources<Key>),
    /// It is still there, if it ever was.
    Replace(Option<Box<Made>>),
}

/// Some documents as a model has them; `None`: it does not.
pub(super) struct Values {
    workloads: BTreeMap<WorkloadName, Option<Workload>>,
    policies: BTreeMap<PolicyName, Option<Policy>>,
    groups: BTreeMap<GroupName, Option<BTreeSet<CidrBlock>>>,
}

impl Values {
    /// The documents that `names` names, as `model` has them.
    pub(super) fn of(names: &Before<'_>, model: &Model) -> Self {
        fn all<N: Ord + Clone, T: Clone, U>(
            names: &BTreeMap<&N, U>,
            model: &BTreeMap<N, T>,
        ) -> BTreeMap<N, Option<T>> {
            names.keys().map(|name| ((*name).clone(), model.get(*name).cloned())).collect()
        }
        Self {
            workloads: all(&names.workloads, &model.workloads),
            policies: all(&names.policies, &model.policies),
            groups: all(&names.groups, &model.cidr_groups),
        }
    }

    pub(super) fn before(&self) -> Before<'_> {
        fn all<N: Ord, T>(values: &BTreeMap<N, Option<T>>) -> BTreeMap<&N, Option<&T>> {
            values.iter().map(|(name, value)| (name, value.as_ref())).collect()
        }
        Before { workloads: all(&self.workloads), policies: all(&self.policies), groups: all(&self.groups) }
    }
}
