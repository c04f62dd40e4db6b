//! What is probed: protocols and ports.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use selvedge_topology::l4::{L4Key, L4Match, PortProtocol, Protocol};
use selvedge_topology::model::Model;

/// A protocol and port that flows are tried on. Written `443/tcp`, `53/udp`, `36412/sctp`, `icmp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Probed {
    /// A TCP connection.
    Tcp(u16),
    /// A UDP request and its answer.
    Udp(u16),
    /// An SCTP INIT.
    Sctp(u16),
    /// An echo request of ICMP or ICMPv6.
    Echo,
}

impl Probed {
    /// The key that policy decides on; `address` says which ICMP.
    pub fn key(self, address: IpAddr) -> L4Key {
        match (self, address) {
            (Self::Tcp(port), _) => L4Key::new(Protocol::TCP, port),
            (Self::Udp(port), _) => L4Key::new(Protocol::UDP, port),
            (Self::Sctp(port), _) => L4Key::new(Protocol::SCTP, port),
            (Self::Echo, IpAddr::V4(_)) => L4Key::icmp(Protocol::ICMP, 8, 0),
            (Self::Echo, IpAddr::V6(_)) => L4Key::icmp(Protocol::ICMPV6, 128, 0),
        }
    }

    /// As the matrix writes it: `443`, `53u`, `36412s`, `ping`.
    pub fn short(self) -> String {
        match self {
            Self::Tcp(port) => port.to_string(),
            Self::Udp(port) => format!("{port}u"),
            Self::Sctp(port) => format!("{port}s"),
            Self::Echo => "ping".to_owned(),
        }
    }
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "{port}/tcp"),
            Self::Udp(port) => write!(f, "{port}/udp"),
            Self::Sctp(port) => write!(f, "{port}/sctp"),
            Self::Echo => write!(f, "icmp"),
        }
    }
}

/// Text that is not a [`Probed`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is none of PORT/tcp, PORT/udp, PORT/sctp (PORT from 1 to 65535) and icmp")]
pub struct ProbedError {
    /// The text.
    pub text: String,
}

impl FromStr for Probed {
    type Err = ProbedError;
    fn from_str(text: &str) -> Result<Self, ProbedError> {
        let wrong = || ProbedError { text: text.to_owned() };
        if text == "icmp" {
            return Ok(Self::Echo);
        }
        let (port, protocol) = text.split_once('/').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        match protocol {
            "tcp" => Ok(Self::Tcp(port)),
            "udp" => Ok(Self::Udp(port)),
            "sctp" => Ok(Self::Sctp(port)),
            _ => Err(wrong()),
        }
    }
}

/// What a model makes worth probing: both ends of every range that a rule names, the services it names, echo, and the
/// lowest TCP port that no rule names.
pub fn wanted(model: &Model) -> BTreeSet<Probed> {
    let rules =
        model.policies.values().flat_map(|policy| policy.ingress.iter().chain(&policy.egress).flatten());
    let matches: BTreeSet<&L4Match> = rules.flat_map(|rule| &rule.ports).collect();
    let mut wanted: BTreeSet<Probed> = matches.iter().flat_map(|ports| named(model, ports)).collect();
    wanted.insert(Probed::Echo);
    let unnamed = (1..=u16::MAX).map(Probed::Tcp).find(|probed| !wanted.contains(probed));
    wanted.extend(unnamed);
    wanted
}

fn named(model: &Model, ports: &L4Match) -> Vec<Probed> {
    match ports {
        L4Match::Any | L4Match::Icmp { .. } | L4Match::Ports { first: 0, last: u16::MAX, .. } => Vec::new(),
        L4Match::Ports { protocol, first, last } => {
            [*first, *last].into_iter().filter(|port| *port > 0).map(|port| of(*protocol, port)).collect()
        }
        L4Match::Service { protocol, name } => {
            let services = model.workloads.values().filter_map(|workload| workload.services.get(name));
            services
                .filter(|service| service.protocol == *protocol)
                .map(|service| of(*protocol, service.port))
                .collect()
        }
    }
}

fn of(protocol: PortProtocol, port: u16) -> Probed {
    match protocol {
        PortProtocol::Tcp => Probed::Tcp(port),
        PortProtocol::Udp => Probed::Udp(port),
        PortProtocol::Sctp => Probed::Sctp(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for text in ["443/tcp", "53/udp", "36412/sctp", "icmp"] {
            assert_eq!(text.parse::<Probed>().map(|probed| probed.to_string()), Ok(text.to_owned()));
        }
        for text in ["0/tcp", "65536/udp", "80", "80/quic", "", "/tcp", "icmp/8"] {
            assert_eq!(text.parse::<Probed>(), Err(ProbedError { text: text.to_owned() }));
        }
    }
}
