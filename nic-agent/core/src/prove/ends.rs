//! Who a packet can be of: for each prefix of a plan one address that nothing narrower holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::model::PortRole;
use selvedge_topology::plan::Plan;

use super::classes::Recent;
use super::ground::{Ground, Said, Span};
use super::packet::family;
use crate::machine::{IfIndex, Machine};

/// An address, and what the plan says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) address: IpAddr,
    pub(super) identity: Identity,
    pub(super) class: Class,
    pub(super) place: Place,
}

/// Where an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind this port of the node.
    Behind(IfIndex),
    /// The node is the workload itself, at this uplink.
    Here(IfIndex),
    /// Behind a port that is gone, or that faces neither: nothing can come from there.
    Mute,
    /// Beyond the fabric-facing ports.
    Away,
}

impl End {
    /// Whether this node enforces for it.
    pub(super) fn is_local(&self) -> bool {
        self.place != Place::Away
    }
}

/// The addresses that policy tells apart.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) all: Vec<End>,
    /// Indexes into `all`: of each class, by family.
    pub(super) classes: BTreeMap<Class, [Vec<usize>; 2]>,
    /// Of each identity that this node enforces for, by family.
    pub(super) subjects: BTreeMap<Identity, [Vec<usize>; 2]>,
    /// Those of the prefixes that were [`Wanted::prefixes`].
    pub(super) of_prefixes: Vec<usize>,
}

/// Which addresses are wanted beside those that this node enforces for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// One of each prefix of the plan.
    All,
    /// Of some classes as many as are enough, and one of each of some prefixes, whether or not the plan has these.
    Some {
        classes: &'a BTreeSet<Class>,
        prefixes: &'a BTreeSet<IpNet>,
        /// The place in the plan's addresses from which on those of the classes are taken.
        from: usize,
    },
}

/// Addresses of a class and family that are enough, of those that are not behind this node: any of them shows what is decided of the
/// class.
const ENOUGH: usize = 4;

impl Ends {
    pub(super) fn new(plan: &Plan, machine: &Machine, wanted: Wanted<'_>) -> Self {
        debug_assert!(
            plan.addresses.iter().is_sorted_by(|a, b| a.prefix < b.prefix),
            "a plan's lists are sorted"
        );
        let grounds = [0, 1].map(|family| Ground::new(plan, family, wanted.prefixes()));
        let local = local(plan, machine);
        let end = |span: &Span| {
            let address = grounds[usize::from(!span.is_v4())].address(span)?;
            let Said { identity, class } = span.said;
            let place = local.get(&address).copied().unwrap_or(Place::Away);
            Some(End { address, identity, class, place })
        };
        let mut ends = Self::default();
        match wanted {
            Wanted::All => {
                for ground in &grounds {
                    let Range { start, end: behind } = ground.known;
                    let known = plan.addresses.iter_from(start).take(behind - start).map(Span::known);
                    let spans = ground.world.into_iter().chain(known);
                    spans.filter_map(|span| end(&span)).for_each(|end| ends.add(end));
                }
            }
            Wanted::Some { classes, prefixes, from } => {
                let here = local.keys().copied().map(IpNet::from).filter_map(|prefix| plan.entry(&prefix));
                let mut spans: Vec<Span> = here.map(Span::known).collect();
                let mut classes = classes.clone();
                if classes.contains(&Said::WORLD.class) {
                    let worlds = grounds.iter().filter_map(|ground| ground.world);
                    spans.extend(worlds);
                    if grounds.iter().all(|ground| ground.world.is_some()) {
                        classes.remove(&Said::WORLD.class);
                    }
                }
                spans.extend(enough(plan, &classes, from, |span| {
                    end(span).is_some_and(|end| !end.is_local())
                }));
                let asked = prefixes.iter().map(|prefix| match plan.entry(prefix) {
                    Some(entry) => Span::known(entry),
                    None => Span::of(prefix, around(plan, prefix)),
                });
                let spans = spans.into_iter().map(|span| (span, false)).chain(asked.map(|span| (span, true)));
                let each = spans.filter_map(|(span, is_asked)| {
                    Some(((!span.is_v4(), span.order()), (end(&span)?, is_asked)))
                });
                for (end, is_asked) in each.collect::<BTreeMap<_, _>>().into_values() {
                    ends.of_prefixes.extend(is_asked.then_some(ends.all.len()));
                    ends.add(end);
                }
            }
        }
        ends
    }

    fn add(&mut self, end: End) {
        let (index, family) = (self.all.len(), family(end.address));
        self.all.push(end);
        self.classes.entry(end.class).or_default()[family].push(index);
        if end.is_local() {
            self.subjects.entry(end.identity).or_default()[family].push(index);
        }
    }
}

impl<'a> Wanted<'a> {
    fn prefixes(self) -> impl Iterator<Item = &'a IpNet> {
        let prefixes = match self {
            Self::All => None,
            Self::Some { prefixes, .. } => Some(prefixes),
        };
        prefixes.into_iter().flatten()
    }
}

/// Prefixes of each of `classes` until there are [`ENOUGH`] that are of use, one after the other from a place on.
fn enough(
    plan: &Plan,
    classes: &BTreeSet<Class>,
    from: usize,
    is_of_use: impl Fn(&Span) -> bool,
) -> Vec<Span> {
    let classes: Vec<Class> = classes.iter().copied().collect();
    let families = [plan.addresses.first(), plan.addresses.iter().next_back()];
    let families: BTreeSet<usize> =
        families.into_iter().flatten().map(|entry| family(entry.prefix.addr())).collect();
    let mut missing = vec![[ENOUGH; 2]; classes.len()];
    let (mut spans, mut short, mut recent) = (Vec::new(), classes.len() * families.len(), Recent::new());
    for entry in plan.addresses.iter_from(from).chain(plan.addresses.iter().take(from)) {
        if short == 0 {
            break;
        }
        let Some(number) = recent.of(entry.class, || classes.binary_search(&entry.class).ok()) else {
            continue;
        };
        let missing = &mut missing[number][family(entry.prefix.addr())];
        let span = Span::known(entry);
        if *missing > 0 && is_of_use(&span) {
            spans.push(span);
            *missing -= 1;
            short -= usize::from(*missing == 0);
        }
    }
    spans
}

