//! The flows that are tried, and what each set of documents says of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use selvedge_lab::registry::{Place, Record};
use selvedge_topology::l4::{L4Key, Protocol};
use selvedge_topology::oracle::{self, FlowOutcome};

use super::sets::Set;

/// From where to where: every way that two ends can be placed.
const PAIRS: [(&str, &str, &str); 9] = [
    ("db1", "db2", "behind one port"),
    ("web1", "app1", "same node"),
    ("web1", "app2", "host to host"),
    ("jump", "db1", "host to DPU"),
    ("metrics", "app1", "switch to host"),
    ("legacy", "app1", "unmanaged to host"),
    ("internet", "web1", "world to host"),
    ("web1", "internet", "host to world"),
    ("web2", "app1", "denied in any case"),
];

/// The ports that destinations listen on, all of them, so that whatever is let through meets somebody.
pub(crate) const PORTS: [u16; 3] = [7001, 7002, 7003];

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Carrier {
    Tcp,
    Udp,
}

impl From<Carrier> for Protocol {
    fn from(carrier: Carrier) -> Self {
        match carrier {
            Carrier::Tcp => Self::TCP,
            Carrier::Udp => Self::UDP,
        }
    }
}

/// What makes two packets be of the same flow, whichever connection of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ends {
    pub(crate) client: IpAddr,
    pub(crate) server: SocketAddr,
    pub(crate) carrier: Carrier,
}

/// One flow: connection after connection between two ends, to one port.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) ends: Ends,
    pub(crate) from: Place,
    pub(crate) to: Place,
    pub(crate) way: &'static str,
    /// By set: whether a connection may be opened.
    pub(crate) allowed: Vec<bool>,
}

/// How a flow fares over all sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Always,
    Flips,
    Never,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Always => "always",
            Self::Flips => "flips",
            Self::Never => "never",
        })
    }
}

impl Flow {
    pub(crate) fn class(&self) -> Class {
        match (self.allowed.contains(&true), self.allowed.contains(&false)) {
            (true, false) => Class::Always,
            (true, true) => Class::Flips,
            _ => Class::Never,
        }
    }
}

/// Every flow: all pairs, both families, both carriers, all ports.
pub(crate) fn all(record: &Record, sets: &[Set]) -> Vec<Flow> {
    let mut flows = Vec::new();
    for (from, to, way) in PAIRS {
        let [from, to] = [from, to].map(|name| record.place(name).unwrap());
        for (client, server) in from.addresses.iter().flat_map(|a| to.addresses.iter().map(move |b| (*a, *b)))
        {
            if client.is_ipv4() != server.is_ipv4() {
                continue;
            }
            for (carrier, port) in
                PORTS.iter().flat_map(|port| [(Carrier::Tcp, *port), (Carrier::Udp, *port)])
            {
                let ends = Ends { client, server: SocketAddr::new(server, port), carrier };
                let key = L4Key::new(carrier.into(), port);
                let judge = |set: &Set| oracle::flow(&set.model, client, server, key).outcome;
                let allowed = sets.iter().map(|set| judge(set) == FlowOutcome::Allowed).collect();
                flows.push(Flow { ends, from: from.clone(), to: to.clone(), way, allowed });
            }
        }
    }
    flows
}

/// Every place that a flow begins or ends at.
pub(crate) fn places(flows: &[Flow]) -> Vec<Place> {
    let ends = flows.iter().flat_map(|flow| [&flow.from, &flow.to]);
    let places: BTreeMap<_, _> = ends.map(|place| (place.namespace.clone(), place.clone())).collect();
    places.into_values().collect()
}
