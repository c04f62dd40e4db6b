//! Layer-4 keys: those that somebody asks for, and those at which answers change.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{End, EndKind};
use crate::documents::sink::suggestion;
use crate::l4::{IcmpMatch, IcmpProtocol, L4Key, L4Match, L4Range, PortProtocol, Protocol};
use crate::model::{Direction, Model, Workload};
use crate::oracle::{Side, Who};

/// A text that means no ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPorts {
    /// A number without a protocol.
    #[error(
        "`{number}` may be a port or a protocol: write `{number}/tcp`, `{number}/udp` or `protocol {number}`"
    )]
    Bare {
        /// The number.
        number: u16,
    },
    /// Nothing that is understood.
    #[error(
        "`{text}` means no ports: write 443/tcp, 8080-8090/tcp, 53/udp, tcp, icmp, `icmp 8/0`, `protocol 47`, or a service of the \
         destination{}",
        near.as_ref().map(|near| format!(" ({near})")).unwrap_or_default()
    )]
    Unknown {
        /// The text.
        text: String,
        /// The destination's services that are like it, in words.
        near: Option<String>,
    },
}

/// The keys that `text` means of connections to `destination`: `443/tcp`, `8080-8090/tcp`, `tcp`, `icmp` (of both families), `icmp 8`,
/// `icmp 8/0`, `icmpv6 128/0`, `protocol 47`, or the name of a service of the destination.
pub fn ports(model: &Model, text: &str, destination: &End) -> Result<Vec<L4Range>, NoPorts> {
    let lower = text.trim().to_ascii_lowercase();
    if let Ok(number) = lower.parse() {
        return Err(NoPorts::Bare { number });
    }
    if lower == "icmp" {
        return Ok([IcmpProtocol::V4, IcmpProtocol::V6].map(|icmp| messages(icmp, IcmpMatch::Any)).into());
    }
    if let Some(range) = number_range(&lower).or_else(|| icmp(&lower)).or_else(|| whole(&lower)) {
        return Ok(vec![range]);
    }
    let services = workload(model, destination).map(|workload| &workload.services);
    let service = services.into_iter().flatten().find(|(name, _)| name.as_str() == lower);
    match service {
        Some((_, service)) => Ok(vec![port_range(service.protocol, service.port, service.port)]),
        None => {
            let names = services.into_iter().flatten().map(|(name, _)| name.as_str());
            Err(NoPorts::Unknown { text: text.to_owned(), near: suggestion(&lower, names) })
        }
    }
}

fn workload<'m>(model: &'m Model, end: &End) -> Option<&'m Workload> {
    let name = end.name.as_deref().filter(|_| end.kind == EndKind::Workload)?;
    model.workloads.get(&name.parse().ok()?)
}

fn with_ports(word: &str) -> Option<PortProtocol> {
    match word {
        "tcp" => Some(PortProtocol::Tcp),
        "udp" => Some(PortProtocol::Udp),
        "sctp" => Some(PortProtocol::Sctp),
        _ => None,
    }
}

/// `443/tcp`, `8080-8090/tcp`.
fn number_range(text: &str) -> Option<L4Range> {
    let (numbers, protocol) = text.split_once('/')?;
    let protocol = with_ports(protocol)?;
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then(|| port_range(protocol, first, last))
}

/// `icmp 8`, `icmp 8/0`, `icmpv6 128/0`, `icmpv6`.
fn icmp(text: &str) -> Option<L4Range> {
    let mut words = text.split_ascii_whitespace();
    let protocol = match words.next()? {
        "icmp" => IcmpProtocol::V4,
        "icmpv6" => IcmpProtocol::V6,
        _ => return None,
    };
    let Some(message) = words.next() else { return Some(messages(protocol, IcmpMatch::Any)) };
    let matched = match message.split_once('/') {
        Some((kind, code)) => IcmpMatch::TypeCode(kind.parse().ok()?, code.parse().ok()?),
        None => IcmpMatch::Type(message.parse().ok()?),
    };
    words.next().is_none().then(|| messages(protocol, matched))
}

/// `tcp`, `protocol 47`.
fn whole(text: &str) -> Option<L4Range> {
    if let Some(protocol) = with_ports(text) {
        return Some(port_range(protocol, 0, u16::MAX));
    }
    let number: u8 = text.strip_prefix("protocol ")?.trim().parse().ok()?;
    Some(of(Protocol(number), (0, u16::MAX)))
}

fn of(protocol: Protocol, (first, last): (u16, u16)) -> L4Range {
    L4Range { first: L4Key::new(protocol, first), last: L4Key::new(protocol, last) }
}

fn port_range(protocol: PortProtocol, first: u16, last: u16) -> L4Range {
    of(protocol.into(), (first, last))
}

fn messages(protocol: IcmpProtocol, messages: IcmpMatch) -> L4Range {
    of(protocol.into(), messages.range())
}

/// Whether there are such packets between addresses of that family: ICMP is IPv4's, ICMPv6 is IPv6's.
pub(super) fn is_of_family(range: L4Range, address: IpAddr) -> bool {
    let only = if address.is_ipv4() { Protocol::ICMPV6 } else { Protocol::ICMP };
    (range.first.protocol(), range.last.protocol()) != (only, only)
}

/// The keys that a rule's port matches for the end `side`; `None` where it names a service that the destination has not.
pub(super) fn range_of(matched: &L4Match, side: &Side<'_>) -> Option<L4Range> {
    Some(match matched {
        L4Match::Any => L4Range::ALL,
        L4Match::Ports { protocol, first, last } => port_range(*protocol, *first, *last),
        L4Match::Icmp { protocol, messages: matched } => messages(*protocol, *matched),
        L4Match::Service { protocol, name } => {
            let destination = match (side.direction, side.peer.who) {
                (Direction::Ingress, _) => side.subject,
                (Direction::Egress, Who::Workload(workload)) => workload,
                (Direction::Egress, _) => return None,
            };
            let service = destination.services.get(name).filter(|service| service.protocol == *protocol)?;
            port_range(service.protocol, service.port, service.port)
        }
    })
}

/// `range`, cut before each of `cuts`.
pub(super) fn pieces(range: L4Range, cuts: &BTreeSet<L4Key>) -> Vec<L4Range> {
    let inside = cuts.iter().copied().filter(|cut| range.first < *cut && *cut <= range.last);
    let firsts: Vec<L4Key> = std::iter::once(range.first).chain(inside).collect();
    let ends = firsts.iter().skip(1).filter_map(|next| next.previous()).chain([range.last]);
    firsts.iter().zip(ends).map(|(first, last)| L4Range { first: *first, last }).collect()
}
