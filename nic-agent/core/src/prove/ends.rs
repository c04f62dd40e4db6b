//! Who a packet can be of: for each prefix of a plan one address that nothing narrower holds.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::model::PortRole;
use selvedge_topology::plan::Plan;

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
    /// One of each prefix of some classes, and of some prefixes, whether or not the plan has these.
    Some { classes: &'a BTreeSet<Class>, prefixes: &'a BTreeSet<IpNet> },
}

/// An inclusive range of addresses as numbers, in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: u128,
    last: u128,
    entry: Entry,
}

/// What is said of the addresses of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// Who has them.
    Known(Identity, Class),
    /// No packet may have them.
    Unusable,
    /// Nothing by itself: they are whose what is around them is.
    Gone,
}

impl Ends {
    pub(super) fn new(plan: &Plan, machine: &Machine, wanted: Wanted<'_>) -> Self {
        let local = local(plan, machine);
        let mut ends = Self::default();
        for family in 0..2 {
            let spans = spans(plan, family, wanted);
            let asked = places(&spans, wanted.prefixes().copied());
            let here = places(&spans, local.keys().copied().map(IpNet::from));
            let mut around: Vec<&Span> = Vec::new();
            for (index, span) in spans.iter().enumerate() {
                around
                    .truncate(around.iter().rposition(|around| around.holds(span)).map_or(0, |top| top + 1));
                let said = match span.entry {
                    Entry::Gone => around.last().map_or(Entry::Unusable, |around| around.entry),
                    said => {
                        around.push(span);
                        said
                    }
                };
                let Entry::Known(identity, class) = said else { continue };
                let is_asked = asked.binary_search(&index).is_ok();
                if !is_asked && !wanted.includes(class) && here.binary_search(&index).is_err() {
                    continue;
                }
                let Some(number) = free(span, &spans[index + 1..]) else { continue };
                let address = address(number, span.is_v4());
                let place = local.get(&address).copied().unwrap_or(Place::Away);
                if is_asked {
                    ends.of_prefixes.push(ends.all.len());
                }
                ends.add(End { address, identity, class, place });
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

    fn includes(self, class: Class) -> bool {
        match self {
            Self::All => true,
            Self::Some { classes, .. } => classes.contains(&class),
        }
    }
}

/// The indexes of those prefixes among `spans`; sorted.
fn places(spans: &[Span], prefixes: impl Iterator<Item = IpNet>) -> Vec<usize> {
    let places = prefixes.filter_map(|prefix| {
        let span = Span::of(&prefix, Entry::Gone);
        spans.binary_search_by_key(&span.order(), Span::order).ok()
    });
    let mut places: Vec<usize> = places.collect();
    places.sort_unstable();
    places
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

/// IPv4 addresses are numbered as IPv6 would map them, so that a number says its family.
const MAPPED: u128 = 0xffff_0000_0000;

impl Span {
    fn of(prefix: &IpNet, entry: Entry) -> Self {
        Self::new(prefix.network(), prefix.prefix_len(), entry)
    }

    fn new(network: IpAddr, length: u8, entry: Entry) -> Self {
        let (number, bits) = match network {
            IpAddr::V4(network) => (MAPPED | u128::from(network.to_bits()), 32 - u32::from(length)),
            IpAddr::V6(network) => (network.to_bits(), 128 - u32::from(length)),
        };
        let hosts = 1_u128.checked_shl(bits).map_or(u128::MAX, |size| size - 1);
        Self { first: number & !hosts, last: number | hosts, entry }
    }

    /// Each before those inside it.
    fn order(&self) -> (u128, Reverse<u128>) {
        (self.first, Reverse(self.last))
    }

    fn holds(&self, other: &Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    fn is_v4(&self) -> bool {
        self.first >> 32 == MAPPED >> 32
    }
}

fn address(number: u128, v4: bool) -> IpAddr {
    if v4 { Ipv4Addr::from_bits(number as u32).into() } else { Ipv6Addr::from_bits(number).into() }
}

/// The plan's prefixes of a family with the world around them, the addresses that no packet may have, and what is wanted and not of the
/// plan; each before those inside it.
fn spans(plan: &Plan, of: usize, wanted: Wanted<'_>) -> Vec<Span> {
    let (everywhere, unusable): (IpAddr, &[(IpAddr, u8)]) = if of == 0 {
        (Ipv4Addr::UNSPECIFIED.into(), &UNUSABLE_V4)
    } else {
        (Ipv6Addr::UNSPECIFIED.into(), &UNUSABLE_V6)
    };
    let unusable: Vec<Span> =
        unusable.iter().map(|(network, length)| Span::new(*network, *length, Entry::Unusable)).collect();
    let of_family = plan.addresses.iter().filter(|entry| family(entry.prefix.addr()) == of);
    let known = of_family.map(|entry| Span::of(&entry.prefix, Entry::Known(entry.identity, entry.class)));
    let gone = wanted.prefixes().filter(|prefix| family(prefix.addr()) == of && plan.entry(prefix).is_none());
    let is_usable = |span: &Span| !unusable.iter().any(|hole| hole.holds(span));
    let mut spans: Vec<Span> = known.filter(is_usable).collect();
    let world = Span::new(everywhere, 0, Entry::Known(Identity::WORLD, Identity::WORLD.into()));
    if !spans.iter().any(|span| span.holds(&world)) {
        spans.push(world);
    }
    spans.extend(gone.map(|prefix| Span::of(prefix, Entry::Gone)).filter(is_usable));
    spans.extend(unusable.iter().copied());
    // Stable: what is gone is within what is of the same addresses, the whole world.
    spans.sort_by_key(Span::order);
    spans
}

/// Networks whose addresses are of no packet that policy decides on: this network, loopback, link-local, multicast, reserved.
const UNUSABLE_V4: [(IpAddr, u8); 4] = [
    (IpAddr::V4(Ipv4Addr::new(0, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 3),
];
/// Likewise: unspecified, loopback and v4-mapped, link-local, multicast.
const UNUSABLE_V6: [(IpAddr, u8); 3] = [
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 80),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
];

/// The lowest address of `span` that none of those `after` it in order holds. Spans are disjoint or nested.
fn free(span: &Span, after: &[Span]) -> Option<u128> {
    let mut at = span.first;
    let mut rest = after;
    while let Some(next) = rest.first().filter(|next| next.first <= at) {
        if next.last >= span.last {
            return None;
        }
        at = next.last + 1;
        rest = &rest[rest.partition_point(|inside| inside.first < at)..];
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{APP, RANGE, Sample, WEB, machine};

    fn ends(change: impl FnOnce(&mut Plan)) -> Ends {
        let mut plan = Sample::new().plan;
        change(&mut plan);
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
        let wanted = Wanted::Some { classes: &classes, prefixes: &prefixes };
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
