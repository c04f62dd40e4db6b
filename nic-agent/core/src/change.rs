//! What one plan says otherwise than another: what of a slot is to be looked at, and to be tried, again.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use ipnet::IpNet;
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::l4::L4Key;
use selvedge_topology::model::Direction;
use selvedge_topology::plan::{Keyed, Plan, PlanRow, Runs, SetId};

use crate::lower::ROW_DEFAULT;

/// Of which entries something else may be said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The prefixes: of another identity or class, new, gone, or behind another port.
    pub addresses: BTreeSet<IpNet>,
    /// The policy of a subject, in a direction, towards a class, or towards all that its row does not name ([`ROW_DEFAULT`]).
    pub policies: BTreeSet<(Identity, Direction, Class)>,
    /// Where intervals of decision lists began that are others now: an entry that was not written shows there.
    pub keys: BTreeSet<L4Key>,
}

/// What of a slot may be other than a plan says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Touched {
    /// Nothing is known of it.
    #[default]
    Everything,
    /// The rest was proven in it, and says the same since.
    Only(Change),
}

impl Touched {
    /// Whether it is known of something that it is other than the plan says.
    pub fn is_something(&self) -> bool {
        matches!(self, Self::Only(change) if *change != Change::default())
    }
}

impl Change {
    /// What differs between two plans of a node, each with its lists sorted. Takes time by what they do not share.
    pub fn between(before: &Plan, after: &Plan) -> Self {
        let mut change = Self::default();
        each_other(Runs::unshared(&before.addresses, &after.addresses), |entry| {
            change.addresses.insert(entry.prefix);
        });
        let workloads = [&before.workloads, &after.workloads].map(|workloads| workloads.iter());
        each_pair(
            workloads,
            |workload| &workload.name,
            |before, after| {
                if before != after {
                    let addresses = before.into_iter().chain(after).flat_map(|workload| &workload.addresses);
                    change.addresses.extend(addresses.copied().map(IpNet::from));
                }
            },
        );
        let mut sets = BTreeSet::new();
        each_other(Runs::unshared(&before.sets, &after.sets), |set| {
            sets.insert(set.id);
            change.keys.extend(set.intervals.iter().map(|interval| interval.first));
        });
        change.rows(before, after, &sets);
        change
    }

    /// Enters what differs in the policy of each subject; of the same decisions, where they are among `sets`, which are others now.
    fn rows(&mut self, before: &Plan, after: &Plan, sets: &BTreeSet<SetId>) {
        // A row that both have may name decisions that are others.
        let unshared = || Runs::unshared(&before.rows, &after.rows);
        let rows = if sets.is_empty() { unshared() } else { [before, after].map(|plan| plan.rows.slices()) };
        each_pair(rows.map(|runs| runs.into_iter().flatten()), Keyed::key, |before, after| {
            let Some(row) = after.or(before) else { return };
            let mut enter = |class| self.policies.insert((row.subject, row.direction, class));
            let default = |row: Option<&PlanRow>| row.map(|row| row.default);
            if default(before) != default(after) || sets.contains(&row.default) {
                enter(ROW_DEFAULT);
            }
            each_pair(
                [peers(before), peers(after)],
                |(class, _)| *class,
                |before, after| {
                    let Some((class, set)) = after.or(before) else { return };
                    if before != after || sets.contains(set) {
                        enter(*class);
                    }
                },
            );
        });
    }

    /// Takes in what changed besides.
    pub fn absorb(&mut self, later: &Self) {
        self.addresses.extend(&later.addresses);
        self.policies.extend(&later.policies);
        self.keys.extend(&later.keys);
    }
}

fn peers(row: Option<&PlanRow>) -> &[(Class, SetId)] {
    row.map_or(&[], |row| &row.peers)
}

/// Goes through two sorted lists at once: each entry with that of the same key in the other, where there is one.
fn each_pair<'a, T: 'a, K: Ord>(
    lists: [impl IntoIterator<Item = &'a T>; 2],
    key: impl Fn(&'a T) -> K,
    mut each: impl FnMut(Option<&'a T>, Option<&'a T>),
) {
    let [mut before, mut after] = lists.map(|list| list.into_iter().peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => key(a).cmp(&key(b)),
        };
        let a = if order.is_le() { before.next() } else { None };
        let b = if order.is_ge() { after.next() } else { None };
        each(a, b);
    }
}

/// The entries of either list, given in runs, that are not alike in both.
fn each_other<'a, T: Keyed + 'a>(lists: [Vec<&'a [T]>; 2], mut each: impl FnMut(&'a T)) {
    each_pair(lists.map(|runs| runs.into_iter().flatten()), Keyed::key, |before, after| {
        if before != after {
            before.into_iter().chain(after).for_each(&mut each);
        }
    });
}

#[cfg(test)]
mod tests {
    use selvedge_topology::plan::{Outcome, PlanAddress};

    use super::*;
    use crate::testing::{APP, Sample, WEB, set};

    fn of(edit: impl FnOnce(&mut Plan)) -> Change {
        let (before, mut after) = (Sample::new().plan, Sample::new().plan);
        edit(&mut after);
        let change = Change::between(&before, &after);
        assert_eq!(change, Change::between(&after, &before), "what is new one way is gone the other");
        change
    }

    fn addresses(change: &Change) -> Vec<String> {
        change.addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn equal_plans_differ_in_nothing() {
        assert_eq!(of(|_| {}), Change::default());
    }

    #[test]
    fn an_address_that_is_new_or_of_somebody_else_is_told_and_no_other() {
        let new = PlanAddress { prefix: "10.1.0.13/32".parse().unwrap(), identity: WEB, class: WEB.into() };
        let change = of(|plan| {
            plan.addresses.edit().insert(3, new);
            plan.addresses[1].identity = APP;
        });
        assert_eq!(addresses(&change), ["10.1.0.11/32", "10.1.0.13/32"]);
        assert!(change.policies.is_empty());
    }

    #[test]
    fn the_addresses_of_a_workload_that_goes_elsewhere_are_told() {
        let change = of(|plan| plan.workloads[0].port = plan.ports[0].name.clone());
        assert_eq!(addresses(&change), ["10.1.0.12/32", "fd00:1::12/128"]);
    }

    #[test]
    fn policy_is_told_by_class_where_a_row_or_the_decisions_that_it_names_are_others() {
        let row = |change: Change| change.policies.into_iter().collect::<Vec<_>>();
        let (ingress, egress, web) = (Direction::Ingress, Direction::Egress, Class::from(WEB));
        assert_eq!(row(of(|plan| plan.rows[0].peers[0].1 = SetId(3))), [(APP, ingress, web)]);
        assert_eq!(row(of(|plan| plan.rows[0].peers.clear())), [(APP, ingress, web)]);
        assert_eq!(row(of(|plan| plan.rows[1].default = SetId(2))), [(APP, egress, ROW_DEFAULT)]);
        assert_eq!(row(of(|plan| plan.sets[1] = set(2, &[(0, Outcome::Denied, 7)]))), [(APP, ingress, web)]);
        let all = [(APP, ingress, ROW_DEFAULT), (APP, ingress, web), (APP, egress, ROW_DEFAULT)];
        assert_eq!(row(of(|plan| plan.rows.edit().clear())), all);
    }
}
