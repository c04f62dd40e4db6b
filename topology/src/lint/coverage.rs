//! Whether one selector, set of peers or set of ports covers another, whatever workloads there will be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::l4::{L4Key, L4Match, L4Range, Protocol};
use crate::labels::{LabelKey, LabelValue, Requirement, Selector};
use crate::model::{CidrBlock, Entity, Model, Peer, Rule};

/// What a selector asks of one label.
#[derive(Default)]
struct Demand<'s> {
    /// The values it may have, where they are listed.
    allowed: Option<BTreeSet<&'s LabelValue>>,
    forbidden: BTreeSet<&'s LabelValue>,
    present: bool,
    absent: bool,
}

fn demands(selector: &Selector) -> BTreeMap<&LabelKey, Demand<'_>> {
    let mut demands: BTreeMap<&LabelKey, Demand<'_>> = BTreeMap::new();
    for requirement in &selector.0 {
        match requirement {
            Requirement::In(key, values) => {
                let demand = demands.entry(key).or_default();
                let values: BTreeSet<_> = values.iter().collect();
                demand.allowed = Some(match demand.allowed.take() {
                    None => values,
                    Some(allowed) => allowed.intersection(&values).copied().collect(),
                });
                demand.present = true;
            }
            Requirement::NotIn(key, values) => demands.entry(key).or_default().forbidden.extend(values),
            Requirement::Exists(key) => demands.entry(key).or_default().present = true,
            Requirement::DoesNotExist(key) => demands.entry(key).or_default().absent = true,
        }
    }
    for demand in demands.values_mut() {
        if let Some(allowed) = &mut demand.allowed {
            allowed.retain(|value| !demand.forbidden.contains(value));
        }
    }
    demands
}

/// Why no labels can match `selector`, if so.
pub(super) fn contradiction(selector: &Selector) -> Option<String> {
    demands(selector).into_iter().find_map(|(key, demand)| {
        if demand.present && demand.absent {
            return Some(format!("label `{key}` would have to be there and absent"));
        }
        let none_left = demand.allowed.is_some_and(|allowed| allowed.is_empty());
        none_left.then(|| format!("no value is left for label `{key}`"))
    })
}

/// Whether all labels that match `narrow` match `wide`.
pub(super) fn selector_covers(wide: &Selector, narrow: &Selector) -> bool {
    let demands = demands(narrow);
    let implied = |requirement: &Requirement| match requirement {
        Requirement::In(key, values) => demands
            .get(key)
            .and_then(|demand| demand.allowed.as_ref())
            .is_some_and(|allowed| allowed.iter().all(|value| values.contains(*value))),
        Requirement::NotIn(key, values) => demands.get(key).is_some_and(|demand| {
            let excluded = |value: &LabelValue| {
                demand.forbidden.contains(value)
                    || demand.allowed.as_ref().is_some_and(|allowed| !allowed.contains(value))
            };
            demand.absent || values.iter().all(excluded)
        }),
        Requirement::Exists(key) => demands.get(key).is_some_and(|demand| demand.present),
        Requirement::DoesNotExist(key) => demands.get(key).is_some_and(|demand| demand.absent),
    };
    wide.0.iter().all(implied)
}

/// Whether `wide` matches every peer that `narrow` matches.
pub(super) fn peers_cover(wide: &Rule, narrow: &Rule, model: &Model) -> bool {
    if wide.peers.contains(&Peer::Entity(Entity::Any)) {
        return true;
    }
    narrow.peers.iter().all(|peer| match peer {
        Peer::Selector(selector) => wide.peers.iter().any(|peer| match peer {
            Peer::Selector(wide) => selector_covers(wide, selector),
            _ => false,
        }),
        Peer::Entity(_) => wide.peers.contains(peer),
        Peer::Cidr(block) => blocks(wide, model).any(|wide| block_covers(wide, block)),
        Peer::Group(name) => {
            let mut members = model.cidr_groups.get(name).into_iter().flatten();
            wide.peers.contains(peer)
                || members.all(|block| blocks(wide, model).any(|wide| block_covers(wide, block)))
        }
    })
}

