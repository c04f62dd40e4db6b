//! Fabrics of any size, from a seed, and what happens to them day by day: as the documents that a user would write.
//!
//! Racks have [`RACK`] nodes. An application has four tiers, whose workloads share an identity each and are spread over two
//! racks; policy goes from tier to tier, and here and there to another application. Everybody may reach the few workloads of DNS,
//! and is scraped by monitoring. On one node of fifty there are gateways, and only those have rules about the world.

mod changes;
mod documents;
mod policies;
mod workload;

use std::collections::BTreeSet;

use fastrand::Rng;

pub use changes::{Churn, Edit, Kind};
pub use documents::{Document, Name, PORTS, UPLINK, node_name};
pub use workload::{Role, Tier, Workload};

/// Nodes of a rack.
pub const RACK: usize = 20;
/// Nodes over which an application is spread: those of two racks.
const PAIR: usize = 2 * RACK;
/// Nodes that a policy about few of them concerns.
pub const FEW: usize = 10;

/// How large a fabric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Nodes, each with an agent.
    pub nodes: usize,
    /// Workloads.
    pub workloads: usize,
    /// Sets of labels; about, for tiers come in fours.
    pub identities: usize,
    /// Policies.
    pub policies: usize,
}

impl Size {
    /// A hundred workloads and five policies for each node, and two identities for five policies; no more policies than a fabric may
    /// have, which is 20,000: with 4,000 nodes and more, applications grow instead.
    pub fn of_nodes(nodes: usize) -> Self {
        let policies = (5 * nodes).min(20_000);
        Self { nodes, workloads: 100 * nodes, identities: policies * 2 / 5, policies }
    }

    /// Applications.
    fn applications(self) -> usize {
        (self.identities / Tier::ALL.len()).max(1)
    }

    /// The application that calls another.
    fn neighbour(self, application: usize) -> usize {
        (application * 7 + 1) % self.applications()
    }

    /// Nodes with gateways, one of fifty.
    fn gateways(self) -> usize {
        self.nodes.div_ceil(50)
    }
}

/// A fabric, as it is after all changes that were made to it.
#[derive(Clone, Debug)]
pub struct Fabric {
    size: Size,
    random: Rng,
    /// By number, which is never used again.
    workloads: Vec<Option<Workload>>,
    /// How often the policies that are edited were.
    edits: u16,
}

impl Fabric {
    /// The fabric of `size` that `seed` stands for.
    pub fn new(size: Size, seed: u64) -> Self {
        let mut fabric = Self { size, random: Rng::with_seed(seed), workloads: Vec::new(), edits: 0 };
        let few = FEW.min(size.nodes);
        (0..few).for_each(|index| fabric.place(Role::Ledger, index * size.nodes / few));
        (0..size.gateways())
            .for_each(|index| fabric.place(Role::Gateway, index * size.nodes / size.gateways()));
        for role in [Role::Dns, Role::Monitoring] {
            let count = size.nodes.div_ceil(100).max(2);
            for _ in 0..count {
                let node = fabric.random.usize(..size.nodes);
                fabric.place(role, node);
            }
        }
        let tiers = size.applications() * Tier::ALL.len();
        for index in 0..size.workloads.saturating_sub(fabric.workloads.len()) {
            let index = index % tiers;
            let role = Role::Application(index / Tier::ALL.len(), Tier::ALL[index % Tier::ALL.len()]);
            let node = fabric.node_for(role);
            fabric.place(role, node);
        }
        fabric
    }

    /// How large it is.
    pub fn size(&self) -> Size {
        self.size
    }

    fn place(&mut self, role: Role, node: usize) {
        let (number, port) = (self.workloads.len(), self.random.usize(..PORTS.len()));
        self.workloads.push(Some(Workload { number, role, node, port, isolated: false }));
    }

    /// A node where a workload of `role` may be: one of the two racks of its application, else any.
    fn node_for(&mut self, role: Role) -> usize {
        let nodes = self.size.nodes;
        match role {
            Role::Application(application, _) => {
                let first = application % nodes.div_ceil(PAIR) * PAIR;
                first + self.random.usize(..PAIR.min(nodes - first))
            }
            Role::Ledger | Role::Gateway | Role::Dns | Role::Monitoring => self.random.usize(..nodes),
        }
    }

    /// The nodes that have a workload.
    pub fn occupied(&self) -> BTreeSet<usize> {
        self.workloads.iter().flatten().map(|workload| workload.node).collect()
    }

    /// The nodes whose policy can tell workloads of `application` from others: where it is, where those are that it calls, and the
    /// gateways, who tell everybody from the world.
    pub fn telling(&self, application: usize) -> BTreeSet<usize> {
        let concerned = |role: Role| match role {
            Role::Application(its, _) => its == application || self.size.neighbour(its) == application,
            Role::Gateway => true,
            Role::Dns | Role::Monitoring | Role::Ledger => false,
        };
        let workloads = self.workloads.iter().flatten().filter(|workload| concerned(workload.role));
        workloads.map(|workload| workload.node).collect()
    }

    /// All its documents, the fabric itself first.
    pub fn documents(&self) -> impl Iterator<Item = Document> + '_ {
        let workloads = self.workloads.iter().flatten().map(Workload::document);
        [documents::fabric(self.size)].into_iter().chain(workloads).chain(self.policies())
    }
}

#[cfg(test)]
mod tests {
    use selvedge_topology::documents::{SourceFile, load};
    use selvedge_topology::identity::IdentityTable;

    use super::*;

    const SIZE: Size = Size { nodes: 60, workloads: 3_000, identities: 80, policies: 200 };

    fn text(fabric: &Fabric) -> String {
        fabric.documents().map(|document| document.text).collect()
    }

    #[test]
    fn a_fabric_is_as_large_as_it_was_asked_for_and_valid() {
        let fabric = Fabric::new(SIZE, 7);
        let file = SourceFile { name: "fabric.yaml".into(), text: text(&fabric) };
        let loaded = load(&[file]);
        let model = loaded.model.unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics));
        assert_eq!(model.fabric.nodes.len(), SIZE.nodes);
        assert_eq!(model.workloads.len(), SIZE.workloads);
        assert_eq!(model.policies.len(), SIZE.policies);
        let mut identities = IdentityTable::default();
        identities.allocate(&model).unwrap();
        let labels = identities.iter().filter(|(identity, _)| identity.0 < 1 << 24).count();
        assert!(labels.abs_diff(SIZE.identities) <= 8, "{labels} identities");
    }

    #[test]
    fn an_application_is_within_two_racks_and_the_same_seed_makes_the_same_fabric() {
        let fabric = Fabric::new(SIZE, 7);
        assert_eq!(text(&fabric), text(&Fabric::new(SIZE, 7)));
        assert_ne!(text(&fabric), text(&Fabric::new(SIZE, 8)));
        for application in 0..SIZE.applications() {
            let own = fabric.workloads.iter().flatten();
            let own = own.filter(|it| matches!(it.role, Role::Application(its, _) if its == application));
            let pairs: BTreeSet<usize> = own.map(|workload| workload.node / PAIR).collect();
            assert_eq!(pairs.len(), 1, "application {application}");
        }
    }
}
