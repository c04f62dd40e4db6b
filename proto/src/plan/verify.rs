//! What must hold of every plan, whoever made it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::l4::L4Key;
use selvedge_topology::model::{Direction, PortRole, RuleId};
use selvedge_topology::names::{PortName, WorkloadName};
use selvedge_topology::plan::{Keyed, Plan, PlanRow, PlanSet, PlanWorkload, Runs, SetId};
use selvedge_topology::timeouts::{Bounds, Seconds, Timeouts};

/// What does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A list is not sorted, or has something twice.
    #[error("{section} are not sorted and unique at {entry}")]
    Order {
        /// The list.
        section: &'static str,
        /// The first entry that is out of order.
        entry: String,
    },
    /// A timeout that no document may say.
    #[error("the timeout `{kind}` is {time}, it must be from {least} to {most}")]
    Timeout {
        /// Which.
        kind: &'static str,
        /// How long it is.
        time: Seconds,
        /// The shortest it may be.
        least: Seconds,
        /// The longest.
        most: Seconds,
    },
    /// A management port among those to enforce at.
    #[error("port {port} is a management port, which is never enforced")]
    ManagementPort {
        /// The port.
        port: PortName,
    },
    /// A demand on a port that the plan has not.
    #[error("something is demanded of port {port}, which the plan does not have")]
    DemandPort {
        /// The port.
        port: PortName,
    },
    /// A workload at something that is neither a workload port nor an uplink of the plan.
    #[error("workload {workload} is at {port}, which is neither a workload port nor an uplink of the plan")]
    WorkloadPort {
        /// The workload.
        workload: WorkloadName,
        /// Where it says it is.
        port: PortName,
    },
    /// A workload's address that the plan gives no identity, or another's.
    #[error("address {address} of workload {workload} does not have its identity {identity}")]
    WorkloadAddress {
        /// The workload.
        workload: WorkloadName,
        /// Its address.
        address: IpAddr,
        /// Its identity.
        identity: Identity,
    },
    /// An address of two workloads: which port is it behind?
    #[error("address {address} is of workload {workload} and of {other}")]
    SharedAddress {
        /// The address.
        address: IpAddr,
        /// The later of the two workloads.
        workload: WorkloadName,
        /// The earlier.
        other: WorkloadName,
    },
    /// IPv6 addresses that stand for IPv4 ones: the tables have one form for both, and would mix them up.
    #[error("{prefix} is of IPv4 addresses in IPv6 clothes")]
    MappedAddress {
        /// The prefix.
        prefix: IpNet,
    },
    /// A subject without policy.
    #[error("workload {workload} has no {direction} policy")]
    NoRow {
        /// The workload.
        workload: WorkloadName,
        /// The direction.
        direction: Direction,
    },
    /// A row for an identity that no workload of the plan has.
    #[error("there is policy for identity {subject}, which no workload of the plan has")]
    StrayRow {
        /// The identity.
        subject: Identity,
    },
    /// A row names decisions that are not there.
    #[error("the {direction} policy of identity {subject} names set {set:?}, which the plan does not have")]
    NoSet {
        /// Whose policy.
        subject: Identity,
        /// Its direction.
        direction: Direction,
        /// The set.
        set: SetId,
    },
    /// A row names class 0, which the data path uses for the default.
    #[error("the {direction} policy of identity {subject} names class 0")]
    ReservedClass {
        /// Whose policy.
        subject: Identity,
        /// Its direction.
        direction: Direction,
    },
    /// A decision list that leaves its first keys undecided.
    #[error("set {set:?} does not begin at the first layer-4 key")]
    Incomplete {
        /// The set.
        set: SetId,
    },
    /// Neighbours in a decision list with the same decision.
    #[error("set {set:?} says the same twice at {key}")]
    Redundant {
        /// The set.
        set: SetId,
        /// Where the second begins.
        key: L4Key,
    },
    /// A decision of a rule that is not there.
    #[error("set {set:?} names rule {rule}, which the plan does not have")]
    NoRule {
        /// The set.
        set: SetId,
        /// The rule.
        rule: RuleId,
    },
}