/// The CIDR blocks of a rule, those of its groups among them.
fn blocks<'m>(rule: &'m Rule, model: &'m Model) -> impl Iterator<Item = &'m CidrBlock> {
    rule.peers.iter().flat_map(|peer| match peer {
        Peer::Cidr(block) => Some(block).into_iter().chain(None.into_iter().flatten()),
        Peer::Group(name) => None.into_iter().chain(model.cidr_groups.get(name).into_iter().flatten()),
        Peer::Selector(_) | Peer::Entity(_) => None.into_iter().chain(None.into_iter().flatten()),
    })
}

fn block_covers(wide: &CidrBlock, narrow: &CidrBlock) -> bool {
    let harmless = |hole: &IpNet| {
        let disjoint = !hole.contains(&narrow.cidr) && !narrow.cidr.contains(hole);
        disjoint || narrow.except.iter().any(|own| own.contains(hole))
    };
    wide.cidr.contains(&narrow.cidr) && wide.except.iter().all(harmless)
}

/// Whether the holes of a block leave nothing of it.
pub(super) fn is_hollow(block: &CidrBlock) -> bool {
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    let last = number(block.cidr.broadcast());
    let mut next = number(block.cidr.network());
    // Sorted by their first address; neighbours may overlap.
    for hole in &block.except {
        if number(hole.network()) > next {
            return false;
        }
        let end = number(hole.broadcast());
        if end >= last {
            return true;
        }
        next = next.max(end + 1);
    }
    false
}

/// Whether `wide` matches every layer-4 key that `narrow` matches, whatever services there are.
pub(super) fn ports_cover(wide: &BTreeSet<L4Match>, narrow: &BTreeSet<L4Match>) -> bool {
    let mut ranges: Vec<L4Range> = wide.iter().filter_map(range).collect();
    ranges.sort_by_key(|range| range.first);
    narrow.iter().all(|ports| match ports {
        L4Match::Service { protocol, .. } => {
            let protocol = Protocol::from(*protocol);
            let any_port = L4Range { first: L4Key::new(protocol, 0), last: L4Key::new(protocol, u16::MAX) };
            wide.contains(ports) || covered(any_port, &ranges)
        }
        ports => range(ports).is_some_and(|range| covered(range, &ranges)),
    })
}

/// The keys of a match; `None` where they depend on the destination.
fn range(ports: &L4Match) -> Option<L4Range> {
    let of = |protocol, (first, last)| L4Range {
        first: L4Key::new(protocol, first),
        last: L4Key::new(protocol, last),
    };
    match ports {
        L4Match::Any => Some(L4Range::ALL),
        L4Match::Ports { protocol, first, last } => Some(of(Protocol::from(*protocol), (*first, *last))),
        L4Match::Icmp { protocol, messages } => Some(of(Protocol::from(*protocol), messages.range())),
        L4Match::Service { .. } => None,
    }
}

