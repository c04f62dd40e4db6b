//! Which addresses a prefix of a plan has for itself: none that a narrower one holds, and none that no packet may have.
//!
//! A plan's addresses are sorted, each before those inside it. So all that is looked at for a prefix is what is inside it.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use ipnet::IpNet;
use selvedge_topology::identity::{Class, Identity};
use selvedge_topology::plan::{Plan, PlanAddress};

use super::packet::family;

/// IPv4 addresses are numbered as IPv6 would map them, so that a number says its family.
const MAPPED: u128 = 0xffff_0000_0000;

/// An inclusive range of addresses as numbers, in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    first: u128,
    last: u128,
    pub(super) said: Said,
}

/// Who has the addresses of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) identity: Identity,
    pub(super) class: Class,
}

impl Said {
    pub(super) const WORLD: Self = Self { identity: Identity::WORLD, class: Class(Identity::WORLD.0) };

    pub(super) fn of(PlanAddress { identity, class, .. }: &PlanAddress) -> Self {
        Self { identity: *identity, class: *class }
    }
}

impl Span {
    pub(super) fn known(entry: &PlanAddress) -> Self {
        Self::of(&entry.prefix, Said::of(entry))
    }

    pub(super) fn of(prefix: &IpNet, said: Said) -> Self {
        Self::new(prefix.network(), prefix.prefix_len(), said)
    }

    fn new(network: IpAddr, length: u8, said: Said) -> Self {
        let (number, bits) = match network {
            IpAddr::V4(network) => (MAPPED | u128::from(network.to_bits()), 32 - u32::from(length)),
            IpAddr::V6(network) => (network.to_bits(), 128 - u32::from(length)),
        };
        let hosts = 1_u128.checked_shl(bits).map_or(u128::MAX, |size| size - 1);
        Self { first: number & !hosts, last: number | hosts, said }
    }

    /// Each before those inside it.
    pub(super) fn order(&self) -> (u128, Reverse<u128>) {
        (self.first, Reverse(self.last))
    }

    fn holds(&self, other: &Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    pub(super) fn is_v4(&self) -> bool {
        self.first >> 32 == MAPPED >> 32
    }
}

fn address(number: u128, v4: bool) -> IpAddr {
    if v4 { Ipv4Addr::from_bits(number as u32).into() } else { Ipv6Addr::from_bits(number).into() }
}

/// What there is of a family: prefixes of a plan, which are sorted, so that each comes before those inside it.
pub(super) struct Ground<'p> {
    plan: &'p Plan,
    /// Where they are among the plan's.
    pub(super) known: Range<usize>,
    /// What is around them, where they do not say it themselves.
    pub(super) world: Option<Span>,
    /// What no packet may have.
    holes: Vec<Span>,
    /// That, and what is wanted and not of the plan; sorted.
    besides: Vec<Span>,
}

impl<'p> Ground<'p> {
    pub(super) fn new<'a>(plan: &'p Plan, of: usize, wanted: impl Iterator<Item = &'a IpNet>) -> Self {
        let all = &plan.addresses;
        let v6 = all.partition_point(0..all.len(), |entry| entry.prefix.addr().is_ipv4());
        let (known, everywhere, holes): (_, IpAddr, &[(IpAddr, u8)]) = if of == 0 {
            (0..v6, Ipv4Addr::UNSPECIFIED.into(), &UNUSABLE_V4)
        } else {
            (v6..plan.addresses.len(), Ipv6Addr::UNSPECIFIED.into(), &UNUSABLE_V6)
        };
        let holes = holes.iter().map(|(network, length)| Span::new(*network, *length, Said::WORLD)).collect();
        let world = Span::new(everywhere, 0, Said::WORLD);
        let is_said = plan.addresses.get(known.start).is_some_and(|first| Span::known(first).holds(&world));
        let mut ground = Self { plan, known, world: (!is_said).then_some(world), holes, besides: Vec::new() };
        let gone = wanted.filter(|prefix| family(prefix.addr()) == of && plan.entry(prefix).is_none());
        let gone = gone.map(|prefix| Span::of(prefix, Said::WORLD));
        ground.besides = gone.chain(ground.holes.iter().copied()).collect();
        ground.besides.sort_by_key(Span::order);
        ground
    }

    /// The lowest address of `span` that nothing narrower holds; none where no packet may have it.
    pub(super) fn address(&self, span: &Span) -> Option<IpAddr> {
        if self.holes.iter().any(|hole| hole.holds(span)) {
            return None;
        }
        Some(address(self.free(span)?, span.is_v4()))
    }

    /// The lowest number of `span` that none of those inside it hold. Spans are disjoint or nested.
    fn free(&self, span: &Span) -> Option<u128> {
        if span.first == span.last {
            return Some(span.first);
        }
        let (addresses, Range { start, end }) = (&self.plan.addresses, self.known.clone());
        let mut known =
            addresses.partition_point(start..end, |entry| Span::known(entry).order() <= span.order());
        let mut besides =
            &self.besides[self.besides.partition_point(|other| other.order() <= span.order())..];
        let mut at = span.first;
        loop {
            let inside = addresses.get(known).filter(|_| known < end);
            let next = [inside.map(Span::known), besides.first().copied()].into_iter().flatten();
            let Some(last) = next.filter(|next| next.first <= at).map(|next| next.last).max() else {
                return Some(at);
            };
            if last >= span.last {
                return None;
            }
            at = last + 1;
            known = addresses.partition_point(known..end, |entry| Span::known(entry).first < at);
            besides = &besides[besides.partition_point(|other| other.first < at)..];
        }
    }
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
