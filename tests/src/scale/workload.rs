//! Workloads: what they are for, and where they are.

use std::net::Ipv4Addr;

use super::documents::{Document, Name, PORTS, node_name};

/// A part of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// What gateways reach.
    Web,
    /// What that calls.
    App,
    /// Where it keeps what lasts.
    Db,
    /// And what does not.
    Cache,
}

impl Tier {
    /// Every tier.
    pub const ALL: [Self; 4] = [Self::Web, Self::App, Self::Db, Self::Cache];

    /// The label for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::App => "app",
            Self::Db => "db",
            Self::Cache => "cache",
        }
    }
}

/// What a workload is for. Whatever has the same role has the same labels, and so an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A part of an application, by its number.
    Application(usize, Tier),
    /// Lets the world in.
    Gateway,
    /// Everybody's names.
    Dns,
    /// Scrapes everybody.
    Monitoring,
    /// What is on a few nodes only, spread over the fabric.
    Ledger,
}

impl Role {
    /// Its labels, as documents have them.
    pub fn labels(self) -> String {
        match self {
            Self::Application(application, tier) => format!("app: a{application}, tier: {}", tier.word()),
            Self::Gateway => "app: edge".to_owned(),
            Self::Dns => "app: dns".to_owned(),
            Self::Monitoring => "app: monitoring".to_owned(),
            Self::Ledger => "app: ledger".to_owned(),
        }
    }
}

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// By which its name and its address are made.
    pub number: usize,
    /// What it is for.
    pub role: Role,
    /// Number of its node.
    pub node: usize,
    /// Which of the node's [`PORTS`] it is behind.
    pub port: usize,
    /// Whether it has the label that policy isolates.
    pub isolated: bool,
}

impl Workload {
    /// Its document's name.
    pub fn name(&self) -> Name {
        Name { kind: "Workload", name: format!("w{}", self.number) }
    }

    /// Its document. Addresses are 10.0.1.0 and those behind it.
    pub fn document(&self) -> Document {
        let address = Ipv4Addr::from_bits(0x0a00_0100 + self.number as u32);
        let (node, port) = (node_name(self.node), PORTS[self.port]);
        let isolated = if self.isolated { ", quarantine: \"yes\"" } else { "" };
        let labels = self.role.labels();
        let spec = format!(
            "spec: {{labels: {{{labels}{isolated}}}, addresses: [{address}], attachment: {{node: {node}, port: {port}}}}}\n"
        );
        Document::new(self.name(), &spec)
    }
}