/// Whether sorted `ranges` together hold all of `range`.
fn covered(range: L4Range, ranges: &[L4Range]) -> bool {
    let mut next = range.first;
    for part in ranges {
        if part.first > next {
            return false;
        }
        if part.last >= range.last {
            return true;
        }
        if part.last >= next {
            let Some(after) = part.last.next() else { return true };
            next = after;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(requirements: &[Requirement]) -> Selector {
        Selector(requirements.iter().cloned().collect())
    }

    fn key(key: &str) -> LabelKey {
        key.parse().unwrap()
    }

    fn values(values: &[&str]) -> BTreeSet<LabelValue> {
        values.iter().map(|value| value.parse().unwrap()).collect()
    }

    fn block(cidr: &str, except: &[&str]) -> CidrBlock {
        CidrBlock {
            cidr: cidr.parse().unwrap(),
            except: except.iter().map(|hole| hole.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_selector_is_covered_by_one_that_asks_less() {
        let web = selector(&[Requirement::In(key("role"), values(&["web"]))]);
        let web_or_app = selector(&[Requirement::In(key("role"), values(&["app", "web"]))]);
        let has_role = selector(&[Requirement::Exists(key("role"))]);
        let not_db = selector(&[Requirement::NotIn(key("role"), values(&["db"]))]);
        let everyone = selector(&[]);
        for wide in [&web, &web_or_app, &has_role, &not_db, &everyone] {
            assert!(selector_covers(wide, &web), "{wide}");
        }
        for narrow in [&web_or_app, &has_role, &not_db, &everyone] {
            assert!(!selector_covers(&web, narrow), "{narrow}");
        }
        assert!(!selector_covers(&has_role, &not_db), "an absent role is not db either");
        assert!(!selector_covers(&not_db, &has_role));
        let none = selector(&[Requirement::DoesNotExist(key("role"))]);
        assert!(selector_covers(&not_db, &none));
        assert!(!selector_covers(&has_role, &none));
    }

    #[test]
    fn contradictions_are_found_in_one_key() {
        let web = Requirement::In(key("role"), values(&["web"]));
        for other in [
            Requirement::In(key("role"), values(&["app"])),
            Requirement::NotIn(key("role"), values(&["app", "web"])),
            Requirement::DoesNotExist(key("role")),
        ] {
            assert!(contradiction(&selector(&[web.clone(), other])).is_some());
        }
        assert_eq!(contradiction(&selector(&[web, Requirement::Exists(key("role"))])), None);
    }

    #[test]
    fn a_block_with_a_hole_covers_only_what_has_the_hole_too() {
        let whole = block("10.0.0.0/8", &[]);
        let holed = block("10.0.0.0/8", &["10.1.0.0/16"]);
        assert!(block_covers(&whole, &holed));
        assert!(!block_covers(&holed, &whole));
        assert!(block_covers(&holed, &block("10.2.0.0/16", &[])));
        assert!(block_covers(&holed, &block("10.0.0.0/9", &["10.0.0.0/12"])));
        assert!(!block_covers(&holed, &block("10.1.2.0/24", &[])));
        assert!(!block_covers(&whole, &block("::/0", &[])));
    }

    #[test]
    fn a_block_is_hollow_when_its_holes_meet() {
        assert!(is_hollow(&block("10.0.0.0/8", &["10.0.0.0/9", "10.128.0.0/9"])));
        assert!(is_hollow(&block("::/0", &["::/1", "8000::/1"])));
        assert!(is_hollow(&block("0.0.0.0/0", &["0.0.0.0/0"])));
        assert!(!is_hollow(&block("10.0.0.0/8", &["10.0.0.0/9", "10.192.0.0/10"])));
        assert!(!is_hollow(&block("10.0.0.0/8", &[])));
    }

    #[test]
    fn ports_are_covered_by_several_ranges_together() {
        use crate::l4::PortProtocol::Tcp;
        let ports = |first, last| L4Match::Ports { protocol: Tcp, first, last };
        let service = L4Match::Service { protocol: Tcp, name: "http".parse().unwrap() };
        let set = |matches: &[L4Match]| matches.iter().cloned().collect::<BTreeSet<_>>();
        let halves = set(&[ports(0, 99), ports(100, 65535)]);
        assert!(ports_cover(&halves, &set(&[ports(50, 150), service.clone()])));
        assert!(!ports_cover(&set(&[ports(0, 99), ports(101, 65535)]), &set(&[ports(50, 150)])));
        assert!(!ports_cover(&set(&[ports(8080, 8080)]), &set(std::slice::from_ref(&service))));
        assert!(!ports_cover(&set(&[service]), &set(&[ports(8080, 8080)])));
        assert!(!ports_cover(&halves, &set(&[L4Match::Any])));
        assert!(ports_cover(&set(&[L4Match::Any]), &halves));
    }
}