/// Checks a whole plan.
pub(super) fn verify(plan: &Plan) -> Result<(), PlanError> {
    let Plan {
        node: _,
        role: _,
        timeouts,
        ports,
        demands: _,
        workloads,
        addresses,
        rows,
        sets,
        rules,
        identities,
    } = plan;
    sorted("ports", ports, |port| &port.name, ToString::to_string)?;
    sorted("workloads", workloads, |workload| &workload.name, ToString::to_string)?;
    sorted("addresses", addresses, |address| &address.prefix, ToString::to_string)?;
    sorted("rows", rows, |row| (row.subject, row.direction), |(subject, way)| format!("{subject} {way}"))?;
    sorted("sets", sets, |set| set.id, |set| format!("{set:?}"))?;
    sorted("rules", rules, |rule| rule.id, ToString::to_string)?;
    sorted("identities", identities, |identity| identity.identity, ToString::to_string)?;
    verify_timeouts(timeouts)?;
    verify_ports(plan)?;
    if let Some(mapped) = addresses.iter().find(|address| is_mapped(address.prefix)) {
        return Err(PlanError::MappedAddress { prefix: mapped.prefix });
    }
    workloads.iter().try_for_each(|workload| verify_workload(workload, plan))?;
    verify_owners(workloads)?;
    let subjects = subjects(plan);
    rows.iter().try_for_each(|row| verify_row(row, &subjects, plan))?;
    sets.iter().try_for_each(|set| verify_set(set, plan))
}

/// Whether all of that holds of `plan`, when it did of `before`, and both are sorted: by looking at what `before` does not say. A no may
/// be too careful.
pub(super) fn still_holds(before: &Plan, plan: &Plan) -> bool {
    let Plan { node: _, role: _, timeouts, ports, demands: _, workloads, .. } = plan;
    let is_sorted = sorted("ports", ports, |port| &port.name, ToString::to_string).is_ok()
        && sorted("workloads", workloads, |workload| &workload.name, ToString::to_string).is_ok();
    let subjects = subjects(plan);
    is_sorted
        && verify_timeouts(timeouts).is_ok()
        && verify_ports(plan).is_ok()
        && workloads.iter().all(|workload| verify_workload(workload, plan).is_ok())
        && verify_owners(workloads).is_ok()
        && plan.rows.iter().all(|row| subjects.contains(&row.subject))
        && of_lists(before, plan, &subjects)
}

/// The part that is of long lists.
fn of_lists(before: &Plan, plan: &Plan, subjects: &BTreeSet<Identity>) -> bool {
    let [_, addresses] = Runs::unshared(&before.addresses, &plan.addresses);
    let [_, rows] = Runs::unshared(&before.rows, &plan.rows);
    let [old_sets, sets] = Runs::unshared(&before.sets, &plan.sets);
    let [old_rules, _] = Runs::unshared(&before.rules, &plan.rules);
    // What the others named was there, and may be gone.
    let no_sets = gone(&old_sets, &plan.sets);
    let no_rules = gone(&old_rules, &plan.rules);
    let misses_set = |row: &PlanRow| !no_sets.is_empty() && named(row).any(|set| no_sets.contains(&set));
    let misses_rule = |set: &PlanSet| {
        !no_rules.is_empty() && set.intervals.iter().any(|of| no_rules.contains(&of.decision.rule))
    };
    !addresses.concat().iter().any(|address| is_mapped(address.prefix))
        && !plan.rows.iter().any(misses_set)
        && !plan.sets.iter().any(misses_rule)
        && rows.concat().iter().all(|row| verify_row(row, subjects, plan).is_ok())
        && sets.concat().iter().all(|set| verify_set(set, plan).is_ok())
}

/// The keys of those in `old` that are not in `list` any more.
fn gone<T: Keyed>(old: &[&[T]], list: &Runs<T>) -> BTreeSet<T::Key> {
    let keys = old.iter().copied().flatten().map(Keyed::key);
    keys.filter(|key| list.with_key(key).is_none()).collect()
}

fn subjects(plan: &Plan) -> BTreeSet<Identity> {
    plan.workloads.iter().map(|workload| workload.identity).collect()
}

fn verify_ports(plan: &Plan) -> Result<(), PlanError> {
    if let Some(port) = plan.ports.iter().find(|port| port.role == PortRole::Management) {
        return Err(PlanError::ManagementPort { port: port.name.clone() });
    }
    let has = |name: &PortName| plan.ports.iter().any(|port| port.name == *name);
    match plan.demands.ports.keys().find(|port| !has(port)) {
        Some(port) => Err(PlanError::DemandPort { port: port.clone() }),
        None => Ok(()),
    }
}

fn verify_timeouts(timeouts: &Timeouts) -> Result<(), PlanError> {
    let beyond = |(Bounds { least, most, .. }, time): &(Bounds, Seconds)| !(least..=most).contains(&time);
    match timeouts.each().into_iter().find(beyond) {
        Some((Bounds { key: kind, least, most, .. }, time)) => {
            Err(PlanError::Timeout { kind, time, least, most })
        }
        None => Ok(()),
    }
}