/// Who has the addresses of a prefix that the plan does not name: whoever has those around it.
fn around(plan: &Plan, prefix: &IpNet) -> Said {
    let wider = std::iter::successors(prefix.supernet(), IpNet::supernet);
    wider.into_iter().find_map(|wider| plan.entry(&wider)).map_or(Said::WORLD, Said::of)
}

/// The addresses behind this node and where.
fn local(plan: &Plan, machine: &Machine) -> HashMap<IpAddr, Place> {
    let facing: BTreeMap<_, _> = plan.ports.iter().map(|port| (&port.name, port.role)).collect();
    let workloads = plan.workloads.iter().flat_map(|workload| {
        let interface = machine.port(&workload.port).map(|interface| interface.index);
        let place = match (interface, facing.get(&workload.port)) {
            (Some(index), Some(PortRole::Workload)) => Place::Behind(index),
            (Some(index), Some(PortRole::Uplink)) => Place::Here(index),
            _ => Place::Mute,
        };
        workload.addresses.iter().map(move |address| (*address, place))
    });
    workloads.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{APP, RANGE, Sample, WEB, machine};

    fn ends(change: impl FnOnce(&mut Plan)) -> Ends {
        let mut plan = Sample::new().plan;
        change(&mut plan);
        plan.addresses.edit().sort();
        Ends::new(&plan, &machine(&["eth0", "w1"]), Wanted::All)
    }

    fn of(ends: &Ends, class: Class) -> Vec<String> {
        let [v4, v6] = ends.classes.get(&class).cloned().unwrap_or_default();
        v4.iter().chain(&v6).map(|index| ends.all[*index].address.to_string()).collect()
    }

    #[test]
    fn each_prefix_has_an_address_that_nothing_narrower_and_nothing_unusable_holds() {
        let ends = ends(|plan| {
            for (prefix, class) in [
                ("10.0.0.0/31", WEB.into()),
                ("10.0.0.2/32", WEB.into()),
                ("127.1.0.0/16", Class(7)),
                ("224.0.0.5/32", Class(7)),
                ("::/0", Class(8)),
            ] {
                let entry = selvedge_topology::plan::PlanAddress {
                    prefix: prefix.parse().unwrap(),
                    identity: Identity::WORLD,
                    class,
                };
                plan.addresses.edit().push(entry);
            }
        });
        assert_eq!(of(&ends, RANGE), ["10.0.0.3", "fd00:1::"]);
        assert_eq!(of(&ends, WEB.into()), ["10.0.0.0", "10.0.0.2", "10.1.0.11"]);
        assert_eq!(of(&ends, Identity::WORLD.into()), ["1.0.0.0"]);
        assert_eq!(of(&ends, Class(7)), Vec::<String>::new());
        assert_eq!(of(&ends, Class(8)), ["::1:0:0:0"]);
        assert_eq!(ends.subjects[&APP].concat().len(), 2);
    }

    #[test]
    fn a_prefix_that_others_cover_wholly_has_none() {
        let ends = ends(|plan| {
            for (prefix, class) in
                [("10.2.0.0/31", Class(7)), ("10.2.0.0/32", Class(8)), ("10.2.0.1/32", Class(9))]
            {
                let entry = selvedge_topology::plan::PlanAddress {
                    prefix: prefix.parse().unwrap(),
                    identity: Identity::WORLD,
                    class,
                };
                plan.addresses.edit().push(entry);
            }
        });
        assert_eq!(of(&ends, Class(7)), Vec::<String>::new());
        assert_eq!(of(&ends, Class(9)), ["10.2.0.1"]);
    }

    #[test]
    fn of_some_prefixes_and_classes_no_others_are_taken_and_what_is_gone_is_whose_what_is_around_it_is() {
        let (classes, gone) = (BTreeSet::from([WEB.into()]), ["10.9.0.0/16", "11.0.0.1/32", "127.0.0.1/32"]);
        let prefixes: BTreeSet<IpNet> = gone.iter().map(|prefix| prefix.parse().unwrap()).collect();
        let wanted = Wanted::Some { classes: &classes, prefixes: &prefixes, from: 2 };
        let ends = Ends::new(&Sample::new().plan, &machine(&["eth0", "w1"]), wanted);
        let world = Identity::WORLD.into();
        let all: Vec<(String, Class)> =
            ends.all.iter().map(|end| (end.address.to_string(), end.class)).collect();
        let expected = [
            ("10.1.0.11", WEB.into()),
            ("10.1.0.12", APP.into()),
            ("10.9.0.0", RANGE),
            ("11.0.0.1", world),
            ("fd00:1::12", APP.into()),
        ];
        assert_eq!(all, expected.map(|(address, class)| (address.to_owned(), class)));
        assert_eq!(ends.of_prefixes, [2, 3]);
    }

    #[test]
    fn addresses_behind_a_port_that_is_gone_are_local_and_mute() {
        let ends = Ends::new(&Sample::new().plan, &machine(&["eth0"]), Wanted::All);
        let local: Vec<Place> = ends.all.iter().filter(|end| end.is_local()).map(|end| end.place).collect();
        assert_eq!(local, [Place::Mute, Place::Mute]);
    }
}