fn verify_workload(workload: &PlanWorkload, plan: &Plan) -> Result<(), PlanError> {
    let PlanWorkload { name, identity, port, addresses } = workload;
    let (workload, identity) = (name.clone(), *identity);
    let behind = plan.ports.binary_search_by(|candidate| candidate.name.cmp(port));
    let may_be = |role| matches!(role, PortRole::Workload | PortRole::Uplink);
    if !behind.is_ok_and(|index| may_be(plan.ports[index].role)) {
        return Err(PlanError::WorkloadPort { workload, port: port.clone() });
    }
    for address in addresses {
        let prefix = IpNet::from(*address);
        if plan.entry(&prefix).is_none_or(|entry| entry.identity != identity) {
            return Err(PlanError::WorkloadAddress { workload, address: *address, identity });
        }
    }
    let has_row = |direction: &Direction| plan.rows.with_key(&(identity, *direction)).is_some();
    match Direction::BOTH.into_iter().find(|direction| !has_row(direction)) {
        Some(direction) => Err(PlanError::NoRow { workload, direction }),
        None => Ok(()),
    }
}

/// Checks that no address has two owners.
fn verify_owners(workloads: &[PlanWorkload]) -> Result<(), PlanError> {
    let mut owners: BTreeMap<IpAddr, &WorkloadName> = BTreeMap::new();
    for PlanWorkload { name, addresses, .. } in workloads {
        for address in addresses {
            if let Some(other) = owners.insert(*address, name) {
                let (workload, other) = (name.clone(), other.clone());
                return Err(PlanError::SharedAddress { address: *address, workload, other });
            }
        }
    }
    Ok(())
}

/// Whether every address of the prefix is of `::ffff:0:0/96`.
fn is_mapped(prefix: IpNet) -> bool {
    match prefix {
        IpNet::V4(_) => false,
        IpNet::V6(prefix) => prefix.prefix_len() >= 96 && prefix.network().to_ipv4_mapped().is_some(),
    }
}

fn verify_row(row: &PlanRow, subjects: &BTreeSet<Identity>, plan: &Plan) -> Result<(), PlanError> {
    let PlanRow { subject, direction, default: _, peers } = row;
    let (subject, direction) = (*subject, *direction);
    if !subjects.contains(&subject) {
        return Err(PlanError::StrayRow { subject });
    }
    sorted("peers of a row", peers, |(class, _)| *class, |Class(class)| class.to_string())?;
    if peers.first().is_some_and(|(class, _)| *class == Class(0)) {
        return Err(PlanError::ReservedClass { subject, direction });
    }
    match named(row).find(|set| plan.sets.with_key(set).is_none()) {
        Some(set) => Err(PlanError::NoSet { subject, direction, set }),
        None => Ok(()),
    }
}

/// The decision lists that a row names.
fn named(row: &PlanRow) -> impl Iterator<Item = SetId> {
    row.peers.iter().map(|(_, set)| *set).chain([row.default])
}

fn verify_set(set: &PlanSet, plan: &Plan) -> Result<(), PlanError> {
    let PlanSet { id, intervals } = set;
    let set = *id;
    if intervals.first().is_none_or(|interval| interval.first != L4Key::FIRST) {
        return Err(PlanError::Incomplete { set });
    }
    sorted("intervals of a set", intervals, |interval| interval.first, ToString::to_string)?;
    let twice = intervals.windows(2).find(|pair| pair[0].decision == pair[1].decision);
    if let Some(pair) = twice {
        return Err(PlanError::Redundant { set, key: pair[1].first });
    }
    let mut rules = intervals.iter().map(|interval| interval.decision.rule);
    match rules.find(|rule| plan.rules.with_key(rule).is_none()) {
        Some(rule) => Err(PlanError::NoRule { set, rule }),
        None => Ok(()),
    }
}

/// Checks that keys ascend strictly.
fn sorted<'a, T: 'a, K: PartialOrd>(
    section: &'static str,
    list: impl IntoIterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
    show: impl Fn(&K) -> String,
) -> Result<(), PlanError> {
    let mut before = None;
    for key in list.into_iter().map(key) {
        if before.is_some_and(|before| before >= key) {
            return Err(PlanError::Order { section, entry: show(&key) });
        }
        before = Some(key);
    }
    Ok(())
}
